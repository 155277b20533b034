#include "compress/pipeline/gguf/write.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "compress/base/hash.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/formats/gguf/architectures.h"
#include "compress/formats/gguf/model_file.h"
#include "compress/formats/gguf/writer.h"
#include "compress/pipeline/gguf/metadata.h"

namespace attar::gguf_export {
namespace {

/// One tensor of the file and where it comes from.
struct Entry {
  std::string name;
  std::vector<int64_t> shape;
  const gguf::TensorType* type = nullptr;
  std::vector<gguf::Link> links;  // of stored tensors, which together have all rows
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
  if (q.layout.levels != Levels::integers) return false;
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
             StageReport& report, const ReadyRows& ready)
      : model_(model),
        mixture_(mixture),
        importance_(importance),
        report_(report),
        ready_(ready),
        architecture_(architecture_of(model)),
        parameters_(model.spec.parameters()) {
    for (const WeightInfo& info : model.stored->list())
      if (is_code_layout(info.format)) upright_.insert(info.name);
  }

  std::map<std::string, const gguf::TensorType*> matrix_types() {
    describe_model(model_, architecture_, foldings_, report_.fallbacks);
    plan();
    std::map<std::string, const gguf::TensorType*> types;
    for (const Entry& entry : entries_)
      for (const gguf::Link& link : entry.links) {
        const bool as_it_is = entry.type->put_codes != nullptr && link.columns.empty() &&
                              !link.minus_exp && factor_of(entry) == 1;
        const auto [found, added] = types.emplace(link.published, as_it_is ? entry.type : nullptr);
        if (!added && found->second != entry.type) found->second = nullptr;
      }
    std::erase_if(types, [](const auto& row) { return row.second == nullptr; });
    return types;
  }

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
    for (const Entry& entry : entries_) declared.push_back({entry.name, entry.shape, entry.type});
    gguf::Writer writer(path, metadata, std::move(declared));
    for (const Extra& extra : extras_) writer.write_floats(extra.name, extra.values);
    Progress progress("export", static_cast<int64_t>(entries_.size()), "tensors");
    int64_t done = 0;
    for (const Entry& entry : entries_) {
      check_interrupted();
      const auto bytes = encoded(entry);
      hashes_[entry.name] = Sha256().update(std::span<const std::byte>(bytes)).hex();
      writer.write(entry.name, bytes);
      progress.update(++done);
    }
    writer.finish();
    progress.finish();
    report_.facts["tensors_with_kept_codes"] = kept_;
    report_.checks.push_back(reread(path));
  }

 private:
  /// Which rows of the file a stored tensor becomes; none when it is left out, which is said.
  std::vector<gguf::Link> links_of(const TensorSpec& tensor) {
    std::vector<gguf::Link> links;
    for (auto [link, end] = special_.equal_range(tensor.name); link != end; ++link)
      links.push_back(link->second);
    if (!links.empty()) return links;
    if (left_out(tensor.name)) return {};
    const AttentionSpec* attention = model_.spec.first_attention();
    gguf::Heads heads;
    if (attention != nullptr) heads = {attention->heads, attention->kv_heads};
    auto link = gguf::link_to(architecture_, tensor.name, tensor.shape, heads);
    if (!link)
      throw bad_input("the architecture has no such tensor", "tensor " + tensor.name,
                      fmt::format("GGUF files of the architecture {} cannot hold this model",
                                  architecture_.name));
    if (tensor.name == model_.spec.positions && model_.spec.position_offset > 0) {
      const int64_t rows = tensor.shape.front() - model_.spec.position_offset;
      link->published_rows = gguf::consecutive(model_.spec.position_offset, rows);
      link->file_shape.front() = rows;
    }
    links.push_back(std::move(*link));
    return links;
  }

