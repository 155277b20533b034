#include "compress/runtime/speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/random.h"
#include "compress/kernels/benchmark.h"

namespace attar {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::max(1e-9, std::chrono::duration<double>(Clock::now() - start).count());
}

Rate rate_of(std::vector<double> samples) {
  Rate rate;
  rate.samples = samples;
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  rate.median = n % 2 == 1 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
  rate.spread = (samples.back() - samples.front()) / rate.median;
  return rate;
}

/// Fixed pseudo-random ids.
std::vector<int32_t> random_ids(int64_t count, int64_t vocab) {
  Random random(0);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab))));
  return ids;
}

/// Ids a second over the repetitions, after one that is not counted.
template <class Work>
Rate rate_over(int repetitions, int64_t ids, const Work& work) {
  std::vector<double> samples;
  for (int repetition = 0; repetition <= repetitions; ++repetition) {
    check_interrupted();
    const auto start = Clock::now();
    work();
    if (repetition > 0) samples.push_back(static_cast<double>(ids) / seconds_since(start));
  }
  return rate_of(std::move(samples));
}

/// Steps of a batch whose prompts together are one prompt long.
Rate batch_rate(const std::shared_ptr<const RuntimeModel>& model, const SpeedOptions& options,
                std::span<const int32_t> ids) {
  std::vector<int64_t> sequences(static_cast<size_t>(options.batch));
  std::iota(sequences.begin(), sequences.end(), 0);
  Batch batch(model, options.batch);
  const int64_t length = std::max<int64_t>(1, options.prompt / options.batch);
  for (const int64_t sequence : sequences)
    batch.read(sequence, ids.first(static_cast<size_t>(length)));
  const int64_t room = (model->spec().max_positions - length) / (options.repetitions + 1);
  const int64_t steps = std::max<int64_t>(1, std::min(options.generate, room));
  return rate_over(options.repetitions, steps * options.batch, [&] {
    for (int64_t i = 0; i < steps; ++i) batch.step(sequences, ids.first(sequences.size()));
  });
}

}  // namespace

Speed measure_speed(const std::shared_ptr<const RuntimeModel>& model, const SpeedOptions& options) {
  const ModelSpec& spec = model->spec();
  if (options.prompt < 1 || options.generate < 1 || options.repetitions < 1 || options.batch < 1)
    throw bad_input("prompt, generate, batch and repetitions must be at least 1",
                    "speed measurement");
  if (options.prompt + options.generate > spec.max_positions)
    throw bad_input(fmt::format("{} + {} positions are more than the model's maximum of {}",
                                options.prompt, options.generate, spec.max_positions),
                    "speed measurement", "measure with a shorter prompt or fewer new tokens");
  const int64_t count = options.prompt + options.generate;
  const std::vector<int32_t> ids = random_ids(std::max(count, options.batch), spec.vocab);
  const auto prompt = std::span(ids).first(static_cast<size_t>(options.prompt));

  std::vector<double> prefill, decode, bandwidths, shares;
  std::optional<ReadBandwidth> memory;
  uint64_t peak = 0;
  for (int repetition = 0; repetition <= options.repetitions; ++repetition) {
    check_interrupted();
    Session session(model);
    auto start = Clock::now();
    session.advance(prompt);
    const double read = seconds_since(start);
    start = Clock::now();
    for (size_t i = prompt.size(); i < static_cast<size_t>(count); ++i)
      session.advance(std::span(ids).subspan(i, 1));
    const double written = seconds_since(start);
    if (repetition == 0) {  // warms caches, pages and clocks
      peak = peak_rss_bytes();
      if (options.bandwidth) memory.emplace();
      continue;
    }
    prefill.push_back(static_cast<double>(options.prompt) / read);
    decode.push_back(static_cast<double>(options.generate) / written);
    if (!memory) continue;
    bandwidths.push_back(memory->measure());
    shares.push_back(decode.back() * 1e-9 * static_cast<double>(model->step_bytes()) /
                     bandwidths.back());
  }
  Speed speed{rate_of(prefill), rate_of(decode), batch_rate(model, options, ids), 0, peak};
  speed.first_token_seconds =
      static_cast<double>(options.prompt) / speed.prefill_tokens_per_s.median;
  if (!memory) return speed;
  speed.read_bandwidth = rate_of(bandwidths).median;
  speed.decode_share = rate_of(shares).median;
  return speed;
}

EncoderSpeed measure_speed(const EncoderModel& model, const SpeedOptions& options) {
  const ModelSpec& spec = model.spec();
  if (options.prompt < 1 || options.repetitions < 1)
    throw bad_input("prompt and repetitions must be at least 1", "speed measurement");
  if (options.prompt > spec.max_positions)
    throw bad_input(fmt::format("{} ids are more than the model's {} positions", options.prompt,
                                spec.max_positions),
                    "speed measurement", "measure with a shorter prompt");
  EncoderSpeed speed;
  speed.ids = std::min(EncoderSpeed::kIds, spec.max_positions);
  const int64_t in_batch = EncoderSpeed::kBatch * speed.ids;
  const std::vector<int32_t> ids = random_ids(std::max(options.prompt, in_batch), spec.vocab);
  const TextIds text{std::span(ids).first(static_cast<size_t>(options.prompt)), {}};
  std::vector<TextIds> batch;
  for (int64_t i = 0; i < EncoderSpeed::kBatch; ++i)
    batch.push_back(
        {std::span(ids).subspan(static_cast<size_t>(i * speed.ids), static_cast<size_t>(speed.ids)),
         {}});
  speed.text_tokens_per_s = rate_over(options.repetitions, options.prompt, [&] {
    model.run({&text, 1});
  });
  speed.batch_tokens_per_s = rate_over(options.repetitions, in_batch, [&] { model.run(batch); });
  speed.text_seconds = static_cast<double>(options.prompt) / speed.text_tokens_per_s.median;
  return speed;
}

}  // namespace attar
