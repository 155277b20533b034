#include "compress/training/loop.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/random.h"
#include "compress/training/adamw.h"
#include "compress/training/checkpoint.h"
#include "compress/training/schedule.h"

namespace attar {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kCurvePoints = 500;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Which example is the n-th to be seen: each epoch is a permutation of its own.
class Order {
 public:
  Order(int64_t examples, uint64_t seed) : seed_(seed), examples_(static_cast<size_t>(examples)) {}

  int64_t at(int64_t n) {
    const int64_t count = static_cast<int64_t>(examples_.size()), epoch = n / count;
    if (epoch != epoch_) {
      std::iota(examples_.begin(), examples_.end(), int64_t{0});
      Random random(Random(seed_ + static_cast<uint64_t>(epoch)).next());
      random.shuffle(examples_);
      epoch_ = epoch;
    }
    return examples_[static_cast<size_t>(n % count)];
  }

 private:
  uint64_t seed_;
  int64_t epoch_ = -1;
  std::vector<int64_t> examples_;
};

/// The curves of a run: points averaged over `stride` steps, so that long runs stay small.
class Curves {
 public:
  Curves(int64_t steps, std::vector<std::string> parts)
      : stride_((steps + kCurvePoints - 1) / kCurvePoints), parts_(std::move(parts)) {
    json_["loss"] = nlohmann::ordered_json::array();
    if (parts_.size() > 1)
      for (const auto& part : parts_) json_[part] = nlohmann::ordered_json::array();
    json_["learning_rate"] = nlohmann::ordered_json::array();
    sums_.assign(parts_.size() + 1, 0.0);
  }

  /// `step` counts from 1.
  void add(int64_t step, double loss, const std::vector<double>& values, double learning_rate) {
    sums_.back() += loss;
    for (size_t i = 0; i < values.size(); ++i) sums_[i] += values[i];
    if (++count_ < stride_) return;
    const double scale = 1.0 / static_cast<double>(count_);
    json_["loss"].push_back({step, sums_.back() * scale});
    if (parts_.size() > 1)
      for (size_t i = 0; i < parts_.size(); ++i)
        json_[parts_[i]].push_back({step, sums_[i] * scale});
    json_["learning_rate"].push_back({step, learning_rate});
    sums_.assign(sums_.size(), 0.0);
    count_ = 0;
  }
  void add_validation(int64_t step, double loss) {
    json_["validation_loss"].push_back({step, loss});
  }

  const nlohmann::ordered_json& json() const { return json_; }
  nlohmann::ordered_json state() const {
    return {{"curves", json_}, {"sums", sums_}, {"count", count_}};
  }
  void restore(const nlohmann::ordered_json& state) {
    json_ = state["curves"];
    sums_ = state["sums"].get<std::vector<double>>();
    count_ = state["count"].get<int64_t>();
  }

 private:
  int64_t stride_, count_ = 0;
  std::vector<std::string> parts_;
  std::vector<double> sums_;  // of each part, then of the loss
  nlohmann::ordered_json json_;
};

class Loop {
 public:
  explicit Loop(const TrainingRun& run)
      : run_(run),
        steps_(training_steps(run.options, run.objective.examples())),
        schedule_{run.options.schedule, run.options.learning_rate, run.options.min_lr_ratio,
                  run.options.warmup.value_or(steps_ / 20), steps_},
        optimizer_(run.model.trained(),
                   {run.options.betas[0], run.options.betas[1], run.options.epsilon,
                    run.options.weight_decay, run.options.clip}),
        order_(run.objective.examples(), run.seed),
        curves_(steps_, run.objective.parts()) {
    if (!run.scratch.empty()) checkpoint_ = run.scratch / "checkpoint.safetensors";
  }

  TrainingResult work() {
    resume();
    result_.steps = steps_;
    if (result_.resumed_from == 0) validate(0);
    const int64_t terms_a_step =
        run_.options.batch * run_.options.accumulate * run_.objective.terms();
    Progress progress(run_.label, steps_ * terms_a_step, run_.objective.unit());
    progress.update(step_ * terms_a_step);
    const auto start = Clock::now();
    double validation_seconds = 0;
    const int64_t first = step_;
    for (; step_ < steps_;) {
      interruption();
      const double loss = one_step();
      ++step_;
      progress.update(step_ * terms_a_step, fmt::format("loss {:.4f}", loss));
      const auto before = Clock::now();
      if (run_.options.validate_every && step_ % *run_.options.validate_every == 0 &&
          step_ < steps_)
        validate(step_);
      save_when_due();
      validation_seconds += seconds_since(before);
    }
    progress.finish();
    result_.seconds = seconds_since(start) - validation_seconds;
    result_.terms = steps_ * terms_a_step;
    result_.terms_per_second =
        result_.seconds > 0 ? static_cast<double>((steps_ - first) * terms_a_step) / result_.seconds
                            : 0;
    result_.last_loss = late_steps_ ? late_sum_ / static_cast<double>(late_steps_) : 0;
    validate(steps_);
    result_.curves = curves_.json();
    return result_;
  }

