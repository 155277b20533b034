#include <fmt/core.h>

#include "compress/tokenizer/gguf_vocabulary.h"

namespace attar {

GgufVocabulary read_gguf_vocabulary(const gguf::Metadata& metadata) {
  const auto key = [](const char* name) { return fmt::format("tokenizer.ggml.{}", name); };
  GgufVocabulary out;
  out.where = metadata.where();
  if (const auto* name = metadata.text("general.name")) out.name = *name;
  out.model = metadata.required_text(key("model"));
  if (const auto* pre = metadata.text(key("pre"))) out.pre = *pre;
  const auto* tokens = metadata.texts(key("tokens"));
  if (!tokens) throw metadata.error(key("tokens"), "the file carries no tokens");
  out.tokens = *tokens;
  out.scores = metadata.floats(key("scores")).value_or(std::vector<float>());
  for (const int64_t type : metadata.integers(key("token_type")).value_or(std::vector<int64_t>())) {
    if (type < 1 || type > 6)
      throw metadata.error(key("token_type"), fmt::format("the token type {} is not known", type));
    out.types.push_back(static_cast<int32_t>(type));
  }
  if (const auto* merges = metadata.texts(key("merges"))) out.merges = *merges;
  if (const auto map = metadata.integers(key("precompiled_charsmap")))
    for (const int64_t byte : *map) out.precompiled_charsmap += static_cast<char>(byte);
  for (const char* name : {"bos_token_id", "eos_token_id", "unknown_token_id", "cls_token_id",
                           "seperator_token_id", "separator_token_id", "padding_token_id"})
    if (const auto id = metadata.integer(key(name))) out.ids[name] = *id;
  for (const char* name : {"add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix",
                           "remove_extra_whitespaces", "normalizer.lowercase"})
    if (const auto flag = metadata.flag(key(name))) out.flags[name] = *flag;
  return out;
}

}  // namespace attar
