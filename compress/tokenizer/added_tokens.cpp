#include "compress/tokenizer/added_tokens.h"

#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

/// Where the character that ends before `at` begins.
size_t previous_character(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

char32_t character_at(std::string_view text, size_t at) {
  return next_character(text, at);
}

bool touches_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && is_word_character(character_at(text, previous_character(text, begin)))) ||
         (end < text.size() && is_word_character(character_at(text, end)));
}

AddedToken read_token(Fields& fields) {
  AddedToken token;
  token.content = fields.text("content");
  const int64_t id = fields.integer("id");
  if (id < 0 || id > Vocabulary::kLargestId)
    throw bad_input(fmt::format("the id {} is outside 0 to {}", id, Vocabulary::kLargestId),
                    fields.where("id"));
  token.id = static_cast<int32_t>(id);
  token.special = fields.flag("special", false);
  token.single_word = fields.flag("single_word", false);
  token.lstrip = fields.flag("lstrip", false);
  token.rstrip = fields.flag("rstrip", false);
  token.normalized = fields.flag("normalized", !token.special);
  fields.finish();
  return token;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<Fields> list, const Normalizer* normalizer,
                         const Vocabulary& vocabulary) {
  for (Fields& fields : list) {
    AddedToken token = read_token(fields);
    const auto known = vocabulary.find(token.content);
    if ((known && *known != token.id) || (!known && vocabulary.has(token.id)) ||
        tokens_.contains(token.id) || ids_.contains(token.content))
      throw bad_input(fmt::format("the added token \"{}\" with the id {} contradicts another token",
                                  token.content, token.id),
                      fields.where());
    ids_[token.content] = token.id;
    tokens_.emplace(token.id, std::move(token));
  }
  for (const auto& [id, token] : tokens_) {
    std::string content = token.content;
    if (token.normalized && normalizer) normalizer->apply(content);
    if (!content.empty()) (token.normalized ? normalized_ : raw_).add(content, &token);
  }
}

void AddedTokens::Trie::add(std::string_view text, const AddedToken* token) {
  size_t node = 0;
  for (const char c : text) {
    const auto [entry, fresh] = nodes_[node].next.try_emplace(c, nodes_.size());
    node = entry->second;
    if (fresh) nodes_.emplace_back();
  }
  if (!nodes_[node].token) nodes_[node].token = token;
}

const AddedToken* AddedTokens::Trie::find(std::string_view text, size_t from, size_t& begin,
                                          size_t& end) const {
  if (nodes_[0].next.empty()) return nullptr;
  std::string firsts;
  for (const auto& [c, node] : nodes_[0].next) firsts += c;
  for (begin = text.find_first_of(firsts, from); begin != std::string_view::npos;
       begin = text.find_first_of(firsts, begin + 1)) {
    const AddedToken* longest = nullptr;
    size_t node = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      const auto next = nodes_[node].next.find(text[at]);
      if (next == nodes_[node].next.end()) break;
      node = next->second;
      if (!nodes_[node].token) continue;
      longest = nodes_[node].token;
      end = at + 1;
    }
    if (longest) return longest;
  }
  return nullptr;
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, bool normalized) const {
  const Trie& trie = normalized ? normalized_ : raw_;
  std::vector<Part> parts;
  size_t open = 0;  // where the text that belongs to no token begins
  size_t begin = 0, end = 0, from = 0;
  for (const AddedToken* token; (token = trie.find(text, from, begin, end));) {
    from = end;
    if (token->single_word && touches_word(text, begin, end)) continue;
    while (token->lstrip && begin > open &&
           is_white_space(character_at(text, previous_character(text, begin))))
      begin = previous_character(text, begin);
    while (token->rstrip && end < text.size() && is_white_space(character_at(text, end)))
      end += utf8_length(text[end]);
    if (open < begin) parts.push_back({open, begin, -1});
    parts.push_back({begin, end, token->id});
    open = end;
  }
  if (open < text.size()) parts.push_back({open, text.size(), -1});
  return parts;
}

const AddedToken* AddedTokens::find(int64_t id) const {
  const auto found = id < 0 || id > Vocabulary::kLargestId ? tokens_.end()
                                                           : tokens_.find(static_cast<int32_t>(id));
  return found == tokens_.end() ? nullptr : &found->second;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? nullptr : find(int64_t{found->second});
}

}  // namespace attar
