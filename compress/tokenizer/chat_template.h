// Chat templates: messages to the text that a model was trained on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compress/base/files.h"
#include "compress/tokenizer/jinja/jinja.h"

namespace attar {

struct ChatMessage {
  std::string role, content;  // "system", "user", "assistant"
};

class ChatTemplate {
 public:
  /// The model directory's chat_template.jinja, or `chat_template` of its tokenizer_config.json (of
  /// several the one named "default"), or what its GGUF file carries; nothing when it has none.
  /// Throws bad_input when it can't be parsed.
  static std::optional<ChatTemplate> load(const fs::path& model);

  /// The text to encode without further special tokens: the template writes its own BOS. With
  /// `generation_prompt` it ends where the assistant begins. Throws bad_input when the template
  /// refuses.
  std::string render(const std::vector<ChatMessage>& messages, bool generation_prompt) const;

  const std::string& source() const { return source_; }

 private:
  std::string source_;
  std::optional<jinja::Template> template_;
  jinja::Value variables_;  // bos_token, eos_token, …
};

}  // namespace attar