  /// An embedder's pooler, which is not part of its vectors.
  bool left_out(const std::string& tensor) {
    const LinearSpec& pooler = model_.spec.pooler;
    if (model_.spec.task != Task::embed || (tensor != pooler.weight && tensor != pooler.bias))
      return false;
    if (tensor == pooler.weight)
      report_.fallbacks.push_back(
          {"left out", tensor, "the vectors are pooled without it, and so do the file's readers"});
    return true;
  }

  Entry& entry_for(const gguf::Link& link, const TensorSpec& tensor) {
    const auto [found, added] = index_.emplace(link.file, entries_.size());
    if (!added) return entries_[found->second];
    const ModelSpec& spec = model_.spec;
    TensorPlace place{link.file, link.file_shape, tensor.block,
                      static_cast<int64_t>(spec.blocks.size()), false};
    place.head =
        tensor.role == TensorRole::head || (spec.tied && tensor.role == TensorRole::embedding &&
                                            link.file == architecture_.vocabulary_rows);
    entries_.push_back(
        {link.file, link.file_shape, &type_of(mixture_, place, report_.fallbacks), {}});
    return entries_.back();
  }

  void plan() {
    const ModelSpec& spec = model_.spec;
    if (architecture_.links != nullptr)
      for (gguf::Link& link : architecture_.links(model_.config))
        special_.emplace(link.published, std::move(link));
    for (const TensorSpec& tensor : stored_tensors(spec)) {
      int64_t kept = 0;
      for (gguf::Link& link : links_of(tensor)) {
        kept += link.rows() * link.cols;
        entry_for(link, tensor).links.push_back(std::move(link));
      }
      parameters_ -= element_count(tensor.shape) - kept;  // what has no place in the file
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

  /// What the file's values are more than the model's.
  double factor_of(const Entry& entry) const {
    if (foldings_.query == 1) return 1;
    const bool normed = model_.spec.first_attention()->q_norm.kind != NormKind::none;
    return entry.name.ends_with(normed ? ".attn_q_norm.weight" : ".attn_q.weight") ? foldings_.query
                                                                                   : 1;
  }

  /// A link's values as the file has them, row by row.
  std::vector<float> values_of(const Entry& entry, const gguf::Link& link,
                               const Weight& weight) const {
    gguf::Link from_matrix = link;
    const auto* q = std::get_if<QuantizedMatrix>(&weight);
    const std::vector<float> from =
        q != nullptr ? dequantize(*q) : std::get<DenseTensor>(weight).floats();
    if (q != nullptr || upright_.contains(link.published)) from_matrix.transposed = false;
    require_finite(link.published, from);
    const int64_t rows = link.rows(), cols = link.cols;
    std::vector<float> to(static_cast<size_t>(rows * cols));
    const double factor = factor_of(entry);
    const float offset = architecture_.offset_of(entry.name);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t col = 0; col < cols; ++col) {
        const float value = gguf::file_value(
            link, from[static_cast<size_t>(from_matrix.published_index(row, col))], offset);
        to[static_cast<size_t>(row * cols + col)] =
            factor == 1 ? value : static_cast<float>(static_cast<double>(value) * factor);
      }
    return to;
  }

  std::vector<std::byte> encoded(const Entry& entry) {
    if (entry.links.size() == 1) return encoded(entry, entry.links.front());
    std::vector<std::byte> bytes(
        static_cast<size_t>(entry.type->row_bytes(element_count(entry.shape))));
    for (const gguf::Link& link : entry.links) {
      const auto made = encoded(entry, link);
      std::copy(made.begin(), made.end(),
                bytes.begin() + link.file_first * entry.type->row_bytes(link.cols));
    }
    return bytes;
  }

  /// Of the columns as the file has them; empty when it was not measured.
  std::vector<float> importance_of(const gguf::Link& link) const {
    const auto found = importance_.find(link.published);
    if (found == importance_.end() || std::ssize(found->second) != link.cols) return {};
    std::vector<float> importance(found->second.begin(), found->second.end());
    for (size_t c = 0; c < link.columns.size(); ++c)
      importance[c] = found->second[static_cast<size_t>(link.columns[c])];
    return importance;
  }

  std::vector<std::byte> encoded(const Entry& entry, const gguf::Link& link) {
    if (ready_)
      if (const auto ready = ready_(link.published); !ready.empty()) {
        const auto row_bytes = static_cast<size_t>(entry.type->row_bytes(link.cols));
        std::vector<std::byte> bytes(static_cast<size_t>(link.rows()) * row_bytes);
        for (int64_t row = 0; row < link.rows(); ++row)
          std::memcpy(bytes.data() + static_cast<size_t>(row) * row_bytes,
                      ready.data() + static_cast<size_t>(link.published_row(row)) * row_bytes,
                      row_bytes);
        return bytes;
      }
    const Weight weight = model_.stored->load(link.published);
    const int64_t rows = link.rows(), cols = link.cols;
    const auto* q = std::get_if<QuantizedMatrix>(&weight);
    if (q != nullptr && factor_of(entry) == 1 && link.columns.empty() &&
        same_codes(*q, *entry.type)) {
      ++kept_;
      const int64_t row_bytes = entry.type->row_bytes(cols);
      std::vector<std::byte> bytes(static_cast<size_t>(rows * row_bytes));
      for (int64_t row = 0; row < rows; ++row)
        put_codes(*q, link.published_row(row), *entry.type, bytes.data() + row * row_bytes);
      return bytes;
    }
    const auto values = values_of(entry, link, weight);
    const auto importance = importance_of(link);
    auto bytes = gguf::encode(*entry.type, values, rows, cols, importance);
    note_error(entry, link, values, gguf::decode(*entry.type, bytes, rows, cols));
    return bytes;
  }

  /// A row of the report; values beyond the type's range are an error.
  void note_error(const Entry& entry, const gguf::Link& link, std::span<const float> exact,
                  std::span<const float> made) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      if (!std::isfinite(made[i]))
        throw failure(fmt::format("{} does not fit {}", exact[i], entry.type->name),
                      fmt::format("tensor {}, element {}", link.published, i),
                      "choose gguf:bf16 or gguf:f32");
      const double difference = static_cast<double>(made[i]) - static_cast<double>(exact[i]);
      error += difference * difference;
      norm += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
    }
    if (link.published_shape.size() != 2) return;
    report_.layers.push_back({{"tensor", link.published},
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
    if (written.spec.parameters() != parameters_)
      return {"re-read from disk", false,
              fmt::format("the file has {} parameters, the model {}", written.spec.parameters(),
                          parameters_)};
    return {"re-read from disk", true,
            fmt::format("{} tensors are exactly what was encoded", hashes_.size())};
  }

  const Model& model_;
  const Mixture& mixture_;
  const Importance& importance_;
  StageReport& report_;
  const ReadyRows& ready_;
  const gguf::Architecture& architecture_;
  int64_t parameters_;  // of what the file holds
  Foldings foldings_;
  std::multimap<std::string, gguf::Link> special_;  // by stored tensor
  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_;  // of entries, by name
  std::vector<Extra> extras_;
  std::set<std::string_view> upright_;  // stored tensors that load as [out, in]
  std::map<std::string, std::string> hashes_;
  int64_t kept_ = 0;
};

}  // namespace

void write(const Model& model, const Mixture& mixture, const Importance& importance,
           const fs::path& path, StageReport& report, const ReadyRows& ready) {
  FileWriter(model, mixture, importance, report, ready).run(path);
}

std::map<std::string, const gguf::TensorType*> matrix_types(const Model& model,
                                                            const Mixture& mixture) {
  StageReport unheard;  // write() says it all again
  const Importance none;
  const ReadyRows nothing;
  return FileWriter(model, mixture, none, unheard, nothing).matrix_types();
}

}  // namespace attar::gguf_export
