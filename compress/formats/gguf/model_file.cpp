#include "compress/formats/gguf/model_file.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <set>

#include "compress/base/error.h"
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

/// Blocks of 32 codes with one float16 scale and a fixed zero are what algorithms and other formats
/// know as a QuantizedMatrix, too.
bool is_common(const TensorType& type) {
  return type.name == "Q8_0" || type.name == "Q5_0" || type.name == "Q4_0";
}

/// Whether columns that share a scale stay side by side.
bool moves_whole_groups(const Link& link, int64_t group) {
  for (size_t c = 0; c < link.columns.size(); ++c) {
    const int64_t within = static_cast<int64_t>(c) % group;
    const int64_t first = link.columns[c - static_cast<size_t>(within)];
    if (first % group != 0 || link.columns[c] != first + within) return false;
  }
  return true;
}

/// The matrix with its groups in published order. Groups with a common unit may come apart, so that
/// units are given up.
QuantizedMatrix with_moved_groups(const QuantizedMatrix& q, const std::vector<int64_t>& columns) {
  QuantizedMatrix moved{q.layout, q.rows, q.cols, q.codes, q.scales, {}, q.offsets};
  const int64_t group = q.group(), groups = q.groups();
  for (int64_t row = 0; row < q.rows; ++row)
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t column = columns[static_cast<size_t>(g * group)];
      const auto from = static_cast<size_t>(row * groups + g);
      const auto to = static_cast<size_t>(row * groups + column / group);
      moved.scales[to] = q.scales[from];
      if (!q.offsets.empty()) moved.offsets[to] = q.offsets[from];
      std::copy_n(q.codes.begin() + row * q.cols + g * group, group,
                  moved.codes.begin() + row * q.cols + column);
    }
  return moved;
}

