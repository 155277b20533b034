#include "compress/tokenizer/chat_template.h"

#include "compress/base/error.h"

namespace attar {
namespace {

/// tokenizer_config.json, an empty object when absent.
jinja::Value read_config(const fs::path& path) {
  if (!fs::exists(path)) return jinja::Value::object();
  auto config = jinja::Value::parse(read_text(path), nullptr, false);
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

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const fs::path& directory) {
  const auto config_path = directory / "tokenizer_config.json",
             file = directory / "chat_template.jinja";
  const auto config = read_config(config_path);
  ChatTemplate result;
  std::string where = config_path.string();
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
