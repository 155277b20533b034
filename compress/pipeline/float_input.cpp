#include "compress/pipeline/float_input.h"

#include <fmt/format.h>

#include <map>

#include "compress/base/error.h"
#include "compress/formats/dtype.h"
#include "compress/formats/gguf/file.h"

namespace attar {
namespace {

class Decoded : public WeightSource {
 public:
  explicit Decoded(std::shared_ptr<const WeightSource> files) : files_(std::move(files)) {}
  const std::vector<WeightInfo>& list() const override { return files_->list(); }
  bool has(std::string_view name) const override { return files_->has(name); }
  Weight load(std::string_view name) const override {
    Weight weight = files_->load(name);
    const auto* q = std::get_if<QuantizedMatrix>(&weight);
    if (q == nullptr) return weight;
    return dense_tensor(dequantize(*q), {q->rows, q->cols});
  }

 private:
  std::shared_ptr<const WeightSource> files_;
};

}  // namespace

Model open_float_input(StageContext& context, const char* verb) {
  Model model = open_model(context.input);
  std::map<std::string, int64_t> formats;
  const WeightInfo* first = nullptr;
  for (const WeightInfo& info : model.stored->list()) {
    const auto dtype = dtype_from_name(info.format);
    if (dtype && is_float(*dtype)) continue;
    if (first == nullptr) first = &info;
    ++formats[info.format];
  }
  if (first == nullptr) return model;
  if (is_code_layout(first->format) && !gguf::find_model_file(context.input))
    throw bad_input("the model is quantized already",
                    fmt::format("tensor {} ({})", first->name, first->format),
                    fmt::format("{} the float model it came from", verb));
  model.weights = std::make_shared<Decoded>(model.weights);
  std::string list;
  for (const auto& [format, count] : formats)
    list += fmt::format("{}{} of {}", list.empty() ? "" : ", ", count, format);
  context.report.fallbacks.push_back({"decoded to float32 first", context.input.string(),
                                      list + ": what rounding took from these tensors stays lost"});
  return model;
}

}  // namespace attar