class Source : public WeightSource {
 public:
  Source(File file, const ordered_json& config)
      : file_(std::move(file)), architecture_(architecture_of(file_)) {
    Heads heads;
    heads.all = config.value("num_attention_heads", config.value("n_head", int64_t{1}));
    heads.kv = config.value("num_key_value_heads", heads.all);
    std::set<std::string> taken;
    if (architecture_.links != nullptr)
      for (Link& link : architecture_.links(config)) {
        taken.insert(link.file);
        add(std::move(link));
      }
    const int64_t layers = config.value("num_hidden_layers", config.value("n_layer", int64_t{0}));
    const bool guesses = ArchitectureKeys(file_).has(kGuessingLayers);
    for (const Tensor& tensor : file_.tensors()) {
      if (is_parameter(tensor.name) || taken.contains(tensor.name)) continue;
      Link link = link_from(architecture_, tensor, heads, file_.place(tensor));
      if (guesses && guesses_further(tensor.name, layers)) link.published = "mtp." + tensor.name;
      if (parts_.contains(link.published))
        throw bad_input("two tensors stand for one", file_.place(tensor));
      add(std::move(link));
    }
    for (const auto& [name, parts] : parts_) list_.push_back(describe(name, parts));
  }

  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return parts_.contains(name); }

  Weight load(std::string_view name) const override {
    const Parts& parts = readable_parts(name);
    const Part& first = parts.front();
    const TensorType& type = *first.tensor->type;
    const auto& shape = first.link.published_shape;
    if (!keeps_form(parts)) return floats(parts);
    if (is_common(type) && stays_quantized(first)) return codes(parts);
    const auto dtype = dense_type(type);
    if (!dtype || offset_of(first) != 0 || first.link.transposed) return floats(parts);
    const Bytes bytes = gathered(parts);
    return DenseTensor{*dtype, shape, bytes.span, bytes.owner};
  }

  Weight load_codes(std::string_view name) const override {
    const Parts& parts = readable_parts(name);
    const Part& first = parts.front();
    const TensorType& type = *first.tensor->type;
    if (type.take_apart == nullptr || first.link.published_shape.size() != 2) return load(name);
    if (keeps_form(parts)) return codes(parts);
    if (parts.size() == 1 && !first.link.minus_exp && moves_whole_groups(first.link, type.group))
      return with_moved_groups(codes(parts), first.link.columns);
    return load(name);
  }

 private:
  /// Some rows of a published tensor, and the file's tensor that has them.
  struct Part {
    Link link;
    const Tensor* tensor;
    std::span<const std::byte> bytes() const {
      const auto row = static_cast<size_t>(tensor->type->row_bytes(link.cols));
      return tensor->bytes.subspan(static_cast<size_t>(link.file_first) * row,
                                   static_cast<size_t>(link.rows()) * row);
    }
  };
  using Parts = std::vector<Part>;
  struct Bytes {
    std::span<const std::byte> span;
    std::shared_ptr<const void> owner;
  };

  /// Of a block behind the layers, which only serves to guess several tokens at once.
  static bool guesses_further(std::string_view name, int64_t layers) {
    constexpr std::string_view kBlock = "blk.";
    int64_t layer = -1;
    if (name.starts_with(kBlock))
      std::from_chars(name.data() + kBlock.size(), name.data() + name.size(), layer);
    return layer >= layers;
  }

  void add(Link link) {
    const Tensor& tensor = file_.at(link.file);
    if (tensor.shape != link.file_shape)
      throw bad_input(fmt::format("shape [{}], expected [{}]", fmt::join(tensor.shape, ", "),
                                  fmt::join(link.file_shape, ", ")),
                      file_.place(tensor));
    if (link.cols % tensor.type->block != 0)
      throw bad_input(tensor.shape.size() == 1
                          ? "a quantized vector whose elements must be reordered"
                          : "rows that end within a block",
                      file_.place(tensor));
    parts_[link.published].push_back({std::move(link), &tensor});
  }

  static WeightInfo describe(const std::string& name, const Parts& parts) {
    WeightInfo info{name, parts.front().link.published_shape,
                    std::string(parts.front().tensor->type->name), 0};
    for (const Part& part : parts) {
      info.bytes += part.bytes().size();
      if (part.tensor->type != parts.front().tensor->type) info.format = "mixed";
    }
    return info;
  }

  float offset_of(const Part& part) const { return architecture_.offset_of(part.link.file); }

  /// A table of vectors is looked up, not multiplied, unless it is the output matrix too.
  bool stays_quantized(const Part& part) const {
    return part.link.published_shape.size() == 2 &&
           (part.link.file != architecture_.vocabulary_rows || !file_.find("output.weight"));
  }

  /// The rows can be taken as they are: one type, no number changed or moved within a row.
  static bool keeps_form(const Parts& parts) {
    return std::all_of(parts.begin(), parts.end(), [&](const Part& part) {
      return part.tensor->type == parts.front().tensor->type && part.link.columns.empty() &&
             !part.link.minus_exp;
    });
  }

  /// All rows in published order.
  Bytes gathered(const Parts& parts) const {
    if (parts.size() == 1 && parts[0].link.published_rows.empty())
      return {parts[0].bytes(), file_.owner()};
    size_t size = 0;
    for (const Part& part : parts) size += part.bytes().size();
    auto bytes = std::make_shared<std::vector<std::byte>>(size);
    for (const Part& part : parts) {
      const auto from = part.bytes();
      const auto row = static_cast<size_t>(part.tensor->type->row_bytes(part.link.cols));
      for (int64_t i = 0; i < part.link.rows(); ++i)
        std::memcpy(bytes->data() + static_cast<size_t>(part.link.published_row(i)) * row,
                    from.data() + static_cast<size_t>(i) * row, row);
    }
    return {*bytes, bytes};
  }

  /// As [out, in], however the dense matrix stands.
  QuantizedMatrix codes(const Parts& parts) const {
    const Link& link = parts.front().link;
    const int64_t rows = link.published_shape[link.transposed ? 1 : 0];
    return matrix_of(*parts.front().tensor->type, gathered(parts).span, rows, link.cols);
  }

  DenseTensor floats(const Parts& parts) const {
    const auto& shape = parts.front().link.published_shape;
    std::vector<float> values(static_cast<size_t>(element_count(shape)));
    for (const Part& part : parts) {
      const Link& link = part.link;
      const int64_t rows = link.rows(), cols = link.cols;
      const auto from = decode(*part.tensor->type, part.bytes(), rows, cols);
      const float offset = offset_of(part);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t c = 0; c < cols; ++c)
          values[static_cast<size_t>(link.published_index(i, c))] =
              published_value(link, from[static_cast<size_t>(i * cols + c)], offset);
    }
    return dense_tensor(std::move(values), shape);
  }

  const Parts& readable_parts(std::string_view name) const {
    const auto found = parts_.find(name);
    if (found == parts_.end()) throw unknown(name);
    for (const Part& part : found->second)
      if (part.tensor->type->decode == nullptr)
        (void)part.tensor->floats();  // throws, naming type and tensor
    return found->second;
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
  std::map<std::string, Parts, std::less<>> parts_;  // by published name
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
  const ArchitectureKeys keys(file);
  if (!config.contains("num_experts") &&
      file.metadata().integer(keys.key("expert_count")).value_or(0) > 0)
    throw file.metadata().error(keys.key("expert_count"),
                                fmt::format("experts of \"{}\" are not read", architecture.name));
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
  model.weight_files = {file.file()};
  for (const Tensor& tensor : file.tensors()) model.weight_bytes += tensor.bytes.size();
  return model;
}

ModelDirectory open_model_file(const fs::path& path) {
  return open_model_file(File::open(path));
}

}  // namespace attar::gguf
