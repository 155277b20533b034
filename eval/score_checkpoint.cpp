#include "eval/score_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/progress.h"
#include "compress/formats/safetensors.h"

namespace attar::eval {
namespace {

constexpr double kSeconds = 20, kShare = 0.02;  // between saves; of the time, for saving

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Calls f(name, type, values) for every array of all models' scores.
template <class Scores, class F>
void each_array(Scores& scores, const F& f) {
  for (size_t m = 0; m < scores.size(); ++m) {
    const auto give = [&](const char* name, DType type, auto& values) {
      if (!values.empty()) f(fmt::format("{}.{}", m, name), type, values);
    };
    auto& s = scores[m];
    give("loss", DType::f64, s.loss);
    give("hit", DType::u8, s.hit);
    give("kl", DType::f64, s.kl);
    give("agrees", DType::u8, s.agrees);
    give("deviation", DType::f64, s.deviation);
  }
}

std::string hash_of(const std::vector<TokenScores>& scores) {
  Sha256 hash;
  each_array(scores, [&](const std::string&, DType, const auto& values) {
    hash.update(std::as_bytes(std::span(values)));
  });
  return hash.hex();
}

}  // namespace

int64_t ScoreCheckpoint::restore(std::vector<TokenScores>& scores) {
  if (!fs::exists(file_)) return 0;
  const auto fresh = scores;
  try {
    const Safetensors file = Safetensors::open(file_);
    if (file.metadata().at("key") != key_) return 0;
    each_array(scores, [&](const std::string& name, DType, auto& values) {
      const auto bytes = file.at(name).bytes;
      if (bytes.size() != std::as_bytes(std::span(values)).size())
        throw bad_input("another size: " + name);
      std::memcpy(values.data(), bytes.data(), bytes.size());
    });
    if (file.metadata().at("sha256") != hash_of(scores)) throw bad_input("it is damaged");
    return std::stoll(file.metadata().at("done"));
  } catch (const std::exception& e) {
    say(fmt::format("begins anew, {} can't be used: {}", file_.string(), e.what()));
    scores = fresh;
    return 0;
  }
}

bool ScoreCheckpoint::due() const {
  return seconds_since(saved_) > std::max(kSeconds, cost_ / kShare);
}

void ScoreCheckpoint::save(const std::vector<TokenScores>& scores, int64_t done) {
  const auto start = Clock::now();
  std::vector<SafetensorsWriter::Declaration> tensors;
  each_array(scores, [&](const std::string& name, DType type, const auto& values) {
    tensors.push_back({name, type, {std::ssize(values)}});
  });
  fs::create_directories(file_.parent_path());
  SafetensorsWriter writer(
      file_, tensors, {{"key", key_}, {"done", std::to_string(done)}, {"sha256", hash_of(scores)}});
  each_array(scores, [&](const std::string& name, DType, const auto& values) {
    writer.write(name, std::as_bytes(std::span(values)));
  });
  writer.finish();
  saved_ = Clock::now();
  cost_ = seconds_since(start);
}

void ScoreCheckpoint::remove() {
  std::error_code ignored;
  fs::remove(file_, ignored);
}

}  // namespace attar::eval
