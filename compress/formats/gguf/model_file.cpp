#include "compress/formats/gguf/model_file.h"

#include <fmt/core.h>

#include <cstring>
#include <map>
#include <set>

#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "compress/base/nearest.h"
#include "compress/formats/gguf/architectures.h"
#include "compress/formats/gguf/config_keys.h"

namespace attar::gguf {
namespace {

using nlohmann::ordered_json;

/// Tensors that config.json speaks for.
bool is_parameter(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" ||
         name == "rope_factors_short.weight";
}

/// The float type that a tensor stands in already.
std::optional<DType> dense_type(const TensorType& type) {
  return type.block == 1 ? dtype_from_name(type.name) : std::nullopt;
}

/// Blocks of 32 codes with one float16 scale and a fixed zero are groups of a QuantizedMatrix.
std::optional<int> group_bits(const TensorType& type) {
  if (type.name == "Q8_0") return 8;
  if (type.name == "Q5_0") return 5;
  if (type.name == "Q4_0") return 4;
  return {};
}

/// The codes are found from the decoded values, which are (code − zero) · scale exactly.
QuantizedMatrix as_groups(const TensorType& type, int bits, std::span<const std::byte> bytes,
                          int64_t rows, int64_t cols) {
  QuantizedMatrix q;
  q.layout = {bits, type.block, true, DType::f16};
  q.rows = rows;
  q.cols = cols;
  q.codes.resize(static_cast<size_t>(rows * cols));
  q.scales.resize(static_cast<size_t>(rows * q.groups()));
  const int zero = 1 << (bits - 1);
  std::vector<float> values(static_cast<size_t>(type.block));
  std::vector<std::byte> block(static_cast<size_t>(type.bytes));
  for (size_t g = 0; g < q.scales.size(); ++g) {
    const auto from = bytes.subspan(g * block.size(), block.size());
    uint16_t half;
    std::memcpy(&half, from.data(), sizeof half);
    q.scales[g] = from_float16(half);
    // With a scale of one the decoded values are the codes themselves.
    std::copy(from.begin(), from.end(), block.begin());
    const uint16_t one = to_float16(1.0f);
    std::memcpy(block.data(), &one, sizeof one);
    type.decode(block.data(), values.data());
    for (size_t i = 0; i < values.size(); ++i) {
      const int code = static_cast<int>(values[i]) + zero;
      q.codes[g * values.size() + i] = static_cast<uint8_t>(code);
    }
  }
  return q;
}

class Source : public WeightSource {
 public:
  Source(File file, const ordered_json& config)
      : file_(std::move(file)), architecture_(architecture_of(file_)) {
    const auto heads = [&](const char* key, const char* other) {
      return config.value(key, config.value(other, int64_t{1}));
    };
    heads_ = heads("num_attention_heads", "n_head");
    kv_heads_ = heads("num_key_value_heads", "num_attention_heads");
    for (const Tensor& tensor : file_.tensors()) {
      if (is_parameter(tensor.name)) continue;
      Entry entry{&tensor, published_name(architecture_, tensor.name)};
      check(entry);
      list_.push_back({entry.mapped.name, published_shape(tensor), std::string(tensor.type->name),
                       tensor.bytes.size()});
      if (!entries_.emplace(entry.mapped.name, entry).second)
        throw bad_input("two tensors stand for one", file_.place(tensor));
    }
  }

  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return entries_.contains(name); }

  Weight load(std::string_view name) const override {
    const auto found = entries_.find(name);
    if (found == entries_.end()) throw unknown(name);
    const Tensor& tensor = *found->second.tensor;
    const TensorType& type = *tensor.type;
    if (type.decode == nullptr) (void)tensor.floats();  // throws, naming type and tensor
    const Rows rows = rows_of(found->second);
    const int64_t cols = matrix(tensor) ? tensor.cols() : 1;
    if (stays_quantized(tensor))
      if (const auto bits = group_bits(type))
        return as_groups(type, *bits, rows.bytes, tensor.shape.front(), cols);
    const float offset = tensor.name.ends_with("norm.weight") ? architecture_.norm_offset : 0;
    const auto dtype = dense_type(type);
    if (dtype && offset == 0 && !turned(tensor))
      return DenseTensor{*dtype, tensor.shape, rows.bytes, rows.owner};
    return floats(tensor, rows.bytes, offset);
  }

 private:
  struct Entry {
    const Tensor* tensor;
    MappedName mapped;
  };
  /// A tensor's rows in published order.
  struct Rows {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
  };

  static bool matrix(const Tensor& tensor) { return tensor.shape.size() == 2; }
  /// A table of vectors is looked up, not multiplied, unless it is the output matrix too.
  bool stays_quantized(const Tensor& tensor) const {
    return matrix(tensor) &&
           (tensor.name != architecture_.vocabulary_rows || file_.find("output.weight") == nullptr);
  }
  bool turned(const Tensor& tensor) const {
    return architecture_.transposed && matrix(tensor) && tensor.name.starts_with("blk.");
  }
  std::vector<int64_t> published_shape(const Tensor& tensor) const {
    if (turned(tensor)) return {tensor.shape[1], tensor.shape[0]};
    return tensor.shape;
  }

