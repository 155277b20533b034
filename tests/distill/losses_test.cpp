// Every distillation loss against reference values and gradients in float64.
#include "distill/losses.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "compress/base/files.h"
#include "compress/formats/safetensors.h"

namespace attar::distill {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/methods/kd";

/// The logits, labels and distributions of the fixture, and a loss summed over it as a stage would.
class Fixture {
 public:
  Fixture() : file_(Safetensors::open(kGolden / "golden.safetensors")) {
    student_ = file_.at("student_logits").floats();
    teacher_ = file_.at("teacher_logits").floats();
    labels_ = file_.at("labels").integers();
    vocab_ = file_.at("student_logits").shape.back();
  }

  struct Result {
    double mean;
    std::vector<float> gradient;  // [positions, vocab], of the mean
  };

  Result mean(const LossInfo& loss, float temperature, float beta = 0.5f) const {
    Result result{0, std::vector<float>(student_.size(), 0.0f)};
    int64_t counted = 0;
    for (const int64_t label : labels_) counted += label != -100;
    for (size_t i = 0; i < labels_.size(); ++i) {
      if (labels_[i] == -100) continue;
      const float* student = student_.data() + static_cast<int64_t>(i) * vocab_;
      const float* teacher = teacher_.data() + static_cast<int64_t>(i) * vocab_;
      const auto q1 = softmax(student, 1), q = softmax(student, temperature),
                 p = softmax(teacher, temperature);
      LossRow row;
      row.vocab = vocab_;
      row.label = labels_[i];
      row.temperature = temperature;
      row.jsd_beta = beta;
      row.student = student;
      row.teacher = teacher;
      row.q1 = q1.p.data();
      row.log_q1 = q1.log_p.data();
      row.q = q.p.data();
      row.log_q = q.log_p.data();
      row.p = p.p.data();
      row.log_p = p.log_p.data();
      result.mean += loss.row(row, 1.0f / static_cast<float>(counted),
                              result.gradient.data() + static_cast<int64_t>(i) * vocab_);
    }
    result.mean /= static_cast<double>(counted);
    return result;
  }

