#include "eval/scoring.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "eval/distance.h"
#include "eval/softmax.h"

namespace attar::eval {
namespace {

constexpr int64_t kShort = 256;   // units this long are worth a thread each instead of sharing one
constexpr int64_t kWorthIt = 16;  // ids that sequences share, from which on they are read once
constexpr int64_t kAtOnce = 64;   // short units between two looks at the clock

/// Logits of some positions and what their rows say.
struct Chunk {
  std::vector<float> logits;  // [rows, vocab]
  std::vector<RowSummary> rows;
};

/// What a thread needs for its unit.
struct Work {
  std::vector<std::vector<float>> hidden;  // by model, [length, hidden]
  Chunk reference, own;
};

class Pass {
 public:
  Pass(const Sequences& set, const std::vector<Runner>& models, const ScoringOptions& options)
      : set_(set), models_(models), options_(options), vocab_(models[0].model->spec().vocab) {
    std::vector<int64_t> starts = {0};
    for (int64_t u = 0; u < set.units(); ++u) {
      int64_t sum = starts.back();
      for (const auto& s : unit(u)) {
        offsets_.push_back(sum);
        sum += s.predictions();
      }
      starts.push_back(sum);
    }
    const auto count = static_cast<size_t>(starts.back());
    for (const auto& runner : models) {
      auto& s = scores_.emplace_back();
      s.starts = starts;
      s.loss.resize(count);
      s.hit.resize(count);
      if (!options.first_is_reference) continue;
      s.kl.resize(count);
      s.agrees.resize(count);
      if (options.deviations && alike(runner.model->spec(), models[0].model->spec()))
        s.deviation.resize(static_cast<size_t>(set.units()) * 2 * blocks(*runner.model));
    }
  }

  std::vector<TokenScores> run() {
    std::string names;
    for (const auto& runner : models_) names += (names.empty() ? "" : ", ") + runner.name;
    Progress progress("evaluating " + names, set_.units(), set_.unit + "s");
    // Each thread its own short unit; a long one keeps all threads busy by itself.
    const int64_t at_once = set_.longest() <= kShort ? kAtOnce : 1;
    for (int64_t begin = 0; begin < set_.units(); begin += at_once) {
      check_interrupted();
      const int64_t count = std::min(at_once, set_.units() - begin);
      if (count == 1) {
        take(begin, work_);
      } else {
        parallel_for(count, 1, [&](int64_t from, int64_t to) {
          Work work;
          for (int64_t u = from; u < to; ++u) take(begin + u, work);
        });
      }
      progress.update(begin + count);
    }
    return std::move(scores_);
  }

 private:
  static size_t blocks(const RuntimeModel& model) { return model.spec().blocks.size(); }

  std::span<const Sequence> unit(int64_t u) const {
    const auto begin = static_cast<size_t>(set_.starts[static_cast<size_t>(u)]);
    const auto end = static_cast<size_t>(set_.starts[static_cast<size_t>(u) + 1]);
    return std::span(set_.list).subspan(begin, end - begin);
  }

  /// Errors of model m say which one, and where in the data.
  template <class F>
  void named(int64_t u, size_t m, const F& work) const {
    try {
      work();
    } catch (const Error& e) {
      throw Error(e.code(),
                  fmt::format("model '{}', {} {}: {}", models_[m].name, set_.unit, u, e.what()),
                  e.where(), e.hint());
    }
  }

  void take(int64_t u, Work& work) {
    const auto sequences = unit(u);
    const int64_t first = set_.starts[static_cast<size_t>(u)];
    work.hidden.resize(models_.size());
    const int64_t shared = common_ids(sequences);
    if (shared >= kWorthIt) return take_together(u, shared, work);
    for (size_t i = 0; i < sequences.size(); ++i)
      take_alone(u, sequences[i], offsets_[static_cast<size_t>(first) + i], work);
  }

  /// How many first ids all sequences share that none of them needs logits at; 0 for one alone.
  int64_t common_ids(std::span<const Sequence> sequences) const {
    if (sequences.size() < 2) return 0;
    const auto lead = set_.at(sequences[0]);
    int64_t shared = sequences[0].first;
    for (const auto& s : sequences.subspan(1)) {
      const auto ids = set_.at(s);
      shared = std::min(shared, s.first);
      shared = std::mismatch(lead.begin(), lead.begin() + shared, ids.begin()).first - lead.begin();
    }
    return shared;
  }

  void take_together(int64_t u, int64_t shared, Work& work) {
    std::vector<Session> sessions;
    const auto sequences = unit(u);
    const auto lead = set_.at(sequences[0]).first(static_cast<size_t>(shared));
    for (size_t m = 0; m < models_.size(); ++m)
      named(u, m, [&] { sessions.emplace_back(models_[m].model).advance(lead); });
    const auto first = static_cast<size_t>(set_.starts[static_cast<size_t>(u)]);
    for (size_t i = 0; i < sequences.size(); ++i) {
      const Sequence& s = sequences[i];
      const auto rest = set_.at(s).subspan(static_cast<size_t>(shared),
                                           static_cast<size_t>(s.length - 1 - shared));
      for (size_t m = 0; m < models_.size(); ++m) {
        Chunk& chunk = options_.first_is_reference && m == 0 ? work.reference : work.own;
        chunk.logits.resize(rest.size() * static_cast<size_t>(vocab_));
        Session session = sessions[m];
        named(u, m, [&] { session.advance_all(rest, chunk.logits.data()); });
        const auto skipped = static_cast<long>((s.first - shared) * vocab_);
        chunk.logits.erase(chunk.logits.begin(), chunk.logits.begin() + skipped);
        summarize(s.predictions(), chunk);
        keep(m, s, 0, s.predictions(), offsets_[first + i], chunk, work.reference);
      }
    }
  }

