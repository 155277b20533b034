#include "compress/formats/assembled_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "compress/base/error.h"
#include "compress/base/nearest.h"

namespace attar {
namespace {

class Source : public WeightSource {
 public:
  Source(std::shared_ptr<const Checkpoint> checkpoint, std::vector<AssembledWeight> weights)
      : checkpoint_(std::move(checkpoint)) {
    std::map<const TensorView*, const AssembledWeight*> first;
    for (AssembledWeight& weight : weights) {
      for (const TensorView* part : weight.parts)
        if (part != nullptr) parts_.insert(part);
      parts_.insert(weight.first);
      std::string name = weight.name;
      const TensorView* begin = weight.first;
      const auto place = weights_.emplace(std::move(name), std::move(weight)).first;
      first.emplace(begin, &place->second);
    }
    for (const TensorView* tensor : checkpoint_->tensors()) {
      const auto found = first.find(tensor);
      if (found != first.end())
        list_.push_back(describe(*found->second));
      else if (!parts_.contains(tensor))
        list_.push_back({tensor->name, tensor->shape, std::string(dtype_name(tensor->dtype)),
                         tensor->bytes.size()});
    }
  }

  const std::vector<WeightInfo>& list() const override { return list_; }

  bool has(std::string_view name) const override {
    return weights_.contains(name) || dense(name) != nullptr;
  }

  Weight load(std::string_view name) const override {
    const auto found = weights_.find(name);
    if (found != weights_.end()) return found->second.load();
    const TensorView* tensor = dense(name);
    if (tensor == nullptr) throw unknown(name);
    return DenseTensor{tensor->dtype, tensor->shape, tensor->bytes, checkpoint_->owner(*tensor)};
  }

 private:
  static WeightInfo describe(const AssembledWeight& weight) {
    uint64_t bytes = weight.first->bytes.size();
    for (const TensorView* part : weight.parts)
      // Numbers that only say a shape or an order are no part of the weight.
      if (part != nullptr && part->dtype != DType::i64) bytes += part->bytes.size();
    return {weight.name, weight.shape, weight.format, bytes};
  }

  const TensorView* dense(std::string_view name) const {
    const TensorView* tensor = checkpoint_->find(name);
    return parts_.contains(tensor) ? nullptr : tensor;
  }

  Error unknown(std::string_view name) const {
    std::vector<std::string> names;
    for (const WeightInfo& info : list_) names.push_back(info.name);
    const std::string close = nearest(name, names);
    return bad_input(fmt::format("no weight \"{}\"", name), "the quantized model",
                     close.empty() ? "attar inspect lists the tensors of a model"
                                   : fmt::format("did you mean \"{}\"?", close));
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::map<std::string, AssembledWeight, std::less<>> weights_;
  std::set<const TensorView*> parts_;
  std::vector<WeightInfo> list_;
};

}  // namespace

std::shared_ptr<const WeightSource> assemble(std::shared_ptr<const Checkpoint> checkpoint,
                                             std::vector<AssembledWeight> weights) {
  return std::make_shared<Source>(std::move(checkpoint), std::move(weights));
}

std::vector<int32_t> words_of(const TensorView& tensor) {
  std::vector<int32_t> words(static_cast<size_t>(tensor.count()));
  if (!words.empty()) std::memcpy(words.data(), tensor.bytes.data(), tensor.bytes.size());
  return words;
}

void expect_tensor(const Checkpoint& checkpoint, const TensorView& tensor, DType dtype,
                   const std::vector<int64_t>& shape) {
  if (tensor.dtype != dtype || tensor.shape != shape)
    throw bad_input(
        fmt::format("is {} [{}], expected {} [{}]", dtype_name(tensor.dtype),
                    fmt::join(tensor.shape, ", "), dtype_name(dtype), fmt::join(shape, ", ")),
        checkpoint.place(tensor));
}

std::vector<float> read_scales(const Checkpoint& checkpoint, const TensorView& tensor) {
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16)
    throw bad_input(
        fmt::format("scales are {}, supported: F32, F16, BF16", dtype_name(tensor.dtype)),
        checkpoint.place(tensor));
  std::vector<float> scales = tensor.floats();
  for (size_t i = 0; i < scales.size(); ++i)
    if (!std::isfinite(scales[i]))
      throw bad_input(fmt::format("scale {} is not finite", i), checkpoint.place(tensor));
  return scales;
}

}  // namespace attar
