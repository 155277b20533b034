#include "export/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "compress/base/hash.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/formats/gguf/architectures.h"
#include "compress/formats/gguf/model_file.h"
#include "compress/formats/gguf/writer.h"
#include "export/gguf_metadata.h"

namespace attar::gguf_export {
namespace {

/// One tensor of the file and where it comes from.
struct Entry {
  std::string stored;  // in the model
  gguf::MappedName file;
  std::vector<int64_t> shape;  // in the file
  bool turned = false;         // the model has [in, out]
  const gguf::TensorType* type = nullptr;
};

/// A tensor of the file that no tensor of the model stands behind.
struct Extra {
  std::string name;
  std::vector<float> values;
};

/// Codes of the blocks' own kind: int8 of Q8_0, int4 of Q4_0, with a scale for every 32.
bool same_codes(const QuantizedMatrix& q, const gguf::TensorType& type) {
  const int bits = type.name == "Q8_0" ? 8 : type.name == "Q4_0" ? 4 : 0;
  const int64_t group = q.group();
  if (bits == 0 || q.layout.bits != bits || !q.layout.symmetric) return false;
  if (group % type.block != 0 && group != q.cols) return false;
  return std::ranges::all_of(q.scales, [](float s) { return from_float16(to_float16(s)) == s; });
}

/// One row of blocks of 32 from codes around a fixed zero.
void put_codes(const QuantizedMatrix& q, int64_t row, const gguf::TensorType& type, std::byte* to) {
  for (int64_t begin = 0; begin < q.cols; begin += type.block, to += type.bytes) {
    const uint16_t scale =
        to_float16(q.scales[static_cast<size_t>(row * q.groups() + begin / q.group())]);
    std::memcpy(to, &scale, sizeof scale);
    const uint8_t* codes = q.codes.data() + row * q.cols + begin;
    for (int64_t i = 0; i < type.block; ++i) {
      if (q.layout.bits == 8)
        to[2 + i] = static_cast<std::byte>(codes[i] - 128);
      else if (i < type.block / 2)
        to[2 + i] = static_cast<std::byte>(codes[i] | codes[i + type.block / 2] << 4);
    }
  }
}

class FileWriter {
 public:
  FileWriter(const Model& model, const Mixture& mixture, const Importance& importance,
             StageReport& report)
      : model_(model),
        mixture_(mixture),
        importance_(importance),
        report_(report),
        architecture_(architecture_of(model)),
        storage_(model.spec) {}

  void run(const fs::path& path) {
    gguf::Metadata metadata = describe_model(model_, architecture_, foldings_, report_.fallbacks);
    metadata.set("general.file_type", mixture_.file_type);
    metadata.set("general.quantization_version", uint32_t{2});
    describe_tokenizer(model_, metadata, report_.fallbacks);
    plan();
    std::vector<gguf::Writer::Declaration> declared;
    for (const Extra& extra : extras_)
      declared.push_back(
          {extra.name, {static_cast<int64_t>(extra.values.size())}, gguf::find_tensor_type("F32")});
    for (const Entry& entry : entries_)
      declared.push_back({entry.file.name, entry.shape, entry.type});
    gguf::Writer writer(path, metadata, std::move(declared));
    for (const Extra& extra : extras_) writer.write_floats(extra.name, extra.values);
    Progress progress("export", static_cast<int64_t>(entries_.size()), "tensors");
    int64_t done = 0;
    for (const Entry& entry : entries_) {
      check_interrupted();
      const auto bytes = encoded(entry);
      hashes_[entry.file.name] = Sha256().update(std::span<const std::byte>(bytes)).hex();
      writer.write(entry.file.name, bytes);
      progress.update(++done);
    }
    writer.finish();
    progress.finish();
    report_.facts["tensors_with_kept_codes"] = kept_;
    report_.checks.push_back(reread(path));
  }