  int64_t heads_of(RowOrder order) const {
    return order == RowOrder::rotary_k ? kv_heads_ : heads_;
  }

  /// The rows can be reordered.
  void check(const Entry& entry) const {
    if (entry.mapped.rows == RowOrder::published) return;
    const int64_t rows = entry.tensor->shape.front();
    const int64_t unit =
        heads_of(entry.mapped.rows) * (entry.mapped.rows == RowOrder::fused_heads ? 3 : 2);
    if (unit < 1 || rows % unit != 0 || entry.tensor->shape.size() > 2)
      throw bad_input(fmt::format("{} rows do not fit {} heads", rows, heads_of(entry.mapped.rows)),
                      file_.place(*entry.tensor));
  }

  Rows rows_of(const Entry& entry) const {
    const Tensor& tensor = *entry.tensor;
    if (entry.mapped.rows == RowOrder::published) return {tensor.bytes, file_.owner()};
    const int64_t rows = tensor.shape.front();
    if (!matrix(tensor) && tensor.type->block != 1)
      throw bad_input("a quantized vector whose elements must be reordered", file_.place(tensor));
    const size_t width = tensor.bytes.size() / static_cast<size_t>(rows);
    auto bytes = std::make_shared<std::vector<std::byte>>(tensor.bytes.size());
    const auto order = row_order(entry.mapped.rows, rows, heads_of(entry.mapped.rows));
    for (size_t row = 0; row < order.size(); ++row)
      std::memcpy(bytes->data() + row * width,
                  tensor.bytes.data() + static_cast<size_t>(order[row]) * width, width);
    return {*bytes, bytes};
  }

  DenseTensor floats(const Tensor& tensor, std::span<const std::byte> bytes, float offset) const {
    const int64_t cols = tensor.cols(), rows = tensor.count() / cols;
    auto values = std::make_shared<std::vector<float>>(decode(*tensor.type, bytes, rows, cols));
    if (offset != 0)
      for (float& value : *values) value -= offset;
    if (turned(tensor)) {
      auto columns = std::make_shared<std::vector<float>>(values->size());
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t col = 0; col < cols; ++col)
          (*columns)[static_cast<size_t>(col * rows + row)] =
              (*values)[static_cast<size_t>(row * cols + col)];
      values = std::move(columns);
    }
    return {DType::f32, published_shape(tensor), std::as_bytes(std::span(*values)), values};
  }

  Error unknown(std::string_view name) const {
    std::vector<std::string> names;
    for (const WeightInfo& info : list_) names.push_back(info.name);
    const std::string close = nearest(name, names);
    return bad_input(fmt::format("no tensor \"{}\"", name), file_.path().string(),
                     close.empty() ? "attar inspect lists the tensors of a model"
                                   : fmt::format("did you mean \"{}\"?", close));
  }

  File file_;
  const Architecture& architecture_;
  int64_t heads_ = 1, kv_heads_ = 1;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<WeightInfo> list_;
};

/// What config.json calls the type of most weights.
const char* dense_dtype_name(const File& file) {
  std::set<std::string_view> types;
  for (const Tensor& tensor : file.tensors())
    if (tensor.shape.size() == 2) types.insert(tensor.type->name);
  if (types.size() == 1 && *types.begin() == "F16") return "float16";
  if (types.size() == 1 && *types.begin() == "BF16") return "bfloat16";
  return "float32";
}

ordered_json make_config(const File& file) {
  const Architecture& architecture = architecture_of(file);
  ordered_json config;
  config["architectures"] = {architecture.model_class};
  config["model_type"] = architecture.model_type;
  config["vocab_size"] = file.at(architecture.vocabulary_rows).shape.front();
  architecture.read_config(file, config);
  for (const auto& [key, file_key] : {std::pair("bos_token_id", "tokenizer.ggml.bos_token_id"),
                                      {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                      {"pad_token_id", "tokenizer.ggml.padding_token_id"}})
    if (const auto id = file.metadata().integer(file_key)) config[key] = *id;
  config["torch_dtype"] = dense_dtype_name(file);
  return config;
}

}  // namespace

ModelDirectory open_model_file(const File& file) {
  ModelDirectory model;
  model.path = file.path();
  model.config = make_config(file);
  model.weights = std::make_shared<Source>(file, model.config);
  for (const Tensor& tensor : file.tensors()) model.weight_bytes += tensor.bytes.size();
  return model;
}

ModelDirectory open_model_file(const fs::path& path) {
  return open_model_file(File::open(path));
}

}  // namespace attar::gguf
