// A model written in another format: dense Hugging Face directories, the layouts of quantized
// weights, GGUF. Every artifact is read back, compared and run before it counts.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/pipeline/gguf/write.h"
#include "compress/pipeline/stage.h"
#include "compress/recipe/options.h"

namespace attar {

struct ExportFormat {
  std::string name, summary;
};
/// hf, compressed-tensors, gptq, awq, bitsandbytes, and a gguf:… for each mixture.
std::vector<ExportFormat> export_formats();

struct ExportOptions {
  std::string format, dtype = "keep", data;
  double max_kl = 2.0;

  template <class Visitor>
  void fields(Visitor& v) {
    v("format", format,
      "hf, compressed-tensors, gptq, awq, bitsandbytes or gguf:TYPE; see `attar list formats`",
      required());
    v("dtype", dtype, "float type of dense weights in Hugging Face directories",
      one_of("keep", "float32", "float16", "bfloat16"));
    v("data", data, "calibration entry whose inputs weigh the errors of GGUF's block types");
    v("max_kl", max_kl, "fail when KL to the exported model exceeds this on a short probe (nats)",
      above(0));
  }
};

/// True for "gguf:q4_k_m" and the like. Throws bad_input for a format that is not offered, naming
/// the nearest; `where` is its key's place.
bool writes_one_file(const std::string& format, const std::string& where);

/// Writes `model` into `path` (a directory that exists, or a GGUF file's path) and adds checks,
/// fallbacks and facts to `report`. Throws bad_input, before anything is written, for what the
/// format cannot say.
void export_model(const Model& model, const ExportOptions& options,
                  const gguf_export::Importance& importance, const std::filesystem::path& path,
                  StageReport& report);

}  // namespace attar
