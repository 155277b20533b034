#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "compress/tokenizer/added_tokens.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/definition.h"
#include "compress/tokenizer/length_limits.h"
#include "compress/tokenizer/model.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

/// The token that tokenizer_config.json (or, in older directories, special_tokens_map.json) names.
std::optional<std::string> named_token(const fs::path& directory, const char* key) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const fs::path path = directory / name;
    if (!fs::exists(path)) continue;
    const auto json = parse_json<nlohmann::json>(read_text(path), path.string());
    if (!json.is_object()) throw bad_input("an object {…} is expected here", path.string());
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) continue;
    if (found->is_string()) return found->get<std::string>();
    Fields token(*found, fmt::format("{}: {}", path.string(), key));
    return token.text("content");
  }
  return {};
}

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerDefinition definition);

  std::vector<int32_t> encode(std::string_view text, bool special) const override;
  EncodedText encode_text(std::string_view first, std::optional<std::string_view> second,
                          int64_t limit) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  int64_t vocab_size() const override {
    return std::max(model_->vocabulary().size(), added_.size());
  }
  std::optional<int32_t> id_of(std::string_view token) const override {
    if (const AddedToken* added = added_.find(token)) return added->id;
    return model_->vocabulary().find(token);
  }
  std::string token(int32_t id) const override;
  bool is_special(int32_t id) const override {
    const AddedToken* added = added_.find(int64_t{id});
    return added && added->special;
  }
  std::optional<int32_t> bos() const override { return bos_; }
  std::optional<int32_t> eos() const override { return eos_; }
  int64_t length_limit() const override { return truncation_.limit(); }

 private:
  void identify(const std::function<void(std::string_view)>& part) const override;
  void normalize_by(SentencePieceNormalization spec, bool dummy_prefix_once);
  void check_ids() const;
  std::optional<int32_t> special_token(const fs::path& directory, const char* key,
                                       std::optional<int32_t> otherwise) const;
  void encode_plain(std::string_view text, bool at_start, std::vector<int32_t>& ids) const;
  std::vector<int32_t> encode_bare(std::string_view text) const;

  std::string where_, components_;
  std::unique_ptr<TokenModel> model_;
  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<Normalizer> later_normalizer_;  // behind the first special token; null: the same
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<PostProcessor> post_processor_;
  std::unique_ptr<Decoder> decoder_;
  AddedTokens added_;
  Truncation truncation_;
  Padding padding_;
  std::vector<int32_t> before_, behind_;  // what the post-processor puts around a sequence
  std::optional<int32_t> bos_, eos_;
};

PipelineTokenizer::PipelineTokenizer(TokenizerDefinition definition)
    : where_(std::move(definition.where)) {
  nlohmann::json& tree = definition.components;
  Fields fields(tree, where_);
  fields.find("version");
  const auto part = [&](const char* key) {
    return Fields(tree.at(key), fmt::format("{}: {}", where_, key));
  };
  Fields model = fields.child("model");
  model_ = make_model({model, definition.file ? definition.file->text() : std::string_view(),
                       where_, definition.vocabulary, definition.merges,
                       definition.lists ? &*definition.lists : nullptr});
  if (fields.find("normalizer")) normalizer_ = make_normalizer(part("normalizer"));
  if (definition.normalization)
    normalize_by(*definition.normalization, definition.dummy_prefix_once);
  if (fields.find("pre_tokenizer")) pre_tokenizer_ = make_pre_tokenizer(part("pre_tokenizer"));
  if (fields.find("post_processor")) post_processor_ = make_post_processor(part("post_processor"));
  if (fields.find("decoder")) decoder_ = make_decoder(part("decoder"));
  if (fields.find("truncation")) truncation_ = Truncation(part("truncation"));
  if (fields.find("padding")) padding_ = Padding(part("padding"));
  if (fields.find("added_tokens"))  // SentencePiece's own are never normalized
    added_ =
        AddedTokens(fields.children("added_tokens"),
                    definition.normalization ? nullptr : normalizer_.get(), model_->vocabulary());
  fields.finish();
  if (post_processor_) post_processor_->surroundings(before_, behind_);
  check_ids();
  const auto only = [](const std::vector<int32_t>& ids) {
    return ids.size() == 1 ? std::optional(ids[0]) : std::nullopt;
  };
  bos_ = special_token(definition.directory, "bos_token",
                       definition.bos ? definition.bos : only(before_));
  eos_ = special_token(definition.directory, "eos_token",
                       definition.eos ? definition.eos : only(behind_));
  tree.erase("decoder");  // has no say in ids
  tree.erase("version");
  components_ += tree.dump();
}

