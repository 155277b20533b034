#include "eval/scoring.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/distributions/softmax.h"
#include "compress/runtime/at_once.h"
#include "eval/distance.h"
#include "eval/score_checkpoint.h"

namespace attar::eval {
namespace {

constexpr int64_t kWorthIt = 16;  // ids that sequences share, from which on they are read once

/// Logits of some positions and what their rows say.
struct Chunk {
  std::vector<float> logits;  // [rows, vocab]
  std::vector<RowSummary> rows;
};

/// The kept part of the reference's distributions over one unit.
struct Kept {
  std::vector<TopRowsView> rows;  // of each sequence
  std::vector<TopRows> made;      // those that were computed; empty: all were there
};

/// What a thread needs for its unit.
struct Work {
  std::vector<std::vector<float>> hidden;  // by model, [length, hidden]
  Chunk reference, own;
};

/// Where in the set some predictions are.
struct Place {
  int64_t unit = 0;
  size_t sequence = 0;  // of the unit
  const Sequence& ids;
  int64_t offset = 0;  // of the sequence's first prediction among all
};

class Pass {
 public:
  Pass(const Sequences& set, const std::vector<Runner>& models, const ScoringOptions& options)
      : set_(set), models_(models), options_(options) {
    vocab_ = models.back().model ? models.back().model->spec().vocab : options.kept->key().vocab;
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
      if (!options.divergences) continue;
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
    int64_t bytes = 0;
    for (const auto& runner : models_)
      if (runner.model) bytes += pass_bytes(runner.model->spec());
    const int64_t at_once = sequences_at_once(set_.longest(), bytes);
    ScoreCheckpoint* const checkpoint = options_.checkpoint;
    int64_t begin = checkpoint ? checkpoint->restore(scores_) : 0;
    if (begin > 0)
      say(fmt::format("goes on after {} of {} {}s, evaluated before", begin, set_.units(),
                      set_.unit));
    while (begin < set_.units()) {
      const int64_t count = std::min(at_once, set_.units() - begin);
      try {
        take_units(begin, count);
      } catch (const Error& e) {
        if (checkpoint && begin > 0 && e.code() == ExitCode::interrupted)
          checkpoint->save(scores_, begin);
        throw;
      }
      if (checkpoint && checkpoint->due()) checkpoint->save(scores_, begin + count);
      begin += count;
      progress.update(begin);
    }
    if (options_.kept) options_.kept->flush();
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
    check_interrupted();
    try {
      work();
    } catch (const Error& e) {
      throw Error(e.code(),
                  fmt::format("model '{}', {} {}: {}", models_[m].name, set_.unit, u, e.what()),
                  e.where(), e.hint());
    }
  }

  void take_units(int64_t begin, int64_t count) {
    std::vector<Kept> kept(static_cast<size_t>(count));
    if (count == 1) {
      take(begin, kept[0], work_);
    } else {
      parallel_for(count, 1, [&](int64_t from, int64_t to) {
        Work work;
        for (int64_t i = from; i < to; ++i) take(begin + i, kept[static_cast<size_t>(i)], work);
      });
    }
    for (int64_t i = 0; i < count; ++i) {
      auto& made = kept[static_cast<size_t>(i)].made;
      for (size_t j = 0; j < made.size(); ++j) {
        const Sequence& s = unit(begin + i)[j];
        options_.kept->add(set_.at(s), s.first, std::move(made[j]));
      }
    }
  }

  void take(int64_t u, Kept& kept, Work& work) {
    const auto sequences = unit(u);
    const auto first = static_cast<size_t>(set_.starts[static_cast<size_t>(u)]);
    std::vector<Place> places;
    for (size_t i = 0; i < sequences.size(); ++i)
      places.push_back({u, i, sequences[i], offsets_[first + i]});
    work.hidden.resize(models_.size());
    clear_deviations(u);
    if (options_.kept) look_up(places, kept);
    const int64_t shared = common_ids(sequences);
    if (shared >= kWorthIt) return take_together(places, shared, kept, work);
    for (const auto& place : places) take_alone(place, kept, work);
  }

  /// They are sums, and an interrupted pass may have left a part of them.
  void clear_deviations(int64_t u) {
    for (auto& scores : scores_) {
      const auto size = std::ssize(scores.deviation) / set_.units();
      std::fill_n(scores.deviation.begin() + u * size, size, 0.0);
    }
  }

  /// Takes the reference's scores of a unit from the store, or makes room for them.
  void look_up(const std::vector<Place>& places, Kept& kept) {
    for (const auto& place : places)
      if (const auto rows = options_.kept->find(set_.at(place.ids), place.ids.first))
        kept.rows.push_back(*rows);
    if (kept.rows.size() < places.size()) {
      kept.rows.clear();
      for (const auto& place : places) {
        auto& made = kept.made.emplace_back(options_.kept->empty_rows());
        made.resize(place.ids.predictions());
        kept.rows.push_back(made.view());
      }
      return;
    }
    for (const auto& place : places) {
      const TopRowsView& rows = kept.rows[place.sequence];
      for (int64_t r = 0; r < rows.rows; ++r) {
        const auto at = static_cast<size_t>(place.offset + r);
        scores_[0].loss[at] = rows.loss[r];
        scores_[0].hit[at] = rows.at(r).ids[0] == next_id(place.ids, r);
        if (options_.divergences) scores_[0].agrees[at] = 1;
      }
    }
  }

