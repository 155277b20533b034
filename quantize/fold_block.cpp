#include "quantize/fold_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "quantize/awq.h"

namespace attar {
namespace {

constexpr double kTolerance = 1e-5;

/// A folding's readers with their weights.
struct Readers {
  std::vector<std::vector<float>> weights;
  std::vector<MatrixView> views;
};

Readers load_readers(const Folding& folding, const QuantPlan& modules, const WeightSource& source) {
  Readers readers;
  for (const LinearSpec& linear : folding.readers)
    readers.weights.push_back(source.floats(linear.weight));
  for (size_t i = 0; i < folding.readers.size(); ++i) {
    const LinearSpec& linear = folding.readers[i];
    readers.views.push_back(
        {readers.weights[i], linear.out, modules.find(linear.module())->layout});
  }
  return readers;
}

/// Root mean square of what each channel carries, over the columns that share it.
std::vector<float> magnitudes(const Folding& folding, const std::vector<float>& hessian) {
  const size_t cols = folding.channel.size();
  std::vector<double> sums(static_cast<size_t>(folding.channels));
  std::vector<int> counts(sums.size());
  for (size_t c = 0; c < cols; ++c) {
    const auto channel = static_cast<size_t>(folding.channel[c]);
    sums[channel] += static_cast<double>(hessian[c * (cols + 1)]) / 2;
    ++counts[channel];
  }
  std::vector<float> result;
  for (size_t i = 0; i < sums.size(); ++i)
    result.push_back(static_cast<float>(std::sqrt(sums[i] / std::max(1, counts[i]))));
  return result;
}

std::vector<float> largest_of(const Folding& folding, const std::vector<float>& largest) {
  std::vector<float> result(static_cast<size_t>(folding.channels));
  for (size_t c = 0; c < folding.channel.size(); ++c) {
    float& most = result[static_cast<size_t>(folding.channel[c])];
    most = std::max(most, largest[c]);
  }
  return result;
}

/// ‖a − b‖ / ‖a − before‖: the difference against what the block adds.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b,
                           const float* before) {
  double difference = 0, added = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    const double change = static_cast<double>(a[i]) - static_cast<double>(before[i]);
    difference += d * d;
    added += change * change;
  }
  return std::sqrt(difference / std::max(added, 1e-30));
}

class Chooser {
 public:
  Chooser(const QuantPlan& modules, const QuantizeOptions& options, const WeightSource& source)
      : modules_(modules), options_(options), source_(source) {}

  std::vector<float> factors(const Folding& folding, const InputMoments& moments,
                             nlohmann::ordered_json& row) const {
    const Readers readers = load_readers(folding, modules_, source_);
    if (options_.fold == "smoothquant") {
      row["alpha"] = options_.smooth_alpha;
      return smoothquant_factors(readers.views, largest_of(folding, moments.largest),
                                 options_.smooth_alpha, folding.channel);
    }
    const std::vector<float> hessian = moments.hessian();
    AwqResult result =
        awq_factors(readers.views, magnitudes(folding, hessian), hessian, {}, folding.channel);
    row["exponent"] = result.exponent;
    row["loss"] = *std::min_element(result.losses.begin(), result.losses.end());
    return std::move(result.factors);
  }

 private:
  const QuantPlan& modules_;
  const QuantizeOptions& options_;
  const WeightSource& source_;
};

}  // namespace

void choose_foldings(const ModelSpec& spec, int64_t block, const FoldingPlan& plan,
                     const QuantPlan& modules, const QuantizeOptions& options,
                     CalibrationWalk& walk, OverlayWeights& weights, QuantizedModules& part) {
  using Json = nlohmann::ordered_json;
  for (const SkippedFolding& skipped : plan.skipped)
    part.foldings.push_back(
        {{"block", block}, {"folding", skipped.name}, {"skipped", skipped.why}});
  if (plan.foldings.empty()) return;
  std::set<std::string> leaders;
  for (const Folding& folding : plan.foldings) leaders.insert(folding.leader);
  const OverlayWeights original = weights;
  const Chooser chooser(modules, options, original);
  std::map<std::string, std::vector<float>> factors;
  std::map<std::string, Json> rows;
  walk.look(block, original, original, leaders,
            [&](const std::string& leader, const InputMoments& moments) {
              for (const Folding& folding : plan.foldings)
                if (folding.leader == leader)
                  factors[folding.name] = chooser.factors(folding, moments, rows[folding.name]);
              return CalibrationWalk::Replaced{};
            });
  for (const Folding& folding : plan.foldings)
    apply_folding(folding, std::move(factors.at(folding.name)), weights);

  const HiddenStream& stream = walk.stream();
  const double difference =
      relative_difference(stream.watch(Block(spec, block, original), block, 0),
                          stream.watch(Block(spec, block, weights), block, 0), stream.window(0));
  const bool kept = difference <= kTolerance;
  for (const Folding& folding : plan.foldings) {
    Json row = {{"block", block}, {"folding", folding.name}};
    row.update(rows.at(folding.name));
    if (!kept)
      row["skipped"] = fmt::format("the block's output would change by {:.1e}", difference);
    part.foldings.push_back(std::move(row));
  }
  if (!kept) {
    const std::string where = fmt::format("block {}", block);
    const std::string why = fmt::format("its output would change by {:.1e}", difference);
    if (options.strict)
      throw failure("channels cannot be rescaled: " + why, where,
                    "fold: none, or strict: false to go on without");
    part.fallbacks.push_back({"channels are not rescaled", where, why});
    weights = original;
    return;
  }
  for (const Folding& folding : plan.foldings)
    for (const std::string& name : {folding.norm.weight, folding.norm.bias, folding.linear.bias})
      if (!name.empty()) part.dense[name] = weights.replaced().find(name)->second;
}

}  // namespace attar
