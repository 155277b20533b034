// A pass over sequences: references that are kept, passes that go on where they were.
#include "eval/scoring.h"

#include <gtest/gtest.h>

#include "compress/architecture/model.h"
#include "compress/base/files.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "eval/score_checkpoint.h"
#include "tests/support/temporary_directory.h"

namespace attar::eval {
namespace {

class Scoring : public ::testing::Test {
 protected:
  Scoring() {
    const fs::path golden = fs::path(ATTAR_SOURCE_DIR) / "tests" / "golden";
    // Two models of one vocabulary.
    reference_ = RuntimeModel::load(open_model(golden / "llama_gqa"));
    model_ = RuntimeModel::load(open_model(golden / "mistral_swa"));
    Random random(5);
    const auto vocab = static_cast<uint64_t>(reference_->spec().vocab);
    std::vector<int32_t> ids(30);
    for (int u = 0; u < 9; ++u) {
      for (int32_t& id : ids) id = static_cast<int32_t>(random.below(vocab));
      set_.add(ids, 0);
      if (u % 3 == 0) {  // a unit of two sequences that begin alike
        ids.back() = (ids.back() + 1) % static_cast<int32_t>(vocab);
        set_.list.back().first = 25;
        set_.add(ids, 25);
      }
      set_.close();
    }
  }

  std::vector<Runner> both() const { return {{"reference", reference_}, {"model", model_}}; }
  std::vector<TokenScores> exact() const { return score(set_, both(), {true, true}); }

  DistributionKey key(int64_t k) const { return {"reference", reference_->spec().vocab, k, 2}; }

  TemporaryDirectory directory_;
  Sequences set_;
  std::shared_ptr<const RuntimeModel> reference_, model_;
};

void expect_equal(const std::vector<TokenScores>& a, const std::vector<TokenScores>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t m = 0; m < a.size(); ++m) {
    EXPECT_EQ(a[m].loss, b[m].loss) << m;
    EXPECT_EQ(a[m].hit, b[m].hit) << m;
    EXPECT_EQ(a[m].kl, b[m].kl) << m;
    EXPECT_EQ(a[m].agrees, b[m].agrees) << m;
  }
}

TEST_F(Scoring, AKeptReferenceNeedsNotBeRun) {
  const auto whole = exact();
  std::vector<TokenScores> first, second;
  {
    DistributionStore store(directory_.path(), key(20));
    EXPECT_FALSE(store.has_all(predicted(set_)));
    first = score(set_, both(), {true, true, false, &store});
    EXPECT_TRUE(store.has_all(predicted(set_)));
  }
  DistributionStore store(directory_.path(), key(20));
  ASSERT_TRUE(store.has_all(predicted(set_)));
  auto absent = both();
  absent[0].model = nullptr;
  expect_equal(score(set_, absent, {true, true, false, &store}), first);
  absent.pop_back();  // the reference by itself
  EXPECT_EQ(score(set_, absent, {true, true, false, &store})[0].loss, first[0].loss);
  for (size_t m = 0; m < 2; ++m) {
    EXPECT_EQ(first[m].loss, whole[m].loss);
    EXPECT_EQ(first[m].hit, whole[m].hit);
    EXPECT_EQ(first[m].agrees, whole[m].agrees);
  }
  const double coverage = store.mean_coverage(predicted(set_));
  EXPECT_GT(coverage, 0);
  EXPECT_LT(coverage, 1);
}

TEST_F(Scoring, KlOfEverythingKeptIsTheWhole) {
  const auto whole = exact();
  DistributionStore store(directory_.path(), key(1 << 20));
  const auto kept = score(set_, both(), {true, true, false, &store});
  for (size_t i = 0; i < whole[1].kl.size(); ++i)
    EXPECT_NEAR(kept[1].kl[i], whole[1].kl[i], 1e-6 + 0.05 * whole[1].kl[i]);
  EXPECT_EQ(store.mean_coverage(predicted(set_)), 1);
}

TEST_F(Scoring, KeptScoresDependOnNoThreads) {
  const int threads = thread_count();
  std::vector<std::vector<TokenScores>> of;
  for (const int n : {1, 3}) {
    set_thread_count(n);
    DistributionStore store(directory_.path() / std::to_string(n), key(20));
    of.push_back(score(set_, both(), {true, true, false, &store}));
  }
  set_thread_count(threads);
  expect_equal(of[0], of[1]);
}

TEST_F(Scoring, APassGoesOnWhereItWas) {
  const fs::path file = directory_.path() / "scores.safetensors";
  const auto whole = exact();
  auto begun = whole;
  const int64_t done = 5;
  for (auto& scores : begun)  // what was not done yet is not there
    for (size_t i = static_cast<size_t>(scores.starts[done]); i < scores.loss.size(); ++i)
      scores.loss[i] = scores.kl[i] = -1;
  begun[1].loss[0] = 77;  // and what was done is not computed again
  ScoreCheckpoint(file, "key").save(begun, done);
  ScoreCheckpoint checkpoint(file, "key");
  auto resumed = score(set_, both(), {true, true, false, nullptr, &checkpoint});
  EXPECT_EQ(resumed[1].loss[0], 77);
  resumed[1].loss[0] = whole[1].loss[0];
  expect_equal(resumed, whole);
  checkpoint.remove();
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(Scoring, AnotherOrADamagedCheckpointIsNotUsed) {
  const fs::path file = directory_.path() / "scores.safetensors";
  const auto whole = exact();
  auto wrong = whole;
  wrong[1].loss[0] = 77;
  ScoreCheckpoint(file, "key").save(wrong, 5);
  ScoreCheckpoint other(file, "another key");
  expect_equal(score(set_, both(), {true, true, false, nullptr, &other}), whole);
  ScoreCheckpoint(file, "key").save(wrong, 5);
  std::string bytes = read_text(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(file, bytes);
  ScoreCheckpoint damaged(file, "key");
  expect_equal(score(set_, both(), {true, true, false, nullptr, &damaged}), whole);
}

}  // namespace
}  // namespace attar::eval