void PipelineTokenizer::normalize_by(SentencePieceNormalization spec, bool dummy_prefix_once) {
  normalizer_ = make_sentencepiece_normalizer(spec, where_);
  components_ =
      fmt::format("{} {} {} {} {} {} {} ", spec.add_dummy_prefix, dummy_prefix_once,
                  spec.remove_extra_whitespaces, spec.escape_whitespaces, spec.whitespace_as_suffix,
                  spec.characters_map, fmt::join(spec.kept, " "));
  if (!dummy_prefix_once) return;
  spec.add_dummy_prefix = false;
  later_normalizer_ = make_sentencepiece_normalizer(spec, where_);
}

void PipelineTokenizer::check_ids() const {
  for (const auto* ids : {&before_, &behind_})
    for (const int32_t id : *ids)
      if (!added_.find(int64_t{id}) && !model_->vocabulary().has(id))
        throw bad_input(fmt::format("the post-processor adds the id {}, which no token has", id),
                        where_);
}

std::optional<int32_t> PipelineTokenizer::special_token(const fs::path& directory, const char* key,
                                                        std::optional<int32_t> otherwise) const {
  const auto name = directory.empty() ? std::nullopt : named_token(directory, key);
  if (!name) return otherwise;
  const auto id = id_of(*name);
  if (!id)
    throw bad_input(fmt::format("{} is \"{}\", which {} does not have", key, *name,
                                fs::path(where_).filename().string()),
                    (directory / "tokenizer_config.json").string());
  return id;
}

void PipelineTokenizer::encode_plain(std::string_view text, bool at_start,
                                     std::vector<int32_t>& ids) const {
  std::string normal(text);
  const auto& normalizer = at_start || !later_normalizer_ ? normalizer_ : later_normalizer_;
  if (normalizer) normalizer->apply(normal);
  for (const auto& part : added_.split(normal, true)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    const size_t size = part.end - part.begin;
    Pieces pieces{normal.substr(part.begin, size), {{0, size, at_start && part.begin == 0}}};
    if (pre_tokenizer_) pre_tokenizer_->apply(pieces);
    model_->encode(pieces, ids);
  }
}

/// The text's own ids: no special tokens around them, all of them.
std::vector<int32_t> PipelineTokenizer::encode_bare(std::string_view text) const {
  if (const auto bad = find_invalid_utf8(text))
    throw bad_input("the text is not valid UTF-8", fmt::format("byte {}", *bad));
  std::vector<int32_t> ids;
  for (const auto& part : added_.split(text, false)) {
    if (part.id >= 0)
      ids.push_back(part.id);
    else
      encode_plain(text.substr(part.begin, part.end - part.begin), part.begin == 0, ids);
  }
  return ids;
}

std::vector<int32_t> PipelineTokenizer::encode(std::string_view text, bool special) const {
  std::vector<int32_t> ids = encode_bare(text);
  truncation_.apply(ids, special ? static_cast<int64_t>(before_.size() + behind_.size()) : 0);
  if (post_processor_) post_processor_->apply(ids, special);
  padding_.apply(ids);
  return ids;
}

EncodedText PipelineTokenizer::encode_text(std::string_view first,
                                           std::optional<std::string_view> second,
                                           int64_t limit) const {
  std::vector<int32_t> a = encode_bare(first), b;
  if (second) b = encode_bare(*second);
  const auto assembled = [&] {
    TypedIds out;
    if (!post_processor_ || !post_processor_->assemble(a, second ? &b : nullptr, out)) {
      out.add(a, 0);
      if (second) out.add(b, 1);
    }
    return out;
  };
  TypedIds whole = assembled();
  const auto length = static_cast<int64_t>(whole.ids.size());
  if (int64_t excess = length - limit; excess > 0) {
    if (excess > std::ssize(a) + std::ssize(b))
      throw bad_input(fmt::format("the special tokens alone are more than {} ids", limit), where_);
    for (; excess > 0; --excess) (a.size() >= b.size() ? a : b).pop_back();
    whole = assembled();
  }
  return {std::move(whole.ids), std::move(whole.types), length};
}

std::string PipelineTokenizer::token(int32_t id) const {
  if (const AddedToken* added = added_.find(int64_t{id})) return added->content;
  if (model_->vocabulary().has(id)) return std::string(model_->vocabulary().token(id));
  throw bad_input(
      fmt::format("no token has the id {} (ids run from 0 to {})", id, vocab_size() - 1), where_);
}

std::string PipelineTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids)
    if (!skip_special || !is_special(id)) tokens.push_back(token(id));
  if (decoder_) decoder_->apply(tokens);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && !decoder_) text += ' ';
    text += tokens[i];
  }
  return text;
}

void PipelineTokenizer::identify(const std::function<void(std::string_view)>& part) const {
  const Vocabulary& vocabulary = model_->vocabulary();
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.has(id)) continue;
    part(fmt::format("{} {} ", id, vocabulary.token(id).size()));
    part(vocabulary.token(id));
  }
  part(model_->fingerprint());
  part(components_);
}

}  // namespace

std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerDefinition definition) {
  return std::make_shared<PipelineTokenizer>(std::move(definition));
}

}  // namespace attar
