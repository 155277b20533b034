#include <algorithm>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/deploy/c_api.h"
#include "compress/formats/json.h"

namespace attar::c_api {
namespace {

constexpr int64_t kNewTokens = 256;

std::vector<ChatMessage> parse_messages(const char* text) {
  const std::string where = "messages_json";
  const auto shape = [&] {
    return bad_input("messages are objects with a role and a content, both text", where,
                     R"([{"role": "user", "content": "..."}])");
  };
  const auto json = parse_json<nlohmann::json>(text, where);
  if (!json.is_array() || json.empty()) throw shape();
  std::vector<ChatMessage> messages;
  for (const auto& message : json) {
    if (!message.is_object() || message.size() != 2) throw shape();
    for (const char* key : {"role", "content"})
      if (!message.contains(key) || !message[key].is_string()) throw shape();
    messages.push_back({message["role"].get<std::string>(), message["content"].get<std::string>()});
  }
  return messages;
}

SamplingOptions sampling_options(const attar_sampling& from) {
  SamplingOptions options;
  options.temperature = from.temperature;
  options.top_k = from.top_k;
  if (from.top_p != 0) options.top_p = from.top_p;
  options.min_p = from.min_p;
  options.seed = from.seed;
  return options;
}

attar_stop stop_of(Stop stop) {
  switch (stop) {
    case Stop::end_id:
      return ATTAR_STOP_END;
    case Stop::limit:
      return ATTAR_STOP_LIMIT;
    case Stop::last_position:
      return ATTAR_STOP_POSITION;
    case Stop::sink:
      break;
  }
  return ATTAR_STOP_CALLBACK;
}

}  // namespace
}  // namespace attar::c_api

using namespace attar;
using namespace attar::c_api;

attar_status attar_session_new(const attar_model* model, attar_session** session) {
  return guarded([&] {
    require(model, "model");
    require(session, "session");
    if (!model->text)
      throw bad_input("the model is an encoder, which writes no text", model->where,
                      "see attar_classify() and attar_embed()");
    *session = new attar_session{TextSession(model->text)};
    return ATTAR_OK;
  });
}

void attar_session_free(attar_session* session) {
  delete session;
}

attar_status attar_session_clear(attar_session* session) {
  return guarded([&] {
    require(session, "session");
    session->session.clear();
    return ATTAR_OK;
  });
}

int64_t attar_session_position(const attar_session* session) {
  return session->session.position();
}

attar_status attar_session_prompt(attar_session* session, const char* text) {
  return guarded([&] {
    require(session, "session");
    require(text, "text");
    const TextModel& model = session->session.model();
    if (session->session.position() == 0) {
      session->session.read(model.prompt_ids(text));
      return ATTAR_OK;
    }
    const auto ids = require_tokenizer(model.tokenizer, model.path.string()).encode(text, false);
    if (!ids.empty()) session->session.read(ids);
    return ATTAR_OK;
  });
}

attar_status attar_session_chat(attar_session* session, const char* messages_json) {
  return guarded([&] {
    require(session, "session");
    require(messages_json, "messages_json");
    session->session.become(session->session.model().chat_ids(parse_messages(messages_json)));
    return ATTAR_OK;
  });
}

attar_status attar_session_read(attar_session* session, const int32_t* ids, size_t count,
                                float* logits) {
  return guarded([&] {
    require(session, "session");
    require(ids, "ids");
    session->session.read({ids, count});
    if (logits != nullptr) std::ranges::copy(session->session.logits(), logits);
    return ATTAR_OK;
  });
}

attar_status attar_session_generate(attar_session* session, const attar_sampling* sampling,
                                    attar_text_callback callback, void* user,
                                    attar_generated* result) {
  return guarded([&] {
    require(session, "session");
    const attar_sampling wanted = sampling != nullptr ? *sampling : attar_sampling{};
    if (wanted.max_new_tokens < 0) throw bad_input("must be 0 (256) or more", "max_new_tokens");
    const int64_t limit = wanted.max_new_tokens == 0 ? kNewTokens : wanted.max_new_tokens;
    const Generated written =
        session->session.generate(sampling_options(wanted), limit, [&](const std::string& piece) {
          return callback == nullptr || callback(piece.c_str(), piece.size(), user) == 0;
        });
    if (result != nullptr)
      *result = {static_cast<int64_t>(written.ids.size()), stop_of(written.stop)};
    return ATTAR_OK;
  });
}
