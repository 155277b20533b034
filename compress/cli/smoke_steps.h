// The steps of a smoke run that look at a model as it is: what they print, what the runtime
// computes from it, and whether that survives a GGUF file.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/base/error.h"

namespace attar::cli {

/// The lines of the result: one a step, as soon as it is done.
class Outcome {
  using Clock = std::chrono::steady_clock;

 public:
  explicit Outcome(bool json) : json_(json) {}

  /// Runs a step that returns what is to be said about it; false when it failed.
  template <class Work>
  bool step(const std::string& name, const std::string& type, Work work) {
    const auto start = Clock::now();
    try {
      const std::string detail = work();
      add("ok", name, type, detail, start);
      return true;
    } catch (const Error& error) {
      if (error.code() == ExitCode::interrupted) throw;
      std::string detail = error.what();
      if (!error.where().empty()) detail += " (" + error.where() + ")";
      add("FAIL", name, type, detail, start);
    } catch (const std::exception& error) {
      add("FAIL", name, type, error.what(), start);
    }
    failed_ = true;
    return false;
  }

  /// A step that cannot be tried because another failed.
  void skip(const std::string& name, const std::string& type, const std::string& why) {
    leave_out(name, type, why);
    failed_ = true;
  }
  /// A step that is not wanted.
  void leave_out(const std::string& name, const std::string& type, const std::string& why) {
    add("-", name, type, why, Clock::now());
  }

  int finish() const {
    if (json_)
      fmt::print("{}\n", nlohmann::ordered_json{{"ok", !failed_}, {"steps", rows_}}.dump(2));
    return static_cast<int>(failed_ ? ExitCode::failed : ExitCode::ok);
  }

 private:
  void add(const char* result, const std::string& name, const std::string& type,
           const std::string& detail, Clock::time_point start) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    rows_.push_back({{"step", name},
                     {"type", type},
                     {"result", result},
                     {"seconds", seconds},
                     {"detail", detail}});
    if (json_) return;
    fmt::print("{:<5}{:<14}{:<10}{:>6.1f} s  {}\n", result, name, type, seconds, detail);
    std::fflush(stdout);
  }

  bool json_, failed_ = false;
  nlohmann::ordered_json rows_ = nlohmann::ordered_json::array();
};

/// How many ids a smoke run's model reads.
inline constexpr int64_t kSmokeIds = 24;
/// Deterministic ids of a vocabulary.
std::vector<int32_t> smoke_ids(int64_t vocab, int64_t count = kSmokeIds);

/// What the runtime computes from the first `count` of smoke_ids: logits [count, vocab] of a model
/// that writes, the vector or the logits of an encoder. Throws failure when that depends on how the
/// ids are given: one by one, or beside another text.
std::vector<float> results_of(const Model& model, int64_t count = kSmokeIds);

/// "largest difference to the runtime 1e-06"; failure when it is more than a rounding.
std::string difference(std::span<const float> found, std::span<const float> expected);

/// Steps "gguf out" and "gguf in": the model of `directory`/model written as GGUF and read again.
/// A model that the format cannot say is left out, with the reason; one whose file is only good for
/// shorter texts (llama.cpp's Llama has no sliding window) is compared on those.
void check_gguf(const std::filesystem::path& directory, std::span<const float> expected,
                Outcome& outcome);

}  // namespace attar::cli
