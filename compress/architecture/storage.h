// How a model's tensors stand in its files, and how they are computed with: ModelSpec names logical
// tensors (q_proj, k_proj, gate_proj, matrices [out, in]); ModelSpec::stored says where files hold
// them otherwise: several in one matrix (a fused qkv_proj), transposed, under another name. Only
// this layer knows both forms.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/model_writer.h"
#include "compress/formats/weights.h"

namespace attar {

/// Looks up the parts of stored tensors.
class Storage {
 public:
  explicit Storage(const ModelSpec& spec);

  struct Place {
    const StoredTensor* whole;
    int64_t first, rows;  // of the part, in the rows of one unit
    int64_t unit_rows;    // of the whole, per unit
    /// Calls f(row of the part, row of the whole, count) for every run of consecutive rows.
    template <class F>
    void for_runs(F f) const {
      if (rows == unit_rows) return f(int64_t{0}, int64_t{0}, whole->units * rows);
      for (int64_t u = 0; u < whole->units; ++u) f(u * rows, u * unit_rows + first, rows);
    }
  };
  /// Where a logical tensor stands; nullptr: alone, under its own name and in its own form.
  const Place* find(std::string_view tensor) const;
  /// The stored tensor of that name, when it holds logical tensors in another form.
  const StoredTensor* whole(std::string_view name) const;
  /// The name of the tensor in the files that holds a logical one.
  std::string stored_name(const std::string& tensor) const;
  /// "model.layers.0.self_attn.qkv_proj" for the logical layer "model.layers.0.self_attn.q_proj".
  std::string stored_module(const LinearSpec& linear) const;

 private:
  std::shared_ptr<const std::vector<StoredTensor>> stored_;
  std::map<std::string, Place, std::less<>> places_;
  std::map<std::string, const StoredTensor*, std::less<>> wholes_;
};

/// Every tensor that the files hold, in the order of the first part of each.
std::vector<TensorSpec> stored_tensors(const ModelSpec& spec);

/// The spec's tensors from files' tensors. Dense parts are cut out (without a copy where their rows
/// stand together), of quantized matrices rows are taken, which is exact because scales belong to
/// rows. A quantized matrix stands as [out, in] even where the dense one is transposed. Throws
/// bad_input at load(), like `stored`.
std::shared_ptr<const WeightSource> logical_weights(const ModelSpec& spec,
                                                    std::shared_ptr<const WeightSource> stored);

/// Writes a model in logical tensors; the files get the published names and forms.
class StoredWriter {
 public:
  /// Like ModelWriter; `tensors` are the spec's. The parts of one stored tensor must be planned
  /// alike: bad_input naming them otherwise.
  StoredWriter(const ModelSpec& spec, fs::path directory, nlohmann::ordered_json config,
               const std::vector<TensorPlan>& tensors, const fs::path& side_files_from,
               const QuantFormat& format = quant_formats().front());
  ~StoredWriter();

  void write(const std::string& name, std::span<const float> values);
  void write(const std::string& name, std::span<const std::byte> bytes);
  void write(const std::string& name, const QuantizedMatrix& q);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace attar
