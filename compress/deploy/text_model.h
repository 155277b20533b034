// Text from a causal language model: what `attar generate`, attar-run and the C interface share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/runtime/model.h"
#include "compress/tokenizer/chat_template.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

/// bad_input when the tokenizer has ids that the model's embedding has not. `where` is the model.
void check_vocabulary(const Tokenizer& tokenizer, const ModelSpec& spec, const std::string& where);

/// The tokenizer; bad_input when it is null. `model` is where there is none.
const Tokenizer& require_tokenizer(const std::shared_ptr<const Tokenizer>& tokenizer,
                                   const std::string& model);

/// A model that writes text, and what turns text into its ids.
struct TextModel {
  fs::path path;
  std::shared_ptr<const RuntimeModel> runtime;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: none is there, and only ids can be read
  std::vector<int32_t> ends;                   // ids that end a text

  /// Throws what RuntimeModel::load, check_vocabulary and end_ids do.
  static std::shared_ptr<const TextModel> load(const Model& opened,
                                               std::shared_ptr<const Tokenizer> tokenizer,
                                               const RuntimeOptions& options);

  /// The ids to continue for a text as it stands; bad_input when there are none.
  std::vector<int32_t> prompt_ids(std::string_view prompt) const;
  /// For a conversation in the model's chat template, up to where the assistant's answer begins.
  /// bad_input for a model without a template.
  std::vector<int32_t> chat_ids(const std::vector<ChatMessage>& messages) const;
};

/// What ended a text; `sink`: the one who receives it.
enum class Stop { end_id, limit, last_position, sink };

struct Generated {
  std::vector<int32_t> ids;
  Stop stop = Stop::limit;
};

/// Sees the text piece by piece, each of them whole UTF-8 characters; false stops.
using TextSink = std::function<bool(const std::string& piece)>;

/// A text that is read and written: a session with the logits behind its last id.
class TextSession {
 public:
  explicit TextSession(std::shared_ptr<const TextModel> model);

  const TextModel& model() const { return *model_; }
  int64_t position() const { return session_.position(); }
  /// [vocab]; empty before the first id.
  std::span<const float> logits() const { return logits_; }

  /// Appends ids. Errors as of Session::advance.
  void read(std::span<const int32_t> ids);
  /// Makes the text that of `ids`, a conversation: reads what is missing, from the beginning unless
  /// they continue what was read and written before. What is generated then begins a text.
  void become(std::span<const int32_t> ids);
  void clear();

  /// Draws ids until an end id, `limit` of them or the model's last position, and reads all but the
  /// end id, so that another call goes on. bad_input when nothing was read yet. Without a tokenizer
  /// there are ids, but no pieces.
  Generated generate(const SamplingOptions& sampling, int64_t limit, const TextSink& sink);

 private:
  std::optional<int32_t> draw(Sampler& sampler, Generated& result);

  std::shared_ptr<const TextModel> model_;
  Session session_;
  std::vector<int32_t> ids_;   // all that were read
  size_t text_begins_ = 0;     // what is generated continues the ids from here on
  std::vector<float> logits_;  // after the last of them
  bool full_ = false;          // an id was written at the last position, where it can't be read
};

}  // namespace attar
