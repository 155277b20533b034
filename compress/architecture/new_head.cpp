#include "compress/architecture/new_head.h"

#include <algorithm>
#include <map>

#include "compress/architecture/encoder.h"
#include "compress/base/error.h"
#include "compress/base/random.h"

namespace attar {
namespace {

/// "BertModel" and "BertForMaskedLM" -> "BertForSequenceClassification"; empty when the family has
/// no such architecture.
std::string classifier_of(const ModelSpec& spec) {
  std::string stem = spec.architecture.substr(0, spec.architecture.find("For"));
  if (stem.ends_with("Model")) stem.resize(stem.size() - std::string_view("Model").size());
  for (const Family& family : families())
    for (const std::string_view name : family.architectures)
      if (family.name == spec.family && name == stem + std::string(kClassifierSuffix))
        return std::string(name);
  return {};
}

/// Weights with some tensors in place of the files' or beside them.
class WithNew : public WeightSource {
 public:
  WithNew(std::shared_ptr<const WeightSource> base,
          std::map<std::string, DenseTensor, std::less<>> tensors)
      : base_(std::move(base)), tensors_(std::move(tensors)) {
    for (const WeightInfo& info : base_->list())
      if (!tensors_.contains(info.name)) list_.push_back(info);
    for (const auto& [name, tensor] : tensors_)
      list_.push_back({name, tensor.shape, "F32", tensor.bytes.size()});
  }
  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override {
    return tensors_.contains(name) || base_->has(name);
  }
  Weight load(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? base_->load(name) : Weight(found->second);
  }
  Weight load_codes(std::string_view name) const override {
    return tensors_.contains(name) ? load(name) : base_->load_codes(name);
  }

 private:
  std::shared_ptr<const WeightSource> base_;
  std::map<std::string, DenseTensor, std::less<>> tensors_;
  std::vector<WeightInfo> list_;
};

DenseTensor make_tensor(std::vector<int64_t> shape, Random* random) {
  constexpr double kDeviation = 0.02;
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  if (random)
    for (float& value : values) value = static_cast<float>(kDeviation * random->normal());
  return dense_tensor(std::move(values), std::move(shape));
}

}  // namespace

Model open_with_labels(const fs::path& path, const std::vector<std::string>& labels, uint64_t seed,
                       std::vector<std::string>& made) {
  ModelDirectory directory = ModelDirectory::open(path);
  const std::string where = (directory.path / "config.json").string();
  auto& config = directory.config;
  const std::string architecture = classifier_of(read_model_spec(config, where));
  if (architecture.empty())
    throw bad_input("only encoders become classifiers", where,
                    "choose a BERT, DistilBERT or RoBERTa");
  if (labels.size() < 2)
    throw bad_input("a classifier needs two labels at least, and the data have one", where);
  config["architectures"] = {architecture};
  config.erase("problem_type");
  write_labels(labels, config);
  const ModelSpec spec = read_model_spec(config, where);
  Random random(seed);
  std::map<std::string, DenseTensor, std::less<>> tensors;
  const auto make = [&](const LinearSpec& linear) {
    tensors[linear.weight] = make_tensor({linear.out, linear.in}, &random);
    tensors[linear.bias] = make_tensor({linear.out}, nullptr);
    made.push_back(linear.module());
  };
  make(spec.classifier);
  // The files may name it with or without the encoder's prefix.
  const std::string& pooler = spec.pooler.weight;
  const auto& files = *directory.weights;
  if (!pooler.empty() && !files.has(pooler) && !files.has(pooler.substr(pooler.find('.') + 1)))
    make(spec.pooler);
  directory.weights = std::make_shared<WithNew>(directory.weights, std::move(tensors));
  directory.weight_files.clear();
  return open_model(std::move(directory));
}

}  // namespace attar
