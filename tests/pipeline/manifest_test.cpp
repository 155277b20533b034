#include "compress/pipeline/manifest.h"

#include "tests/pipeline/fake_stages.h"

namespace attar::testing {
namespace {

TEST_F(RunnerTest, ManifestRoundTrip) {
  Manifest m;
  m.stage = "a";
  m.type = "scale";
  m.attar_version = "1";
  m.cache_key = "k";
  m.seed = ~uint64_t{0};
  m.threads = 2;
  m.options = {{"factor", 0.1}, {"none", nullptr}};
  m.parents = {{"model", "x"}};
  m.data = {{"ids", "y"}};
  m.files = {{"model/config.json", "z"}};
  m.facts = {{"seconds", 1.0 / 3}};
  EXPECT_FALSE(read_manifest(root_));
  write_manifest(m, root_);
  const auto back = read_manifest(root_);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->seed, m.seed);
  EXPECT_EQ(back->options, m.options);
  EXPECT_EQ(back->facts, m.facts);
  EXPECT_EQ(back->artifact_hash(), m.artifact_hash());
  EXPECT_EQ(back->parents, m.parents);
}

TEST_F(RunnerTest, ArtifactHashIsOverNamesAndContents) {
  Manifest m;
  m.files = {{"a", "1"}, {"b", "2"}};
  const std::string hash = m.artifact_hash();
  m.files = {{"a", "2"}, {"b", "1"}};
  EXPECT_NE(m.artifact_hash(), hash);
  m.facts = {{"seconds", 5}};
  EXPECT_NE(m.artifact_hash(), hash);
}

TEST_F(RunnerTest, OneFlippedByteAnywhereIsFound) {
  run(recipe("  - {name: a, type: scale}\n"));
  const fs::path artifact = root_ / "run" / "a";
  EXPECT_TRUE(verify_artifact(artifact).empty());
  for (const auto& entry : fs::recursive_directory_iterator(artifact)) {
    if (!entry.is_regular_file()) continue;
    if (entry.path().filename() == "README.md") continue;  // the card is no part of the model
    const std::string original = slurp(entry.path());
    for (size_t i = 0; i < 8; ++i) {
      auto bytes = original;
      bytes[(bytes.size() - 1) * i / 7] ^= 4;
      std::ofstream(entry.path(), std::ios::binary) << bytes;
      EXPECT_FALSE(verify_artifact(artifact).empty()) << entry.path() << " part " << i;
    }
    std::ofstream(entry.path(), std::ios::binary) << original;
  }
  EXPECT_TRUE(verify_artifact(artifact).empty());
}

TEST_F(RunnerTest, MissingAndUnexpectedFilesAreFound) {
  run(recipe("  - {name: a, type: scale}\n"));
  const fs::path artifact = root_ / "run" / "a";
  std::ofstream(artifact / "model" / "extra.bin") << "x";
  EXPECT_EQ(verify_artifact(artifact).size(), 1u);
  fs::remove(artifact / "model" / "extra.bin");
  fs::remove(artifact / "model" / "model.safetensors");
  EXPECT_FALSE(verify_artifact(artifact).empty());
  EXPECT_THROW(verify_artifact(root_ / "model"), Error);
}

TEST_F(RunnerTest, ForeignManifestIsRefused) {
  for (const char* text :
       {"", "{", "[]", R"({"attar_manifest": 1})", R"({"manifest_version": 3, "name": "x"})"}) {
    std::ofstream(root_ / "manifest.json") << text;
    EXPECT_THROW(read_manifest(root_), Error) << text;
  }
}

}  // namespace
}  // namespace attar::testing
