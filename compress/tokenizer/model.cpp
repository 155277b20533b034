#include "compress/tokenizer/model.h"

#include <fmt/core.h>

#include "compress/base/error.h"

namespace attar {
namespace {

struct Row {
  std::string_view type;
  std::unique_ptr<TokenModel> (*make)(const ModelSource& source);
};
constexpr Row kModels[] = {
    {"BPE", make_bpe},
    {"WordPiece", make_wordpiece},
    {"Unigram", make_unigram},
};

}  // namespace

std::unique_ptr<TokenModel> make_model(const ModelSource& source) {
  source.fields.find("vocab");
  source.fields.find("merges");
  const std::string type = source.fields.text("type", source.merges ? "BPE" : "WordPiece");
  std::vector<std::string> known;
  for (const Row& row : kModels) {
    if (row.type == type) {
      auto model = row.make(source);
      source.fields.finish();
      return model;
    }
    known.emplace_back(row.type);
  }
  throw_unknown_component("tokenizer model", type, source.fields.where(), known);
}

void TokenModel::add_token(std::string_view token, int64_t id, const ModelSource& source) {
  const auto complain = [&](const std::string& what) {
    return bad_input(fmt::format("{} (token \"{}\")", what, token), source.fields.where("vocab"));
  };
  switch (vocabulary_.add(token, id)) {
    case Vocabulary::Added::yes:
      return;
    case Vocabulary::Added::token_twice:
      throw complain("a token appears twice");
    case Vocabulary::Added::id_twice:
      throw complain(fmt::format("two tokens have the id {}", id));
    case Vocabulary::Added::id_outside:
      throw complain(fmt::format("the id {} is outside 0 to {}", id, Vocabulary::kLargestId));
  }
}

void TokenModel::read_vocabulary(const ModelSource& source) {
  if (source.lists) {
    const auto& tokens = source.lists->tokens;
    vocabulary_.reserve(tokens.size());
    for (size_t id = 0; id < tokens.size(); ++id)
      if (!tokens[id].empty()) add_token(tokens[id], static_cast<int64_t>(id), source);
    return;
  }
  vocabulary_.reserve(source.text.size() / 64);  // about what a file of this size has
  JsonCursor cursor = source.cursor(source.vocabulary);
  cursor.object([&](std::string_view token) {
    // integer() leaves the token's text alone: only string() reuses it.
    add_token(token, cursor.integer(), source);
  });
}

std::vector<int32_t> TokenModel::byte_tokens() const {
  std::vector<int32_t> ids(256);
  for (int byte = 0; byte < 256; ++byte)
    ids[static_cast<size_t>(byte)] = vocabulary_.lookup(fmt::format("<0x{:02X}>", byte));
  return ids;
}

}  // namespace attar