 private:
  double one_step() {
    const TrainingOptions& o = run_.options;
    const double scale = 1.0 / static_cast<double>(o.batch * o.accumulate * run_.objective.terms());
    std::vector<double> parts(run_.objective.parts().size(), 0.0);
    for (int64_t part = 0; part < o.accumulate; ++part) {
      const int64_t at = (step_ * o.accumulate + part) * o.batch;
      std::vector<int64_t> examples;
      for (int64_t i = 0; i < o.batch; ++i) examples.push_back(order_.at(at + i));
      const uint64_t dropout_seed = Random(run_.seed ^ static_cast<uint64_t>(at)).next() | 1u;
      const auto values = run_.objective.backward(examples, scale, dropout_seed);
      for (size_t i = 0; i < parts.size(); ++i) parts[i] += values[i] * scale;
    }
    const std::vector<double> weights = run_.objective.weights();
    const double loss = std::inner_product(parts.begin(), parts.end(), weights.begin(), 0.0);
    const double rate = schedule_.at(step_);
    require_finite_step(loss, "loss");
    require_finite_step(optimizer_.step(rate), "gradient");
    run_.model.refresh();
    curves_.add(step_ + 1, loss, parts, rate);
    if (step_ == 0) result_.first_loss = loss;
    if (step_ >= steps_ - std::max<int64_t>(1, steps_ / 20)) {
      late_sum_ += loss;
      ++late_steps_;
    }
    return loss;
  }

  void require_finite_step(double value, const char* what) {
    if (std::isfinite(value)) return;
    throw failure(fmt::format("the {} is not finite at step {} of {}", what, step_ + 1, steps_),
                  run_.label, "lower learning_rate, or raise warmup");
  }

  void validate(int64_t step) {
    const auto loss = run_.objective.held_out(run_.options.batch);
    if (!loss) return;
    curves_.add_validation(step, *loss);
    if (step == 0) result_.validation_before = loss;
    if (step == steps_) result_.validation_after = loss;
  }

  void interruption() {
    if (!interrupted()) return;
    save();
    check_interrupted();
  }

  void save_when_due() {
    const TrainingOptions& o = run_.options;
    const bool by_step = o.checkpoint_every && step_ % *o.checkpoint_every == 0;
    const bool by_time = seconds_since(saved_) >= o.checkpoint_seconds;
    if (step_ < steps_ && (by_step || by_time)) save();
  }

  void save() {
    if (checkpoint_.empty()) return;
    nlohmann::ordered_json progress = curves_.state();
    progress["first_loss"] = result_.first_loss;
    progress["late"] = {late_sum_, late_steps_};
    if (result_.validation_before) progress["validation_before"] = *result_.validation_before;
    save_checkpoint(checkpoint_, run_.model.trained(), optimizer_, {step_, run_.threads, progress});
    saved_ = Clock::now();
  }

  void resume() {
    if (checkpoint_.empty()) return;
    const auto state = load_checkpoint(checkpoint_, run_.model.trained(), optimizer_);
    if (!state) return;
    step_ = result_.resumed_from = state->step;
    result_.resumed_threads = state->threads;
    curves_.restore(state->progress);
    result_.first_loss = state->progress["first_loss"].get<double>();
    late_sum_ = state->progress["late"][0].get<double>();
    late_steps_ = state->progress["late"][1].get<int64_t>();
    if (state->progress.contains("validation_before"))
      result_.validation_before = state->progress["validation_before"].get<double>();
    run_.model.refresh();
    say(fmt::format("{}: resumed at step {} of {}", run_.label, step_, steps_));
  }

  const TrainingRun& run_;
  int64_t steps_;
  Schedule schedule_;
  AdamW optimizer_;
  Order order_;
  Curves curves_;
  TrainingResult result_;
  std::filesystem::path checkpoint_;
  Clock::time_point saved_ = Clock::now();
  int64_t step_ = 0, late_steps_ = 0;
  double late_sum_ = 0;
};

}  // namespace

int64_t training_steps(const TrainingOptions& options, int64_t examples) {
  if (options.steps) return *options.steps;
  const double wanted = options.epochs.value_or(1.0) * static_cast<double>(examples) /
                        static_cast<double>(options.batch * options.accumulate);
  return std::max<int64_t>(1, std::llround(wanted));
}

std::vector<int64_t> training_examples(const TrainingOptions& options, int64_t examples,
                                       uint64_t seed) {
  const int64_t seen = training_steps(options, examples) * options.batch * options.accumulate;
  std::vector<bool> used(static_cast<size_t>(examples), seen >= examples);
  if (seen < examples) {
    Order order(examples, seed);
    for (int64_t n = 0; n < seen; ++n) used[static_cast<size_t>(order.at(n))] = true;
  }
  std::vector<int64_t> list;
  for (int64_t i = 0; i < examples; ++i)
    if (used[static_cast<size_t>(i)]) list.push_back(i);
  return list;
}

TrainingResult train(const TrainingRun& run) {
  return Loop(run).work();
}

void prepare_torch(int threads) {
  at::set_num_threads(threads);
  // A step's buffers are as large as the last one's: giving them back to the system between steps
  // costs more than the products (a page fault for every 4 KB).
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace attar
