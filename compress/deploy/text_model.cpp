#include "compress/deploy/text_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/runtime/end_ids.h"

namespace attar {

void check_vocabulary(const Tokenizer& tokenizer, const ModelSpec& spec, const std::string& where) {
  if (tokenizer.vocab_size() > spec.vocab)
    throw bad_input(fmt::format("the tokenizer has {} ids, the model's embedding {}",
                                tokenizer.vocab_size(), spec.vocab),
                    where, "tokenizer.json and the weights belong to different models");
}

const Tokenizer& require_tokenizer(const std::shared_ptr<const Tokenizer>& tokenizer,
                                   const std::string& model) {
  if (!tokenizer)
    throw bad_input("the model has no tokenizer", model,
                    "copy the model's tokenizer.json beside its weights");
  return *tokenizer;
}

std::shared_ptr<const TextModel> TextModel::load(const Model& opened,
                                                 std::shared_ptr<const Tokenizer> tokenizer,
                                                 const RuntimeOptions& options) {
  auto model = std::make_shared<TextModel>();
  model->path = opened.path;
  model->runtime = RuntimeModel::load(opened, options);
  if (tokenizer) check_vocabulary(*tokenizer, opened.spec, opened.path.string());
  model->tokenizer = std::move(tokenizer);
  model->ends = end_ids(opened.path, opened.spec);
  return model;
}

std::vector<int32_t> TextModel::prompt_ids(std::string_view prompt) const {
  auto ids = require_tokenizer(tokenizer, path.string()).encode(prompt);
  const auto bos = runtime->spec().bos_id;
  if (ids.empty() && bos)  // a text starts somewhere, template or not
    ids.push_back(static_cast<int32_t>(*bos));
  if (ids.empty())
    throw bad_input("the prompt is empty and the model names no BOS token", path.string(),
                    "give a prompt");
  return ids;
}

std::vector<int32_t> TextModel::chat_ids(const std::vector<ChatMessage>& messages) const {
  const auto format = ChatTemplate::load(path);
  if (!format)
    throw bad_input("the model has no chat template", path.string(),
                    "it is no chat model: give it a plain prompt");
  // The template writes its own BOS.
  return require_tokenizer(tokenizer, path.string()).encode(format->render(messages, true), false);
}

TextSession::TextSession(std::shared_ptr<const TextModel> model)
    : model_(std::move(model)), session_(model_->runtime) {}

void TextSession::read(std::span<const int32_t> ids) {
  logits_ = session_.advance(ids);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
}

void TextSession::become(std::span<const int32_t> ids) {
  const bool continues =
      ids.size() >= ids_.size() && std::equal(ids_.begin(), ids_.end(), ids.begin());
  if (!continues) clear();
  if (ids.size() > ids_.size()) read(ids.subspan(ids_.size()));
  text_begins_ = ids_.size();
}

void TextSession::clear() {
  *this = TextSession(model_);
}

/// The next id; nothing where the text ends.
std::optional<int32_t> TextSession::draw(Sampler& sampler, Generated& result) {
  if (full_) {
    result.stop = Stop::last_position;
    return {};
  }
  const int32_t id = sampler.next(logits_);
  if (std::find(model_->ends.begin(), model_->ends.end(), id) != model_->ends.end()) {
    result.stop = Stop::end_id;
    return {};
  }
  return id;
}

Generated TextSession::generate(const SamplingOptions& sampling, int64_t limit,
                                const TextSink& sink) {
  if (ids_.empty()) throw bad_input("there is nothing to continue: nothing was read yet");
  Generated result;
  Sampler sampler(sampling);
  std::optional<StreamDecoder> decoder;
  if (model_->tokenizer) {
    decoder.emplace(model_->tokenizer);
    decoder->follow(std::span(ids_).subspan(text_begins_));
  }
  bool wanted = true;
  const auto emit = [&](const std::string& piece) {
    if (wanted && !piece.empty()) wanted = sink(piece);
  };
  while (wanted && std::ssize(result.ids) < limit) {
    check_interrupted();
    const auto id = draw(sampler, result);
    if (!id) break;
    result.ids.push_back(*id);
    if (decoder) emit(decoder->push(*id));
    full_ = position() >= model_->runtime->spec().max_positions;
    if (!full_) read({&*id, 1});
  }
  if (decoder) emit(decoder->finish());
  if (!wanted) result.stop = Stop::sink;
  return result;
}

}  // namespace attar
