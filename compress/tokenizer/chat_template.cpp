#include "compress/tokenizer/chat_template.h"

#include <fmt/core.h>

#include "compress/base/error.h"
#include "compress/formats/gguf/file.h"
#include "compress/formats/json.h"

namespace attar {
namespace {

/// tokenizer_config.json, an empty object when absent.
jinja::Value read_config(const fs::path& path) {
  if (!fs::exists(path)) return jinja::Value::object();
  auto config = parse_json<jinja::Value>(read_text(path), path.string());
  if (!config.is_object()) throw bad_input("not a JSON object", path.string());
  return config;
}

/// A token is written as text or as {"content": text, …}.
std::string token_text(const jinja::Value& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string())
    return token["content"].get<std::string>();
  return {};
}

/// `chat_template` is text, or a list of {name, template}.
std::string template_text(const jinja::Value& entry, const std::string& where) {
  if (entry.is_string()) return entry.get<std::string>();
  if (entry.is_array())
    for (const auto& item : entry)
      if (item.is_object() && item.value("name", "") == "default")
        return item.value("template", "");
  throw bad_input("chat_template is neither text nor a list with a template named 'default'",
                  where);
}

/// The template of a GGUF file with the tokens that it names, in tokenizer_config.json's keys.
jinja::Value gguf_config(const fs::path& file) {
  const gguf::File opened = gguf::File::open(file);
  const gguf::Metadata& metadata = opened.metadata();
  jinja::Value config = jinja::Value::object();
  if (const auto* text = metadata.text("tokenizer.chat_template")) config["chat_template"] = *text;
  const auto* tokens = metadata.texts("tokenizer.ggml.tokens");
  for (const auto& [token, key] : {std::pair("bos_token", "bos"),
                                   {"eos_token", "eos"},
                                   {"pad_token", "padding"},
                                   {"unk_token", "unknown"}}) {
    const auto id = metadata.integer(fmt::format("tokenizer.ggml.{}_token_id", key));
    if (id && tokens != nullptr && *id >= 0 && *id < std::ssize(*tokens))
      config[token] = (*tokens)[static_cast<size_t>(*id)];
  }
  return config;
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const fs::path& model) {
  const auto config_path = model / "tokenizer_config.json", file = model / "chat_template.jinja";
  auto config = read_config(config_path);
  ChatTemplate result;
  std::string where = config_path.string();
  if (!fs::exists(config_path) && !fs::exists(file))
    if (const auto vocabulary = gguf::find_vocabulary_file(model)) {
      where = vocabulary->string() + ": tokenizer.chat_template";
      config = gguf_config(*vocabulary);
    }
  if (fs::exists(file)) {
    where = file.string();
    result.source_ = read_text(file);
  } else if (config.contains("chat_template") && !config["chat_template"].is_null()) {
    result.source_ = template_text(config["chat_template"], where);
  } else {
    return std::nullopt;
  }
  result.template_ = jinja::Template::parse(result.source_, where);
  result.variables_ = jinja::Value::object();
  for (const char* token : {"bos_token", "eos_token", "pad_token", "unk_token"})
    if (config.contains(token) && !config[token].is_null())
      result.variables_[token] = token_text(config[token]);
  return result;
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                 bool generation_prompt) const {
  jinja::Value variables = variables_;
  variables["messages"] = jinja::Value::array();
  for (const auto& message : messages)
    variables["messages"].push_back({{"role", message.role}, {"content", message.content}});
  variables["add_generation_prompt"] = generation_prompt;
  return template_->render(variables);
}

}  // namespace attar