  void expect_gradient(const Result& result, const std::string& name) const {
    const std::vector<float> expected = file_.at("grad." + name).floats();
    for (size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(result.gradient[i], expected[i], 2e-6) << name << " " << i;
  }

 private:
  struct Distribution {
    std::vector<float> log_p, p;
  };
  Distribution softmax(const float* x, float temperature) const {
    Distribution d;
    double sum = 0;
    for (int64_t i = 0; i < vocab_; ++i) sum += std::exp(static_cast<double>(x[i] / temperature));
    for (int64_t i = 0; i < vocab_; ++i) {
      const double log_p = static_cast<double>(x[i] / temperature) - std::log(sum);
      d.log_p.push_back(static_cast<float>(log_p));
      d.p.push_back(static_cast<float>(std::exp(log_p)));
    }
    return d;
  }

  Safetensors file_;
  std::vector<float> student_, teacher_;
  std::vector<int64_t> labels_;
  int64_t vocab_;
};

nlohmann::ordered_json golden() {
  return nlohmann::ordered_json::parse(read_text(kGolden / "golden.json"));
}

double number(const nlohmann::ordered_json& json, const std::string& name) {
  return json.at(name).get<double>();
}

TEST(Losses, AgreeWithReference) {
  const Fixture fixture;
  const auto expected = golden();
  for (const int t : {1, 2, 4}) {
    std::string prefix("T");
    prefix += std::to_string(t);
    prefix += '.';
    const auto temperature = static_cast<float>(t);
    const auto forward = fixture.mean(kl_loss(), temperature);
    EXPECT_NEAR(forward.mean, number(expected, prefix + "forward_kl"), 1e-5);
    fixture.expect_gradient(forward, prefix + "forward_kl");
    const auto reverse = fixture.mean(reverse_kl_loss(), temperature);
    EXPECT_NEAR(reverse.mean, number(expected, prefix + "reverse_kl"), 1e-5);
    fixture.expect_gradient(reverse, prefix + "reverse_kl");
    for (const char* beta : {"0.1", "0.5", "0.9"}) {
      const auto jsd = fixture.mean(jsd_loss(), temperature, std::stof(beta));
      EXPECT_NEAR(jsd.mean, number(expected, prefix + "gjsd_beta" + beta), 1e-5);
      if (beta == std::string("0.5")) fixture.expect_gradient(jsd, prefix + "gjsd_beta0.5");
    }
    EXPECT_NEAR(fixture.mean(skew_kl_loss(), temperature).mean,
                number(expected, prefix + "skew_kl_a0.1"), 1e-5);
    EXPECT_NEAR(fixture.mean(tv_loss(), temperature).mean, number(expected, prefix + "tv"), 1e-6);
  }
  const auto ce = fixture.mean(ce_loss(), 1);
  EXPECT_NEAR(ce.mean, number(expected, "ce"), 1e-5);
  fixture.expect_gradient(ce, "ce");
  const auto mse = fixture.mean(logit_mse_loss(), 1);
  EXPECT_NEAR(mse.mean, number(expected, "logit_mse"), 1e-5);
  fixture.expect_gradient(mse, "logit_mse");
}

/// Gradients that the fixture does not list, against differences of the value.
TEST(Losses, GradientsAgreeWithDifferences) {
  constexpr int64_t kVocab = 37;
  std::vector<double> s(kVocab), t(kVocab);
  for (int64_t i = 0; i < kVocab; ++i) {
    s[static_cast<size_t>(i)] = std::sin(1.7 * static_cast<double>(i));
    t[static_cast<size_t>(i)] = 2 * std::cos(0.9 * static_cast<double>(i));
  }
  const auto evaluate = [&](const LossInfo& loss, const std::vector<double>& logits,
                            std::vector<float>& gradient) {
    constexpr float kTemperature = 2.0f;
    const auto distribution = [&](const std::vector<double>& x, double temperature,
                                  std::vector<float>& log_p, std::vector<float>& p) {
      double sum = 0;
      for (const double v : x) sum += std::exp(v / temperature);
      for (const double v : x) {
        log_p.push_back(static_cast<float>(v / temperature - std::log(sum)));
        p.push_back(static_cast<float>(std::exp(v / temperature) / sum));
      }
    };
    std::vector<float> log_q1, q1, log_q, q, log_p, p;
    distribution(logits, 1, log_q1, q1);
    distribution(logits, kTemperature, log_q, q);
    distribution(t, kTemperature, log_p, p);
    const std::vector<float> student(logits.begin(), logits.end()), teacher(t.begin(), t.end());
    LossRow row{kVocab,         5,
                kTemperature,   0.3f,
                0.1f,           student.data(),
                teacher.data(), log_q1.data(),
                q1.data(),      log_q.data(),
                q.data(),       log_p.data(),
                p.data()};
    gradient.assign(kVocab, 0.0f);
    return loss.row(row, 1.0f, gradient.data());
  };
  for (const LossInfo& loss : losses()) {
    std::vector<float> gradient, ignored;
    evaluate(loss, s, gradient);
    for (size_t i = 0; i < kVocab; i += 5) {
      constexpr double kStep = 2e-3;
      auto up = s, down = s;
      up[i] += kStep;
      down[i] -= kStep;
      const double slope =
          (evaluate(loss, up, ignored) - evaluate(loss, down, ignored)) / (2 * kStep);
      EXPECT_NEAR(gradient[i], slope, 1e-3) << loss.name << " " << i;
    }
  }
}

TEST(Losses, AreZeroWhereStudentEqualsTeacherAndNamesAreDistinct) {
  std::set<std::string> names;
  for (const LossInfo& loss : losses()) {
    EXPECT_TRUE(names.insert(loss.name).second);
    if (!loss.needs_teacher()) continue;
    constexpr int64_t kVocab = 20;
    const std::vector<float> x(kVocab, 0.5f), p(kVocab, 0.05f), log_p(kVocab, std::log(0.05f));
    const LossRow row{
        kVocab,       0,        2.0f,         0.5f,     0.1f,         x.data(), x.data(),
        log_p.data(), p.data(), log_p.data(), p.data(), log_p.data(), p.data()};
    std::vector<float> gradient(kVocab, 0.0f);
    EXPECT_NEAR(loss.row(row, 1.0f, gradient.data()), 0.0, 1e-6) << loss.name;
    for (const float g : gradient) EXPECT_NEAR(g, 0.0f, 1e-7f) << loss.name;
  }
}

}  // namespace
}  // namespace attar::distill
