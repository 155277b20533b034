#include "prune/masked_weights.h"

#include <algorithm>
#include <cstring>

#include "prune/slicing.h"

namespace attar {
namespace {

/// What of one tensor stays; empty = all.
struct Mask {
  std::vector<int64_t> rows, columns;
  bool nothing = false;
  const std::vector<float>* replacement = nullptr;  // of what stays: [rows, kept columns] or rows
};

class MaskedWeights : public WeightSource {
 public:
  MaskedWeights(const WeightSource& source, std::map<std::string, Mask> masks)
      : source_(source), masks_(std::move(masks)) {}

  const std::vector<WeightInfo>& list() const override { return source_.list(); }
  bool has(std::string_view name) const override { return source_.has(name); }

  Weight load(std::string_view name) const override {
    Weight weight = source_.load(name);
    const auto found = masks_.find(std::string(name));
    auto* dense = std::get_if<DenseTensor>(&weight);
    if (found == masks_.end() || dense == nullptr) return weight;
    const std::vector<float> values = apply(found->second, dense->floats(), dense->shape);
    auto bytes = std::make_shared<std::vector<std::byte>>(values.size() * sizeof(float));
    std::memcpy(bytes->data(), values.data(), bytes->size());
    return DenseTensor{DType::f32, dense->shape, *bytes, bytes};
  }

 private:
  static std::vector<float> apply(const Mask& mask, const std::vector<float>& values,
                                  const std::vector<int64_t>& shape) {
    std::vector<float> result(values.size(), 0.0f);
    if (mask.nothing) return result;
    const int64_t rows = shape.front(), cols = static_cast<int64_t>(values.size()) / rows;
    int64_t kept_rows = 0;
    for (int64_t row = 0; row < rows; ++row) {
      if (!mask.rows.empty() && !std::binary_search(mask.rows.begin(), mask.rows.end(), row))
        continue;
      if (mask.columns.empty()) {
        const auto from = mask.replacement ? mask.replacement->begin() + cols * kept_rows++
                                           : values.begin() + row * cols;
        std::copy_n(from, cols, result.begin() + row * cols);
        continue;
      }
      const auto kept = static_cast<int64_t>(mask.columns.size());
      for (int64_t i = 0; i < kept; ++i) {
        const auto at = static_cast<size_t>(row * cols + mask.columns[static_cast<size_t>(i)]);
        result[at] = mask.replacement ? (*mask.replacement)[static_cast<size_t>(row * kept + i)]
                                      : values[at];
      }
    }
    return result;
  }

  const WeightSource& source_;
  std::map<std::string, Mask> masks_;
};

}  // namespace

std::shared_ptr<const WeightSource> masked_weights(
    const WeightSource& source, const ModelSpec& spec, const PrunePlan& plan,
    const std::map<std::string, std::vector<float>>& replaced) {
  std::map<std::string, Mask> masks;
  for (const KeptUnits& units : plan.groups) {
    for (const auto& part : units.group.rows)
      masks[part.tensor].rows = elements_of(units.kept, part.per_unit);
    for (const auto& part : units.group.columns)
      masks[part.tensor].columns = elements_of(units.kept, part.per_unit);
    for (const auto* parts : {&units.group.rows, &units.group.columns})
      for (const auto& part : *parts)
        if (const auto found = replaced.find(part.tensor); found != replaced.end())
          masks[part.tensor].replacement = &found->second;
  }
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    if (std::binary_search(plan.layers.begin(), plan.layers.end(), static_cast<int64_t>(i)))
      continue;
    for (const LinearSpec* output : spec.blocks[i].outputs())
      for (const std::string* name : {&output->weight, &output->bias})
        if (!name->empty()) masks[*name].nothing = true;
  }
  return std::make_shared<MaskedWeights>(source, std::move(masks));
}

}  // namespace attar
