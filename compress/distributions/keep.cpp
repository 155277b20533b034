#include "compress/distributions/keep.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/runtime/at_once.h"

namespace attar {
namespace {

TopRows rows_of(const RuntimeModel& model, std::span<const int32_t> ids, TopRows rows) {
  const auto read = ids.first(ids.size() - 1);
  const int64_t vocab = model.spec().vocab, width = model.spec().hidden, count = std::ssize(read);
  std::vector<float> hidden(static_cast<size_t>(count * width)), logits;
  model.embed(read, hidden.data());
  for (int64_t b = 0; b < std::ssize(model.spec().blocks); ++b) {
    check_interrupted();
    model.block(b).forward(hidden.data(), count, nullptr, model.rope(b),
                           model.options().activations);
  }
  rows.resize(count);
  const int64_t step = std::max<int64_t>(64, (int64_t{1} << 20) / vocab);
  for (int64_t begin = 0; begin < count; begin += step) {
    const int64_t some = std::min(step, count - begin);
    logits.resize(static_cast<size_t>(some * vocab));
    model.head(hidden.data() + begin * width, some, logits.data(), begin);
    parallel_for(some, 4, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        const float* row = logits.data() + r * vocab;
        rows.set(begin + r, row, summarize_row(row, vocab),
                 ids[static_cast<size_t>(begin + r + 1)]);
      }
    });
  }
  return rows;
}

}  // namespace

KeptCounts keep_distributions(DistributionStore& store, const std::vector<PredictedIds>& sequences,
                              const std::function<std::shared_ptr<const RuntimeModel>()>& load,
                              const std::string& label) {
  std::vector<size_t> missing;
  int64_t longest = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (store.find(sequences[i].ids, 0)) continue;
    missing.push_back(i);
    longest = std::max<int64_t>(longest, std::ssize(sequences[i].ids));
  }
  const auto total = std::ssize(missing);
  const KeptCounts counts{total, std::ssize(sequences) - total};
  if (missing.empty()) return counts;
  const auto model = load();
  Progress progress(label, total, "sequences");
  const int64_t at_once = sequences_at_once(longest, pass_bytes(model->spec()));
  for (int64_t begin = 0; begin < total; begin += at_once) {
    const int64_t some = std::min(at_once, total - begin);
    std::vector<TopRows> made(static_cast<size_t>(some), store.empty_rows());
    const auto index = [&](int64_t i) { return missing[static_cast<size_t>(begin + i)]; };
    const auto take = [&](int64_t i) {
      try {
        auto& rows = made[static_cast<size_t>(i)];
        rows = rows_of(*model, sequences[index(i)].ids, std::move(rows));
      } catch (const Error& e) {
        if (e.code() == ExitCode::interrupted) throw;
        throw Error(e.code(), fmt::format("{}, sequence {}: {}", label, index(i), e.what()),
                    e.where(), e.hint());
      }
    };
    if (some == 1)
      take(0);
    else
      parallel_for(some, 1, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) take(i);
      });
    for (int64_t i = 0; i < some; ++i)
      store.add(sequences[index(i)].ids, 0, std::move(made[static_cast<size_t>(i)]));
    progress.update(begin + some);
  }
  store.flush();
  return counts;
}

}  // namespace attar
