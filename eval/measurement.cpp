#include "eval/measurement.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/process.h"
#include "compress/base/threads.h"
#include "compress/kernels/matmul.h"
#include "compress/runtime/speed.h"

extern char** environ;

namespace attar::eval {
namespace {

constexpr int kRepetitions = 3;

/// Runs a program; returns what it wrote to standard output. Throws failure unless it ends with 0.
std::string output_of(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe(ends) != 0) throw failure("cannot open a pipe", words[0]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got; error == 0;) {
    got = ::read(ends[0], buffer, sizeof buffer);
    if (got > 0) text.append(buffer, static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  ::close(ends[0]);
  int status = 0;
  while (error == 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  check_interrupted();
  if (error != 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw failure("the process that measures speed and memory failed",
                  fmt::format("{}", fmt::join(words, " ")),
                  "run this command by itself to see why");
  return text;
}

Measurement measure_here(const std::filesystem::path& path, const std::filesystem::path& adapter,
                         const SpeedOptions& options, Activations activations) {
  reset_peak_rss();
  const auto start = std::chrono::steady_clock::now();
  Model opened = open_model(path);
  if (!adapter.empty()) opened = with_adapter(std::move(opened), adapter);
  Measurement m;
  m.method = "in the evaluating process: memory includes what it held before";
  if (opened.spec.task != Task::causal_lm) {
    const EncoderSpeed speed = measure_speed(*EncoderModel::load(opened, {activations}), options);
    m.prefill_tokens_per_s = speed.text_tokens_per_s.median;
    m.batch_texts_per_s = speed.batch_tokens_per_s.median / static_cast<double>(speed.ids);
    m.peak_rss_bytes = peak_rss_bytes();
    return m;
  }
  const auto model = RuntimeModel::load(opened, {activations});
  m.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Speed speed = measure_speed(model, options);
  m.prefill_tokens_per_s = speed.prefill_tokens_per_s.median;
  m.decode_tokens_per_s = speed.decode_tokens_per_s.median;
  m.batch_decode_tokens_per_s = speed.batch_tokens_per_s.median;
  m.first_token_seconds = speed.first_token_seconds;
  m.peak_rss_bytes = speed.peak_rss_bytes;
  return m;
}

Measurement measure_beside(const std::filesystem::path& program, const std::filesystem::path& path,
                           const SpeedOptions& options, Activations activations) {
  const std::string text = output_of(
      {program.string(), "bench", "model", path.string(), "--prompt",
       std::to_string(options.prompt), "--generate", std::to_string(options.generate), "--batch",
       std::to_string(options.batch), "--repetitions", std::to_string(options.repetitions),
       "--activations", std::string(to_string(activations)), "--threads",
       std::to_string(thread_count()), "--quiet", "--json"});
  const auto json = nlohmann::json::parse(text, nullptr, false);
  Measurement m;
  try {
    m.prefill_tokens_per_s = json.at("prefill_tokens_per_s");
    if (const auto& decode = json.at("decode_tokens_per_s"); !decode.is_null())
      m.decode_tokens_per_s = decode.get<double>();
    if (json.contains("batch_decode_tokens_per_s"))
      m.batch_decode_tokens_per_s = json["batch_decode_tokens_per_s"];
    if (json.contains("batch_texts_per_s")) m.batch_texts_per_s = json["batch_texts_per_s"];
    if (json.contains("first_token_seconds")) m.first_token_seconds = json["first_token_seconds"];
    if (json.contains("load_seconds")) m.load_seconds = json["load_seconds"];
    m.peak_rss_bytes = json.at("peak_rss_bytes");
  } catch (const nlohmann::json::exception& e) {
    throw failure(std::string("cannot read what `attar bench model` printed: ") + e.what(),
                  program.string(), "is it of the same version as this program?");
  }
  m.method = "in a fresh process: attar bench model";
  return m;
}

}  // namespace

Measurement measure_model(const std::filesystem::path& path, const std::filesystem::path& adapter,
                          int64_t max_positions, Activations activations) {
  SpeedOptions options;
  options.prompt = std::clamp<int64_t>(max_positions * 3 / 4, 1, 512);
  options.generate = std::clamp<int64_t>(max_positions - options.prompt, 1, 64);
  options.batch = Measurement::kBatch;
  options.repetitions = kRepetitions;
  const auto program = executable_directory() / "attar";
  Measurement m = adapter.empty() && std::filesystem::exists(program)
                      ? measure_beside(program, path, options, activations)
                      : measure_here(path, adapter, options, activations);
  m.prompt = options.prompt;
  m.generate = m.decode_tokens_per_s ? options.generate : 0;
  m.repetitions = options.repetitions;
  m.threads = thread_count();
  m.kernel = kernel_name();
  m.activations = to_string(activations);
  return m;
}

nlohmann::ordered_json describe(const Measurement& m) {
  return {{"method", m.method},
          {"prompt_tokens", m.prompt},
          {"generated_tokens", m.generate},
          {"repetitions", m.repetitions},
          {"batch", 1},
          {"threads", m.threads},
          {"activations", m.activations},
          {"kernel", m.kernel}};
}

}  // namespace attar::eval