 private:
  void plan() {
    const ModelSpec& spec = model_.spec;
    for (const TensorSpec& tensor : stored_tensors(spec)) {
      Entry entry;
      entry.stored = tensor.name;
      entry.file = gguf::file_name(architecture_, tensor.name);
      if (entry.file.name.empty())
        throw bad_input("the architecture has no such tensor", "tensor " + tensor.name,
                        fmt::format("GGUF files of the architecture {} cannot hold this model",
                                    architecture_.name));
      entry.shape = tensor.shape;
      const StoredTensor* whole = storage_.whole(tensor.name);
      entry.turned = whole != nullptr && whole->transposed && tensor.shape.size() == 2;
      if (entry.turned) std::swap(entry.shape[0], entry.shape[1]);
      TensorPlace place{entry.file.name, entry.shape, tensor.block,
                        static_cast<int64_t>(spec.blocks.size()), false};
      place.head =
          tensor.role == TensorRole::head || (spec.tied && tensor.role == TensorRole::embedding &&
                                              entry.file.name == architecture_.vocabulary_rows);
      entry.type = &type_of(mixture_, place, report_.fallbacks);
      entries_.push_back(std::move(entry));
    }
    if (spec.ropes.empty()) return;
    const RopeSpec& rope = spec.ropes.front();
    const auto add = [&](const char* name, const std::vector<double>& values) {
      extras_.push_back({name, std::vector<float>(values.begin(), values.end())});
    };
    if (rope.scaling == RopeScaling::longrope) {
      add("rope_factors_long.weight", rope.long_factor);
      add("rope_factors_short.weight", rope.short_factor);
    } else if (rope.scaling == RopeScaling::llama3) {
      RopeSpec plain = rope;
      plain.scaling = RopeScaling::none;
      const auto scaled = rope.frequencies(), base = plain.frequencies();
      std::vector<double> factors;
      for (size_t i = 0; i < base.size(); ++i) factors.push_back(base[i] / scaled[i]);
      add("rope_freqs.weight", factors);
    }
  }

  int64_t heads_of(gguf::RowOrder rows) const {
    const AttentionSpec& attention = model_.spec.blocks.front().attention;
    return rows == gguf::RowOrder::rotary_k ? attention.kv_heads : attention.heads;
  }

  /// from[row of the file] = row of the model.
  std::vector<int64_t> rows_of(const Entry& entry) const {
    const auto order =
        gguf::row_order(entry.file.rows, entry.shape.front(), heads_of(entry.file.rows));
    std::vector<int64_t> from(order.size());
    for (size_t row = 0; row < order.size(); ++row)
      from[static_cast<size_t>(order[row])] = static_cast<int64_t>(row);
    return from;
  }

  /// What the file's values are more than the model's: a factor and a sum.
  double factor_of(const Entry& entry) const {
    if (foldings_.query == 1) return 1;
    const bool normed = model_.spec.blocks.front().attention.q_norm.kind != NormKind::none;
    return entry.file.name.ends_with(normed ? ".attn_q_norm.weight" : ".attn_q.weight")
               ? foldings_.query
               : 1;
  }
  float offset_of(const Entry& entry) const {
    return entry.file.name.ends_with("norm.weight") ? architecture_.norm_offset : 0;
  }

  /// The model's values as the file has them, row by row.
  std::vector<float> values_of(const Entry& entry, const Weight& weight) const {
    std::vector<float> from;
    bool turned = entry.turned;
    if (const auto* q = std::get_if<QuantizedMatrix>(&weight)) {
      from = dequantize(*q);
      turned = false;  // stands as [out, in] already
    } else {
      from = std::get<DenseTensor>(weight).floats();
    }
    require_finite(entry.stored, from);
    const int64_t rows = entry.shape.front();
    const int64_t cols = static_cast<int64_t>(from.size()) / rows;
    std::vector<float> to(from.size());
    const auto order = rows_of(entry);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t col = 0; col < cols; ++col) {
        const int64_t source = order[static_cast<size_t>(row)];
        to[static_cast<size_t>(row * cols + col)] =
            from[static_cast<size_t>(turned ? col * rows + source : source * cols + col)];
      }
    const double factor = factor_of(entry);
    const float offset = offset_of(entry);
    if (offset != 0)
      for (float& value : to) value += offset;
    if (factor != 1)
      for (float& value : to) value = static_cast<float>(static_cast<double>(value) * factor);
    return to;
  }

