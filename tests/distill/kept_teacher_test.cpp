// The sum of losses against a teacher of which only a part was kept.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "compress/base/random.h"
#include "compress/distributions/top_rows.h"
#include "distill/distill_loss.h"

namespace attar::distill {
namespace {

constexpr int64_t kVocab = 200;

std::vector<float> random_logits(uint64_t seed, double spread) {
  Random random(seed);
  std::vector<float> x;
  for (int64_t i = 0; i < kVocab; ++i) x.push_back(static_cast<float>(spread * random.normal()));
  return x;
}

DistillOptions options_of(const std::string& loss, double temperature) {
  DistillOptions options;
  options.temperature = temperature;
  options.loss = LossWeights();
  for (size_t i = 0; i < losses().size(); ++i)
    if (losses()[i].name == loss) options.loss->weights[i] = 1;
  return options;
}

struct Value {
  double loss = 0;
  std::vector<float> gradient = std::vector<float>(kVocab, 0.0f);
};

Value value_of(const DistillLoss& loss, const std::vector<float>& student,
               const std::vector<float>* teacher, const TopRow* kept) {
  Value value;
  const LossInput input{kVocab, 0, student.data(), teacher ? teacher->data() : nullptr, kept};
  loss.row(input, 1, value.gradient.data(), &value.loss);
  return value;
}

class KeptTeacher : public ::testing::TestWithParam<std::tuple<const char*, double>> {
 protected:
  TopRows keep(int64_t k) const {
    TopRows rows(k, kVocab, std::get<1>(GetParam()));
    rows.resize(1);
    rows.set(0, teacher_.data(), summarize_row(teacher_.data(), kVocab), 0);
    return rows;
  }
  const DistillLoss loss_{options_of(std::get<0>(GetParam()), std::get<1>(GetParam()))};
  const std::vector<float> teacher_ = random_logits(1, 3), student_ = random_logits(2, 2);
};

TEST_P(KeptTeacher, KeptWholeIsTheTeacher) {
  const TopRows rows = keep(kVocab);
  const TopRow row = rows.view().at(0);
  const Value whole = value_of(loss_, student_, &teacher_, nullptr),
              kept = value_of(loss_, student_, nullptr, &row);
  EXPECT_NEAR(kept.loss, whole.loss, 2e-3 * std::max(1.0, whole.loss));  // float16
  for (size_t i = 0; i < kVocab; ++i) EXPECT_NEAR(kept.gradient[i], whole.gradient[i], 2e-3) << i;
}

TEST_P(KeptTeacher, IsALowerBoundThatTightens) {
  const double whole = value_of(loss_, student_, &teacher_, nullptr).loss;
  double before = 0;
  for (const int64_t k : {1, 4, 16, 64, 200}) {
    const TopRows rows = keep(k);
    const TopRow row = rows.view().at(0);
    const double kept = value_of(loss_, student_, nullptr, &row).loss;
    EXPECT_GE(kept, before * 0.998) << k;
    EXPECT_LE(kept, whole * 1.002) << k;
    before = kept;
  }
}

TEST_P(KeptTeacher, GradientIsThatOfTheValue) {
  const TopRows rows = keep(8);
  const TopRow row = rows.view().at(0);
  const Value at = value_of(loss_, student_, nullptr, &row);
  double total = 0;
  for (size_t i = 0; i < kVocab; i += 7) {
    constexpr float kStep = 0.05f;
    auto up = student_, down = student_;
    up[i] += kStep;
    down[i] -= kStep;
    const double slope =
        (value_of(loss_, up, nullptr, &row).loss - value_of(loss_, down, nullptr, &row).loss) /
        (2.0 * static_cast<double>(kStep));
    EXPECT_NEAR(at.gradient[i], slope, 2e-4 + 2e-3 * std::fabs(slope)) << i;
  }
  for (const float g : at.gradient) total += static_cast<double>(g);
  EXPECT_NEAR(total, 0, 1e-4);  // logits are free up to a constant
}

INSTANTIATE_TEST_SUITE_P(Losses, KeptTeacher,
                         ::testing::Combine(::testing::Values("kl", "reverse_kl", "jsd", "skew_kl",
                                                              "tv"),
                                            ::testing::Values(1.0, 2.0, 4.0)));

}  // namespace
}  // namespace attar::distill
