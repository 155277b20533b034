#include "compress/deploy/text_encoder.h"

#include <fmt/format.h>

#include "compress/architecture/sentence_modules.h"
#include "compress/base/error.h"
#include "compress/deploy/text_model.h"

namespace attar {

TextEncoder TextEncoder::load(const Model& opened, std::shared_ptr<const Tokenizer> tokenizer,
                              const RuntimeOptions& options) {
  TextEncoder encoder;
  encoder.where = opened.path.string();
  encoder.model = EncoderModel::load(opened, options);
  if (tokenizer) check_vocabulary(*tokenizer, opened.spec, encoder.where);
  encoder.tokenizer = std::move(tokenizer);
  encoder.limit = longest_text(opened.path, opened.spec);
  return encoder;
}

void TextEncoder::require(Task task) const {
  const ModelSpec& spec = model->spec();
  if (spec.task == task) return;
  if (task == Task::classify)
    throw bad_input(fmt::format("{} has no classifier head", spec.architecture), where,
                    "`attar embed` gives its vectors");
  throw bad_input(fmt::format("{} is a classifier", spec.architecture), where,
                  "`attar classify` gives its labels");
}

EncodedText TextEncoder::encode(const TextInput& text, bool truncate,
                                const std::string& place) const {
  const Tokenizer& own = require_tokenizer(tokenizer, where);
  EncodedText ids;
  try {
    ids = own.encode_text(text.first, text.second, limit);
  } catch (const Error& error) {
    throw Error(error.code(), error.what(),
                place + (error.where().empty() ? "" : ", ") + error.where(), error.hint());
  }
  if (ids.cut() && !truncate)
    throw bad_input(fmt::format("the text has {} ids, and the model takes {}", ids.length, limit),
                    place, "shorten it, or ask for what comes after to be left out (--truncate)");
  if (ids.ids.empty()) throw bad_input("the text gives no ids", place);
  return ids;
}

}  // namespace attar
