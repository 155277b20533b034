// The store: what comes back, what is shared, what is left out when it is damaged.
#include "compress/distributions/store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "compress/base/files.h"
#include "compress/base/random.h"
#include "tests/support/temporary_directory.h"

namespace attar {
namespace {

constexpr int64_t kVocab = 300;

DistributionKey key(const std::string& model = "a model", int64_t k = 5) {
  return {model, kVocab, k, 2};
}

TopRows made_up(const DistributionStore& store, int64_t rows, uint64_t seed) {
  Random random(seed);
  TopRows made = store.empty_rows();
  made.resize(rows);
  std::vector<float> x(kVocab);
  for (int64_t r = 0; r < rows; ++r) {
    for (float& v : x) v = static_cast<float>(random.normal());
    made.set(r, x.data(), summarize_row(x.data(), kVocab), static_cast<int32_t>(r));
  }
  return made;
}

const std::vector<int32_t> kIds = {1, 2, 3, 4}, kOther = {1, 2, 3, 5};

void expect_same(const TopRowsView& a, const TopRowsView& b) {
  ASSERT_EQ(a.rows, b.rows);
  for (int64_t r = 0; r < a.rows; ++r) {
    const TopRow x = a.at(r), y = b.at(r);
    EXPECT_TRUE(std::equal(x.ids.begin(), x.ids.end(), y.ids.begin(), y.ids.end()));
    EXPECT_TRUE(std::equal(x.log_p.begin(), x.log_p.end(), y.log_p.begin(), y.log_p.end()));
    EXPECT_EQ(x.log_rest, y.log_rest);
    EXPECT_EQ(x.log_rest_softened, y.log_rest_softened);
    EXPECT_EQ(a.loss[r], b.loss[r]);
  }
}

TEST(DistributionStore, GivesBackWhatItGot) {
  const TemporaryDirectory directory;
  {
    DistributionStore store(directory.path(), key());
    store.add(kIds, 0, made_up(store, 3, 1));
    store.add(kIds, 1, made_up(store, 2, 2));  // the same ids, predicted from another one on
    store.flush();
    store.add(kOther, 0, made_up(store, 3, 3));
  }  // the rest is written here
  DistributionStore store(directory.path(), key());
  expect_same(*store.find(kIds, 0), made_up(store, 3, 1).view());
  expect_same(*store.find(kIds, 1), made_up(store, 2, 2).view());
  expect_same(*store.find(kOther, 0), made_up(store, 3, 3).view());
  EXPECT_FALSE(store.find(kOther, 2));
  EXPECT_GT(store.bytes(), 0u);
}

TEST(DistributionStore, KeepsKeysApart) {
  const TemporaryDirectory directory;
  DistributionStore store(directory.path(), key());
  store.add(kIds, 0, made_up(store, 3, 1));
  store.flush();
  EXPECT_FALSE(DistributionStore(directory.path(), key("another model")).find(kIds, 0));
  EXPECT_FALSE(DistributionStore(directory.path(), key("a model", 6)).find(kIds, 0));
  EXPECT_TRUE(DistributionStore(directory.path(), key()).find(kIds, 0));
}

TEST(DistributionStore, LeavesOutADamagedSegment) {
  const TemporaryDirectory directory;
  {
    DistributionStore store(directory.path(), key());
    store.add(kIds, 0, made_up(store, 3, 1));
    store.flush();
    store.add(kOther, 0, made_up(store, 3, 2));
  }
  const fs::path first = directory.path() / key().hash().substr(0, 16) / "000001.safetensors";
  ASSERT_TRUE(fs::exists(first));
  std::fstream file(first, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-3, std::ios::end);
  file.put('\x55');
  file.close();
  DistributionStore store(directory.path(), key());
  EXPECT_FALSE(store.find(kIds, 0));
  EXPECT_TRUE(store.find(kOther, 0));
  store.add(kIds, 0, made_up(store, 3, 1));
  store.flush();
  EXPECT_TRUE(DistributionStore(directory.path(), key()).find(kIds, 0));
}

TEST(DistributionStore, SurvivesATruncatedSegment) {
  const TemporaryDirectory directory;
  {
    DistributionStore store(directory.path(), key());
    store.add(kIds, 0, made_up(store, 3, 1));
  }
  const fs::path first = directory.path() / key().hash().substr(0, 16) / "000001.safetensors";
  fs::resize_file(first, fs::file_size(first) / 2);
  EXPECT_FALSE(DistributionStore(directory.path(), key()).find(kIds, 0));
}

}  // namespace
}  // namespace attar