  int32_t next_id(const Sequence& s, int64_t prediction) const {
    return set_.at(s)[static_cast<size_t>(s.first + prediction + 1)];
  }

  /// The models that are run over a unit: all, or all but a reference that is kept.
  size_t first_to_run(const Kept& kept) const { return options_.kept && kept.made.empty() ? 1 : 0; }

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

  void take_together(const std::vector<Place>& places, int64_t shared, Kept& kept, Work& work) {
    std::vector<Session> sessions;
    const size_t first_model = first_to_run(kept);
    const auto lead = set_.at(places[0].ids).first(static_cast<size_t>(shared));
    for (size_t m = first_model; m < models_.size(); ++m)
      named(places[0].unit, m, [&] { sessions.emplace_back(models_[m].model).advance(lead); });
    for (const auto& place : places) {
      const Sequence& s = place.ids;
      const auto rest = set_.at(s).subspan(static_cast<size_t>(shared),
                                           static_cast<size_t>(s.length - 1 - shared));
      for (size_t m = first_model; m < models_.size(); ++m) {
        Chunk& chunk = chunk_of(m, work);
        chunk.logits.resize(rest.size() * static_cast<size_t>(vocab_));
        Session session = sessions[m - first_model];
        named(place.unit, m, [&] { session.advance_all(rest, chunk.logits.data()); });
        const auto skipped = static_cast<long>((s.first - shared) * vocab_);
        chunk.logits.erase(chunk.logits.begin(), chunk.logits.begin() + skipped);
        summarize(s.predictions(), chunk);
        keep(m, place, 0, s.predictions(), chunk, work.reference, kept);
      }
    }
  }

  void take_alone(const Place& place, Kept& kept, Work& work) {
    const Sequence& s = place.ids;
    const auto ids = set_.at(s).first(static_cast<size_t>(s.length - 1));
    const size_t first_model = first_to_run(kept);
    size_t most = 0;
    for (size_t m = first_model; m < models_.size(); ++m) {
      const RuntimeModel& model = *models_[m].model;
      work.hidden[m].resize(ids.size() * static_cast<size_t>(model.spec().hidden));
      named(place.unit, m, [&] { model.embed(ids, work.hidden[m].data()); });
      most = std::max(most, blocks(model));
    }
    for (size_t b = 0; b < most; ++b) {
      for (size_t m = first_model; m < models_.size(); ++m)
        if (b < blocks(*models_[m].model))
          named(place.unit, m, [&] { pass(m, b, s.length - 1, work); });
      for (size_t m = 0; m < models_.size(); ++m)
        if (!scores_[m].deviation.empty()) compare_block(place.unit, m, b, work);
    }
    walk(place, kept, work);
  }

  Chunk& chunk_of(size_t m, Work& work) const {
    return options_.first_is_reference && m == 0 ? work.reference : work.own;
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
  void walk(const Place& place, Kept& kept, Work& work) {
    const Sequence& s = place.ids;
    const int64_t rows = std::max<int64_t>(64, (int64_t{1} << 20) / vocab_);
    for (int64_t begin = 0; begin < s.predictions(); begin += rows) {
      const int64_t count = std::min(rows, s.predictions() - begin);
      for (size_t m = first_to_run(kept); m < models_.size(); ++m) {
        Chunk& chunk = chunk_of(m, work);
        const RuntimeModel& model = *models_[m].model;
        const int64_t position = s.first + begin;
        chunk.logits.resize(static_cast<size_t>(count * vocab_));
        named(place.unit, m, [&] {
          model.head(work.hidden[m].data() + position * model.spec().hidden, count,
                     chunk.logits.data(), position);
        });
        summarize(count, chunk);
        keep(m, place, begin, count, chunk, work.reference, kept);
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

  /// `chunk` has the logits of `count` predictions of a sequence, from its prediction `begin` on.
  void keep(size_t m, const Place& place, int64_t begin, int64_t count, const Chunk& chunk,
            const Chunk& reference, Kept& kept) {
    TokenScores& scores = scores_[m];
    const bool of_reference = options_.first_is_reference && m == 0;
    parallel_for(count, 4, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        const RowSummary& row = chunk.rows[static_cast<size_t>(r)];
        const auto at = static_cast<size_t>(place.offset + begin + r);
        const float* logits = chunk.logits.data() + r * vocab_;
        const int32_t next = next_id(place.ids, begin + r);
        scores.loss[at] = row.log_sum - static_cast<double>(logits[next]);
        scores.hit[at] = row.argmax == next;
        if (of_reference && options_.kept)
          kept.made[place.sequence].set(begin + r, logits, row, next);
        if (!options_.divergences) continue;
        if (options_.kept && !of_reference) {
          const TopRow top = kept.rows[place.sequence].at(begin + r);
          scores.kl[at] = kl_divergence(top, logits, row, vocab_);
          scores.agrees[at] = top.ids[0] == row.argmax;
        } else {
          const RowSummary& other = reference.rows[static_cast<size_t>(r)];
          scores.kl[at] = of_reference ? 0
                                       : kl_divergence(reference.logits.data() + r * vocab_, other,
                                                       logits, row, vocab_);
          scores.agrees[at] = other.argmax == row.argmax;
        }
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

std::vector<PredictedIds> predicted(const Sequences& set) {
  std::vector<PredictedIds> list;
  for (const auto& s : set.list) list.push_back({set.at(s), s.first});
  return list;
}

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
