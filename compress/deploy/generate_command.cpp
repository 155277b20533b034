#include "compress/deploy/generate_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/base/progress.h"
#include "compress/deploy/text_model.h"

namespace attar {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

const char* to_string(Stop stop) {
  switch (stop) {
    case Stop::end_id:
      return "end token";
    case Stop::last_position:
      return "the model's last position reached";
    case Stop::limit:
      return "--max-new-tokens reached";
    case Stop::sink:
      break;
  }
  return "asked to";
}

std::shared_ptr<const TextModel> load(const GenerateArguments& arguments) {
  const RuntimeOptions options{parse_activations(arguments.activations, "--activations"),
                               parse_kv_format(arguments.kv, "--kv-cache"), arguments.packed_cache};
  auto tokenizer = Tokenizer::load(arguments.path);
  return TextModel::load(open_model(arguments.path), std::move(tokenizer), options);
}

/// The prompt as it stands, or as a user's message in the model's chat template.
int64_t read_prompt(const GenerateArguments& arguments, TextSession& session) {
  if (!arguments.chat) {
    session.read(session.model().prompt_ids(arguments.prompt));
  } else {
    std::vector<ChatMessage> messages;
    if (!arguments.system.empty()) messages.push_back({"system", arguments.system});
    messages.push_back({"user", arguments.prompt});
    session.become(session.model().chat_ids(messages));
  }
  return session.position();
}

}  // namespace

po::options_description generate_options(GenerateArguments& arguments) {
  po::options_description options("Options");
  SamplingOptions& sampling = arguments.sampling;
  options.add_options()                                                                  //
      ("model", po::value(&arguments.path)->required(), "model directory or GGUF file")  //
      ("prompt", po::value(&arguments.prompt)->required(), "text to continue; may be empty")(
          "max-new-tokens", po::value(&arguments.limit)->default_value(arguments.limit),
          "ids to write at most")  //
      ("temperature", po::value(&sampling.temperature)->default_value(0),
       "0 always takes the likeliest id")  //
      ("top-k", po::value(&sampling.top_k)->default_value(0),
       "draw from the k likeliest ids; 0 = all")  //
      ("top-p", po::value(&sampling.top_p)->default_value(1),
       "draw from the likeliest ids that hold this probability")  //
      ("min-p", po::value(&sampling.min_p)->default_value(0),
       "draw from ids at least this likely, as a share of the likeliest's probability")  //
      ("seed", po::value(&sampling.seed)->default_value(0), "of the draws")              //
      ("activations", po::value(&arguments.activations)->default_value("exact"),
       "how inputs enter products with quantized weights: exact, int16 or int8 (each faster)")  //
      ("kv-cache", po::value(&arguments.kv)->default_value("float32"),
       "what keys and values are kept as: float32, float16, bfloat16 or int8")                //
      ("echo", po::bool_switch(&arguments.echo), "print the prompt before its continuation")  //
      ("chat", po::bool_switch(&arguments.chat),
       "the prompt is a user's message: use the model's chat template")  //
      ("system", po::value(&arguments.system)->default_value(""),
       "with --chat: the system message");
  add_packed_cache(options, arguments.packed_cache);
  return options;
}

void generate_text(const GenerateArguments& arguments, bool json) {
  if (arguments.limit < 1) throw bad_input("--max-new-tokens must be at least 1");
  TextSession session(load(arguments));
  std::string text;
  auto start = Clock::now();
  const int64_t prompt_tokens = read_prompt(arguments, session);
  const double prefill_seconds = seconds_since(start);
  if (arguments.echo && !json) fmt::print("{}", arguments.prompt);
  start = Clock::now();
  const Generated result =
      session.generate(arguments.sampling, arguments.limit, [&](const std::string& piece) {
        text += piece;
        if (json) return true;
        std::fwrite(piece.data(), 1, piece.size(), stdout);
        std::fflush(stdout);
        return true;
      });
  const double seconds = seconds_since(start);
  const double rate = static_cast<double>(result.ids.size()) / std::max(seconds, 1e-9);
  if (json) {
    const nlohmann::ordered_json row = {{"text", text},
                                        {"ids", result.ids},
                                        {"prompt_tokens", prompt_tokens},
                                        {"stopped", to_string(result.stop)},
                                        {"prefill_seconds", prefill_seconds},
                                        {"decode_tokens_per_s", rate}};
    fmt::print("{}\n", row.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (::isatty(1)) {
    fmt::print("\n");
  }
  say(fmt::format(
      "{} tokens in {:.2f} s ({:.1f}/s) after {} prompt tokens in {:.2f} s; stopped: {}",
      result.ids.size(), seconds, rate, prompt_tokens, prefill_seconds, to_string(result.stop)));
}

}  // namespace attar
