// Writes a quantized model and reads it back.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/formats/model_writer.h"
#include "compress/formats/quant_format.h"
#include "compress/pipeline/stage.h"
#include "quantize/checkpoint.h"
#include "quantize/modules.h"
#include "quantize/options.h"

namespace attar {

/// The layout of the files that the options ask for; the usual one for a GGUF scheme, whose files
/// have none. `where` is the place of the option `format`.
const QuantFormat& file_layout(const QuantizeOptions& options, const std::string& where);

/// What scales are stored as: what the options say, else what the layout knows, else 16 bits of the
/// kind of the weights, whose type `own` finds out.
DType scale_dtype(const QuantizeOptions& options, const QuantFormat& format,
                  const std::function<DType()>& own);

/// Every tensor of the model that will be written: quantized ones with their layout, the others in
/// `dense` (or their own type when that is nothing). `dtype_of` gives a tensor's own type.
std::vector<TensorPlan> plan_tensors(const ModelSpec& spec, const QuantPlan& plan,
                                     const std::optional<DType>& dense,
                                     const std::function<DType(const std::string&)>& dtype_of);

/// Writes the model: codes from the checkpoint's parts (`parts` of them), everything else from
/// `model`. Throws failure when a value does not fit the float type asked for.
void write_quantized(const Model& model, const std::vector<TensorPlan>& tensors,
                     const std::vector<QuantModule>& modules, const QuantizeCheckpoint& checkpoint,
                     const QuantFormat& format, const std::filesystem::path& directory);

/// Re-reads `directory` with its format's reader: dequantized values must equal those of the
/// checkpoint's codes, dense tensors the source's.
Check check_emitted(const Model& model, const std::vector<TensorPlan>& tensors,
                    const std::vector<QuantModule>& modules, const QuantizeCheckpoint& checkpoint,
                    const std::filesystem::path& directory);

/// Whether `other`, made of `model` without rounding, has its function: KL divergence on `ids`.
Check check_same_function(const Model& model, const Model& other, std::span<const int32_t> ids,
                          int64_t window);

/// KL divergence and perplexity ratio between `model` and the emitted one on the first windows of
/// `ids`.
Check probe_emitted(const Model& model, const std::filesystem::path& directory,
                    std::span<const int32_t> ids, int64_t window, double max_kl);

}  // namespace attar
