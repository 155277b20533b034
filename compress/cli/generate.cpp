// attar generate: text from a model, streamed as it is written.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/cli/command.h"
#include "compress/formats/weights.h"
#include "compress/runtime/end_ids.h"
#include "compress/runtime/model.h"
#include "compress/tokenizer/chat_template.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Generated {
  std::string text;
  std::vector<int32_t> ids;
  const char* stopped = "";
  double prefill_seconds = 0, decode_seconds = 0;
};

/// Reads `prompt`, then draws ids until an end id, `limit` ids or the model's last position.
Generated generate(const std::shared_ptr<const RuntimeModel>& model,
                   const std::shared_ptr<const Tokenizer>& tokenizer,
                   const std::vector<int32_t>& prompt, const std::vector<int32_t>& ends,
                   int64_t limit, const SamplingOptions& sampling, bool stream) {
  Generated result;
  Session session(model);
  Sampler sampler(sampling);
  StreamDecoder decoder(tokenizer);
  const auto emit = [&](const std::string& piece) {
    result.text += piece;
    if (stream && !piece.empty()) {
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    }
  };

  auto start = Clock::now();
  auto logits = session.advance(prompt);
  result.prefill_seconds = seconds_since(start);
  start = Clock::now();
  for (result.stopped = "--max-new-tokens reached"; std::ssize(result.ids) < limit;) {
    check_interrupted();
    const int32_t id = sampler.next(logits);
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
      result.stopped = "end token";
      break;
    }
    result.ids.push_back(id);
    emit(decoder.push(id));
    if (session.position() >= model->spec().max_positions) {
      result.stopped = "the model's last position reached";
      break;
    }
    logits = session.advance({&id, 1});
  }
  emit(decoder.finish());
  result.decode_seconds = seconds_since(start);
  return result;
}

/// The ids to continue: the prompt as it stands, or as a user's message in the model's chat
/// template.
std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const ModelSpec& spec,
                                const fs::path& path, const std::string& prompt, bool chat,
                                const std::string& system) {
  if (chat) {
    const auto format = ChatTemplate::load(path);
    if (!format)
      throw bad_input("the model has no chat template", path.string(),
                      "leave out --chat: it is no chat model");
    std::vector<ChatMessage> messages;
    if (!system.empty()) messages.push_back({"system", system});
    messages.push_back({"user", prompt});
    return tokenizer.encode(format->render(messages, true),
                            false);  // the template writes its own BOS
  }
  auto ids = tokenizer.encode(prompt);
  if (ids.empty() && spec.bos_id)  // a text starts somewhere, template or not
    ids.push_back(static_cast<int32_t>(*spec.bos_id));
  if (ids.empty())
    throw bad_input("the prompt is empty and the model names no BOS token", path.string(),
                    "give a --prompt");
  return ids;
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  SamplingOptions sampling;
  std::string path, prompt, system, activations, kv;
  int64_t limit = 256;
  options.add_options()                                                                    //
      ("model", po::value(&path)->required(), "model directory")                           //
      ("prompt", po::value(&prompt)->required(), "text to continue; may be empty")         //
      ("max-new-tokens", po::value(&limit)->default_value(limit), "ids to write at most")  //
      ("temperature", po::value(&sampling.temperature)->default_value(0),
       "0 always takes the likeliest id")  //
      ("top-k", po::value(&sampling.top_k)->default_value(0),
       "draw from the k likeliest ids; 0 = all")  //
      ("top-p", po::value(&sampling.top_p)->default_value(1),
       "draw from the likeliest ids that hold this probability")  //
      ("min-p", po::value(&sampling.min_p)->default_value(0),
       "draw from ids at least this likely, as a share of the likeliest's probability")  //
      ("seed", po::value(&sampling.seed)->default_value(0), "of the draws")              //
      ("activations", po::value(&activations)->default_value("exact"),
       "how inputs enter products with quantized weights: exact, int16 or int8 (each faster)")  //
      ("kv-cache", po::value(&kv)->default_value("float32"),
       "what keys and values are kept as: float32, float16, bfloat16 or int8")  //
      ("echo", po::bool_switch(), "print the prompt before its continuation")   //
      ("chat", po::bool_switch(),
       "the prompt is a user's message: use the model's chat template")  //
      ("system", po::value(&system)->default_value(""), "with --chat: the system message");
  po::positional_options_description positional;
  positional.add("model", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  if (limit < 1) throw bad_input("--max-new-tokens must be at least 1");

  const RuntimeOptions runtime{parse_activations(activations, "--activations"),
                               parse_kv_format(kv, "--kv-cache")};
  const auto tokenizer = Tokenizer::load(path);
  const auto model = RuntimeModel::load(open_model(path), runtime);
  if (tokenizer->vocab_size() > model->spec().vocab)
    throw bad_input(fmt::format("the tokenizer has {} ids, the model's embedding {}",
                                tokenizer->vocab_size(), model->spec().vocab),
                    path, "tokenizer.json and the weights belong to different models");
  const auto ids =
      prompt_ids(*tokenizer, model->spec(), path, prompt, parsed.values["chat"].as<bool>(), system);

  const bool echo = parsed.values["echo"].as<bool>();
  if (echo && !parsed.json) fmt::print("{}", prompt);
  const auto result =
      generate(model, tokenizer, ids, end_ids(path, model->spec()), limit, sampling, !parsed.json);
  const double rate =
      static_cast<double>(result.ids.size()) / std::max(result.decode_seconds, 1e-9);
  if (parsed.json) {
    const nlohmann::ordered_json json = {{"text", result.text},
                                         {"ids", result.ids},
                                         {"prompt_tokens", ids.size()},
                                         {"stopped", result.stopped},
                                         {"prefill_seconds", result.prefill_seconds},
                                         {"decode_tokens_per_s", rate}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (::isatty(1)) {
    fmt::print("\n");
  }
  say(fmt::format(
      "{} tokens in {:.2f} s ({:.1f}/s) after {} prompt tokens in {:.2f} s; stopped: {}",
      result.ids.size(), result.decode_seconds, rate, ids.size(), result.prefill_seconds,
      result.stopped));
  return 0;
}

}  // namespace

Command generate_command() {
  return {"generate", "MODEL --prompt TEXT [options]", "continues a text",
          "attar generate ./student --prompt \"Once upon a time\" --max-new-tokens 64\n"
          "attar generate ./student --prompt \"Dear customer,\" --temperature 0.8 --seed 1\n"
          "attar generate ./student --chat --prompt \"What is the capital of France?\"",
          run};
}

}  // namespace attar::cli
