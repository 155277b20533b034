#include "compress/tokenizer/sentencepiece.h"

#include <fmt/core.h>

#include <cmath>

#include "compress/base/error.h"
#include "compress/tokenizer/protobuf.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

void read_piece(ProtobufReader reader, size_t at, const std::string& where,
                VocabularyLists& lists) {
  std::string_view piece;
  float score = 0;
  int64_t kind = 1;
  while (const auto field = reader.next()) {
    if (field->number == 1) piece = reader.bytes(*field);
    if (field->number == 2) score = reader.real(*field);
    if (field->number == 3) kind = reader.integer(*field);
  }
  const auto complain = [&](const std::string& what) {
    return bad_input(fmt::format("piece {} {}", lists.tokens.size(), what),
                     fmt::format("{}: byte {}", where, at));
  };
  if (piece.empty()) throw complain("has no text");
  if (find_invalid_utf8(piece)) throw complain("is not valid UTF-8");
  if (!std::isfinite(score)) throw complain("has a score that is no number");
  if (kind < 1 || kind > 6) throw complain(fmt::format("has the unknown type {}", kind));
  lists.tokens.emplace_back(piece);
  lists.scores.push_back(score);
  lists.kinds.push_back(static_cast<TokenKind>(kind));
}

void read_trainer(ProtobufReader reader, const std::string& where, SentencePieceModel& model) {
  while (const auto field = reader.next()) {
    switch (field->number) {
      case 3: {
        const int64_t type = reader.integer(*field);
        if (type < 1 || type > 4)
          throw bad_input(fmt::format("the model type {} is not known", type),
                          fmt::format("{}: byte {}", where, field->at));
        model.type = static_cast<SentencePieceModel::Type>(type);
        break;
      }
      case 24:
        model.normalization.whitespace_as_suffix = reader.flag(*field);
        break;
      case 35:
        model.byte_fallback = reader.flag(*field);
        break;
      case 40:
        model.unknown_id = reader.integer(*field);
        break;
      case 41:
        model.bos_id = reader.integer(*field);
        break;
      case 42:
        model.eos_id = reader.integer(*field);
        break;
      case 43:
        model.pad_id = reader.integer(*field);
        break;
      default:  // how it was trained
        break;
    }
  }
}

void read_normalizer(ProtobufReader reader, SentencePieceNormalization& spec) {
  while (const auto field = reader.next()) {
    if (field->number == 2) spec.characters_map = reader.bytes(*field);
    if (field->number == 3) spec.add_dummy_prefix = reader.flag(*field);
    if (field->number == 4) spec.remove_extra_whitespaces = reader.flag(*field);
    if (field->number == 5) spec.escape_whitespaces = reader.flag(*field);
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& where) {
  SentencePieceModel model;
  ProtobufReader reader(bytes, where);
  while (const auto field = reader.next()) {
    if (field->number > 3) continue;  // self tests, the way back for normalized text
    reader.bytes(*field);
    if (field->number == 1) read_piece(reader.inner(*field), field->at, where, model.lists);
    if (field->number == 2) read_trainer(reader.inner(*field), where, model);
    if (field->number == 3) read_normalizer(reader.inner(*field), model.normalization);
  }
  VocabularyLists& lists = model.lists;
  if (lists.tokens.empty()) throw bad_input("the SentencePiece model has no pieces", where);
  const auto size = static_cast<int64_t>(lists.tokens.size());
  bool unknown = false;
  for (int64_t id = 0; id < size; ++id) {
    if (lists.is(id, TokenKind::user_defined))
      model.normalization.kept.push_back(lists.tokens[static_cast<size_t>(id)]);
    if (!lists.is(id, TokenKind::unknown)) continue;
    if (unknown) throw bad_input("the SentencePiece model has two unknown pieces", where);
    unknown = true;
    model.unknown_id = id;
  }
  if (!unknown) throw bad_input("the SentencePiece model has no unknown piece", where);
  // The trainer's ids hold only where the piece is there and of that kind.
  for (int64_t* id : {&model.bos_id, &model.eos_id, &model.pad_id})
    if (*id < 0 || *id >= size || !lists.is(*id, TokenKind::control)) *id = -1;
  return model;
}

}  // namespace attar