  void take_alone(int64_t u, const Sequence& s, int64_t offset, Work& work) {
    const auto ids = set_.at(s).first(static_cast<size_t>(s.length - 1));
    for (size_t m = 0; m < models_.size(); ++m) {
      const RuntimeModel& model = *models_[m].model;
      work.hidden[m].resize(ids.size() * static_cast<size_t>(model.spec().hidden));
      named(u, m, [&] { model.embed(ids, work.hidden[m].data()); });
    }
    size_t most = 0;
    for (const auto& runner : models_) most = std::max(most, blocks(*runner.model));
    for (size_t b = 0; b < most; ++b) {
      for (size_t m = 0; m < models_.size(); ++m)
        if (b < blocks(*models_[m].model)) named(u, m, [&] { pass(m, b, s.length - 1, work); });
      for (size_t m = 0; m < models_.size(); ++m)
        if (!scores_[m].deviation.empty()) compare_block(u, m, b, work);
    }
    walk(u, s, offset, work);
  }

  void pass(size_t m, size_t b, int64_t count, Work& work) const {
    const RuntimeModel& model = *models_[m].model;
    const auto block = static_cast<int64_t>(b);
    model.block(block).forward(work.hidden[m].data(), count, nullptr, model.rope(block),
                               model.options().activations);
  }

  void compare_block(int64_t u, size_t m, size_t b, const Work& work) {
    const auto &mine = work.hidden[m], &reference = work.hidden[0];
    const size_t at = (static_cast<size_t>(u) * blocks(*models_[m].model) + b) * 2;
    const auto sums =
        squared_distance(mine.data(), reference.data(), static_cast<int64_t>(mine.size()));
    scores_[m].deviation[at] += sums.difference;
    scores_[m].deviation[at + 1] += sums.reference;
  }

  /// Walks a sequence's predictions some at a time: the reference's logits, then each model's.
  void walk(int64_t u, const Sequence& s, int64_t offset, Work& work) {
    const int64_t rows = std::max<int64_t>(64, (int64_t{1} << 20) / vocab_);
    for (int64_t begin = 0; begin < s.predictions(); begin += rows) {
      const int64_t count = std::min(rows, s.predictions() - begin);
      for (size_t m = 0; m < models_.size(); ++m) {
        Chunk& chunk = options_.first_is_reference && m == 0 ? work.reference : work.own;
        const RuntimeModel& model = *models_[m].model;
        const int64_t position = s.first + begin;
        chunk.logits.resize(static_cast<size_t>(count * vocab_));
        named(u, m, [&] {
          model.head(work.hidden[m].data() + position * model.spec().hidden, count,
                     chunk.logits.data(), position);
        });
        summarize(count, chunk);
        keep(m, s, begin, count, offset, chunk, work.reference);
      }
    }
  }

  void summarize(int64_t count, Chunk& chunk) const {
    chunk.rows.resize(static_cast<size_t>(count));
    parallel_for(count, 4, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r)
        chunk.rows[static_cast<size_t>(r)] =
            summarize_row(chunk.logits.data() + r * vocab_, vocab_);
    });
  }

  /// `chunk` has the logits of `count` predictions of `s`, from its prediction `begin` on.
  void keep(size_t m, const Sequence& s, int64_t begin, int64_t count, int64_t offset,
            const Chunk& chunk, const Chunk& reference) {
    TokenScores& scores = scores_[m];
    const auto ids = set_.at(s);
    parallel_for(count, 4, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        const auto row = static_cast<size_t>(r);
        const auto at = static_cast<size_t>(offset + begin + r);
        const float* logits = chunk.logits.data() + r * vocab_;
        const int32_t next = ids[static_cast<size_t>(s.first + begin + r + 1)];
        scores.loss[at] = chunk.rows[row].log_sum - static_cast<double>(logits[next]);
        scores.hit[at] = chunk.rows[row].argmax == next;
        if (!options_.first_is_reference) continue;
        scores.kl[at] = m == 0
                            ? 0
                            : kl_divergence(reference.logits.data() + r * vocab_,
                                            reference.rows[row], logits, chunk.rows[row], vocab_);
        scores.agrees[at] = reference.rows[row].argmax == chunk.rows[row].argmax;
      }
    });
  }

  const Sequences& set_;
  const std::vector<Runner>& models_;
  ScoringOptions options_;
  int64_t vocab_;
  std::vector<int64_t> offsets_;  // of each sequence's predictions
  std::vector<TokenScores> scores_;
  Work work_;
};

}  // namespace

bool alike(const ModelSpec& a, const ModelSpec& b) {
  return a.blocks.size() == b.blocks.size() && a.hidden == b.hidden;
}

std::vector<TokenScores> score(const Sequences& set, const std::vector<Runner>& models,
                               const ScoringOptions& options) {
  return Pass(set, models, options).run();
}

std::vector<double> unit_sums(const TokenScores& scores, std::span<const double> values) {
  std::vector<double> sums;
  for (size_t u = 0; u + 1 < scores.starts.size(); ++u) {
    double sum = 0;
    for (int64_t i = scores.starts[u]; i < scores.starts[u + 1]; ++i)
      sum += values[static_cast<size_t>(i)];
    sums.push_back(sum);
  }
  return sums;
}

std::vector<double> unit_counts(const TokenScores& scores) {
  std::vector<double> counts;
  for (size_t u = 0; u + 1 < scores.starts.size(); ++u)
    counts.push_back(static_cast<double>(scores.starts[u + 1] - scores.starts[u]));
  return counts;
}

}  // namespace attar::eval