  std::vector<std::byte> encoded(const Entry& entry) {
    const Weight weight = model_.stored->load(entry.stored);
    const int64_t rows = entry.shape.size() == 2 ? entry.shape.front() : 1;
    const int64_t cols = entry.shape.back();
    const auto* q = std::get_if<QuantizedMatrix>(&weight);
    if (q != nullptr && factor_of(entry) == 1 && same_codes(*q, *entry.type)) {
      ++kept_;
      const auto order = rows_of(entry);
      const int64_t row_bytes = entry.type->row_bytes(cols);
      std::vector<std::byte> bytes(static_cast<size_t>(rows * row_bytes));
      for (int64_t row = 0; row < rows; ++row)
        put_codes(*q, order[static_cast<size_t>(row)], *entry.type, bytes.data() + row * row_bytes);
      return bytes;
    }
    const auto values = values_of(entry, weight);
    std::span<const float> importance;
    const auto found = importance_.find(entry.stored);
    if (found != importance_.end() && static_cast<int64_t>(found->second.size()) == cols)
      importance = found->second;
    auto bytes = gguf::encode(*entry.type, values, rows, cols, importance);
    note_error(entry, values, gguf::decode(*entry.type, bytes, rows, cols));
    return bytes;
  }

  /// A row of the report; values beyond the type's range are an error.
  void note_error(const Entry& entry, std::span<const float> exact, std::span<const float> made) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      if (!std::isfinite(made[i]))
        throw failure(fmt::format("{} does not fit {}", exact[i], entry.type->name),
                      fmt::format("tensor {}, element {}", entry.stored, i),
                      "choose gguf:bf16 or gguf:f32");
      const double difference = static_cast<double>(made[i]) - static_cast<double>(exact[i]);
      error += difference * difference;
      norm += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
    }
    if (entry.shape.size() != 2) return;
    report_.layers.push_back({{"tensor", entry.stored},
                              {"type", entry.type->name},
                              {"relative_error", norm > 0 ? std::sqrt(error / norm) : 0.0}});
  }

  /// Opens what was written: every tensor's bytes are those that were encoded, and the model that
  /// the file describes has the same tensors.
  Check reread(const fs::path& path) const {
    const gguf::File file = gguf::File::open(path);
    for (const auto& [name, digest] : hashes_)
      if (Sha256().update(file.at(name).bytes).hex() != digest)
        return {"re-read from disk", false, "tensor " + name + " differs"};
    const Model written = open_model(gguf::open_model_file(file));
    if (written.spec.parameters() != model_.spec.parameters())
      return {"re-read from disk", false,
              fmt::format("the file has {} parameters, the model {}", written.spec.parameters(),
                          model_.spec.parameters())};
    return {"re-read from disk", true,
            fmt::format("{} tensors are exactly what was encoded", hashes_.size())};
  }

  const Model& model_;
  const Mixture& mixture_;
  const Importance& importance_;
  StageReport& report_;
  const gguf::Architecture& architecture_;
  Storage storage_;
  Foldings foldings_;
  std::vector<Entry> entries_;
  std::vector<Extra> extras_;
  std::map<std::string, std::string> hashes_;
  int64_t kept_ = 0;
};

}  // namespace

void write(const Model& model, const Mixture& mixture, const Importance& importance,
           const fs::path& path, StageReport& report) {
  FileWriter(model, mixture, importance, report).run(path);
}

}  // namespace attar::gguf_export
