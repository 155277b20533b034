#include "eval/scoring.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "eval/softmax.h"

namespace attar::eval {
namespace {

/// Logits of some positions of a window and what their rows say.
struct Chunk {
  std::vector<float> logits;  // [rows, vocab]
  std::vector<RowSummary> rows;
};

class Pass {
 public:
  Pass(const TokenWindows& windows, const std::vector<Runner>& models, bool first_is_reference)
      : windows_(windows), models_(models), has_reference_(first_is_reference) {
    for (size_t m = 0; m < models.size(); ++m) {
      auto& s = scores_.emplace_back();
      s.windows = windows.count();
      s.predictions = windows.window - 1;
      s.loss.resize(static_cast<size_t>(s.count()));
      if (!has_reference_) continue;
      s.kl.resize(s.loss.size());
      s.agrees.resize(s.loss.size());
    }
    hidden_.resize(models.size());
  }

  std::vector<TokenScores> run() {
    std::string names;
    for (const auto& runner : models_) names += (names.empty() ? "" : ", ") + runner.name;
    Progress progress("evaluating " + names, windows_.count(), "windows");
    for (window_ = 0; window_ < windows_.count(); ++window_) {
      check_interrupted();
      for (size_t m = 0; m < models_.size(); ++m) named(m, [&] { forward(m); });
      score();
      progress.update(window_ + 1);
    }
    return std::move(scores_);
  }

 private:
  /// Errors of model m say which one, and where in the data.
  template <class Work>
  void named(size_t m, const Work& work) const {
    try {
      work();
    } catch (const Error& e) {
      throw Error(e.code(),
                  fmt::format("model '{}', window {}: {}", models_[m].name, window_, e.what()),
                  e.where(), e.hint());
    }
  }

  void forward(size_t m) {
    const RuntimeModel& model = *models_[m].model;
    auto& hidden = hidden_[m];
    hidden.resize(static_cast<size_t>(windows_.window * model.spec().hidden));
    model.embed(windows_.at(window_), hidden.data());
    for (size_t b = 0; b < model.spec().blocks.size(); ++b) {
      const auto block = static_cast<int64_t>(b);
      model.block(block).forward(hidden.data(), windows_.window, nullptr, model.rope(block),
                                 model.options().activations);
    }
  }

  /// Walks the window's predictions some at a time: the reference's logits, then each model's.
  void score() {
    const int64_t vocab = models_[0].model->spec().vocab;
    const int64_t rows =
        std::clamp<int64_t>((int64_t{1} << 20) / vocab, 64, std::max<int64_t>(64, windows_.window));
    for (int64_t begin = 0; begin + 1 < windows_.window; begin += rows) {
      const int64_t count = std::min(rows, windows_.window - 1 - begin);
      for (size_t m = 0; m < models_.size(); ++m) {
        Chunk& chunk = has_reference_ && m == 0 ? reference_ : own_;
        named(m, [&] { read_logits(m, begin, count, chunk); });
        keep(m, begin, count, chunk);
      }
    }
  }

  void read_logits(size_t m, int64_t begin, int64_t count, Chunk& chunk) {
    const RuntimeModel& model = *models_[m].model;
    const int64_t vocab = model.spec().vocab;
    chunk.logits.resize(static_cast<size_t>(count * vocab));
    chunk.rows.resize(static_cast<size_t>(count));
    model.head(hidden_[m].data() + begin * model.spec().hidden, count, chunk.logits.data(), begin);
    parallel_for(count, 4, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r)
        chunk.rows[static_cast<size_t>(r)] = summarize_row(chunk.logits.data() + r * vocab, vocab);
    });
  }

  void keep(size_t m, int64_t begin, int64_t count, const Chunk& chunk) {
    TokenScores& scores = scores_[m];
    const auto ids = windows_.at(window_);
    const int64_t vocab = models_[m].model->spec().vocab;
    parallel_for(count, 4, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        const auto row = static_cast<size_t>(r);
        const auto at = static_cast<size_t>(window_ * scores.predictions + begin + r);
        const float* logits = chunk.logits.data() + r * vocab;
        const int32_t next = ids[static_cast<size_t>(begin + r + 1)];
        scores.loss[at] = chunk.rows[row].log_sum - static_cast<double>(logits[next]);
        if (!has_reference_) continue;
        const float* reference = reference_.logits.data() + r * vocab;
        scores.kl[at] =
            m == 0 ? 0
                   : kl_divergence(reference, reference_.rows[row], logits, chunk.rows[row], vocab);
        scores.agrees[at] = reference_.rows[row].argmax == chunk.rows[row].argmax;
      }
    });
  }

  const TokenWindows& windows_;
  const std::vector<Runner>& models_;
  bool has_reference_;
  int64_t window_ = 0;
  std::vector<TokenScores> scores_;
  std::vector<std::vector<float>> hidden_;  // of the current window, by model
  Chunk reference_, own_;
};

}  // namespace

std::vector<TokenScores> score_windows(const TokenWindows& windows,
                                       const std::vector<Runner>& models, bool first_is_reference) {
  return Pass(windows, models, first_is_reference).run();
}

}  // namespace attar::eval
