#include "eval/generation.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"

namespace attar::eval {
namespace {

constexpr int64_t kAtOnce = 16;

/// Where the earliest of `stops` begins in `text`; npos when none does.
size_t first_stop(const std::string& text, const std::vector<std::string>& stops) {
  size_t first = std::string::npos;
  for (const auto& stop : stops) first = std::min(first, text.find(stop));
  return first;
}

Continuation greedy(const std::shared_ptr<const RuntimeModel>& model,
                    std::span<const int32_t> prompt, const Tokenizer* tokenizer,
                    const GreedyOptions& options) {
  Continuation result;
  Session session(model);
  auto logits = session.advance(prompt);
  while (std::ssize(result.ids) < options.limit) {
    const auto id =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (std::find(options.ends.begin(), options.ends.end(), id) != options.ends.end()) break;
    result.ids.push_back(id);
    if (!options.stops.empty() && tokenizer) {
      // A stop string is some ids long at most: what has been written before is without one.
      const std::string text = tokenizer->decode(result.ids, true);
      if (first_stop(text, options.stops) != std::string::npos) break;
    }
    if (session.position() >= model->spec().max_positions) break;
    logits = session.advance({&id, 1});
  }
  if (tokenizer) result.text = tokenizer->decode(result.ids, true);
  if (const size_t stop = first_stop(result.text, options.stops); stop != std::string::npos)
    result.text.erase(stop);
  return result;
}

}  // namespace

std::vector<Continuation> continue_prompts(const Runner& runner,
                                           const std::vector<std::vector<int32_t>>& prompts,
                                           const Tokenizer* tokenizer, const GreedyOptions& options,
                                           const std::string& what) {
  const auto count = static_cast<int64_t>(prompts.size());
  Progress progress(fmt::format("{}: {} writes", what, runner.name), count, "texts");
  std::vector<Continuation> texts(prompts.size());
  for (int64_t begin = 0; begin < count; begin += kAtOnce) {
    check_interrupted();
    const int64_t batch = std::min(kAtOnce, count - begin);
    parallel_for(batch, 1, [&](int64_t from, int64_t to) {
      for (auto i = static_cast<size_t>(begin + from); i < static_cast<size_t>(begin + to); ++i) {
        check_interrupted();
        try {
          texts[i] = greedy(runner.model, prompts[i], tokenizer, options);
        } catch (const Error& e) {
          throw Error(e.code(),
                      fmt::format("model '{}', {}, prompt {}: {}", runner.name, what, i, e.what()),
                      e.where(), e.hint());
        }
      }
    });
    progress.update(begin + batch);
  }
  return texts;
}

}  // namespace attar::eval
