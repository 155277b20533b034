// Packed weights kept beside a model: the same bytes as without, and never those of another model.
#include "compress/runtime/packed_cache.h"

#include <gtest/gtest.h>

#include <fstream>

#include "compress/base/error.h"
#include "compress/runtime/encoder.h"
#include "compress/runtime/model.h"
#include "tests/kernels/variants.h"
#include "tests/runtime/golden.h"
#include "tests/support/run_command.h"
#include "tests/support/temporary_directory.h"

namespace attar {
namespace {

using testing::slurp;

constexpr RuntimeOptions kKept{Activations::exact, KvFormat::f32, true};

class PackedCaches : public ::testing::Test {
 protected:
  /// A copy that can be written beside.
  fs::path copy_of(const std::string& name) const {
    const fs::path to = directory_.path() / name;
    fs::create_directories(to);
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy_file(golden_path(name) / file, to / file, fs::copy_options::overwrite_existing);
    return to;
  }
  static std::vector<float> logits(const fs::path& model, const RuntimeOptions& options) {
    const std::vector<int32_t> ids = {5, 9, 17, 3, 60, 2};
    return Session(RuntimeModel::load(open_model(model), options)).advance(ids);
  }
  /// The error of loading with kept weights.
  static Error error_of(const fs::path& model) {
    try {
      (void)logits(model, kKept);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return bad_input("");
  }
  static fs::path kept(const fs::path& model) { return packed_cache_path(model); }

  TemporaryDirectory directory_;
};

class EveryModel : public PackedCaches, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, EveryModel, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(EveryModel, TheSameLogitsWithAndWithout) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const fs::path model = copy_of(GetParam());
  const auto expected = logits(model, {});
  EXPECT_FALSE(fs::exists(kept(model)));
  EXPECT_EQ(logits(model, kKept), expected);
  ASSERT_TRUE(fs::exists(kept(model)));
  const auto written = fs::last_write_time(kept(model));
  EXPECT_EQ(logits(model, kKept), expected);
  EXPECT_EQ(fs::last_write_time(kept(model)), written);
  EXPECT_TRUE(PackedCache(open_model(model)).mapped());
}

TEST_F(PackedCaches, TheSameOnEveryInstructionSet) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  const fs::path model = copy_of("llama_gqa");
  const auto expected = logits(model, kKept);
  const std::string bytes = slurp(kept(model));
  const KernelGuard guard;
  for (const KernelTable* table : variants()) {
    use_kernels(*table);
    EXPECT_EQ(logits(model, kKept), expected) << table->name;
    fs::remove(kept(model));
    EXPECT_EQ(logits(model, kKept), expected) << table->name;
    EXPECT_EQ(slurp(kept(model)), bytes) << table->name;
  }
}

TEST_F(PackedCaches, Encoders) {
  const std::vector<int32_t> ids = {5, 9, 17, 3};
  const TextIds text{ids, {}};
  for (const char* name : {"bert_cls", "bert_embed", "distilbert_cls"}) {
    if (!has_fixture(name)) continue;
    SCOPED_TRACE(name);
    const fs::path model = copy_of(name);
    const auto run = [&](const RuntimeOptions& options) {
      return EncoderModel::load(open_model(model), options)->run(std::span(&text, 1));
    };
    const auto expected = run({});
    EXPECT_EQ(run(kKept), expected);
    EXPECT_TRUE(PackedCache(open_model(model)).mapped());
    EXPECT_EQ(run(kKept), expected);
  }
}

TEST_F(PackedCaches, ChangedWeightsArePackedAgain) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  const fs::path model = copy_of("llama_gqa");
  const auto before = logits(model, kKept);
  const fs::path weights = model / "model.safetensors";
  const auto time = fs::last_write_time(weights);
  std::string bytes = slurp(weights);
  bytes[bytes.size() - 3] = static_cast<char>(bytes[bytes.size() - 3] ^ 1);  // in place, same size
  std::ofstream(weights, std::ios::binary) << bytes;
  fs::last_write_time(weights, time);
  EXPECT_FALSE(PackedCache(open_model(model)).mapped());
  const auto after = logits(model, kKept);
  EXPECT_EQ(after, logits(model, {}));
  EXPECT_TRUE(PackedCache(open_model(model)).mapped());
  EXPECT_EQ(logits(model, kKept), after);
}

TEST_F(PackedCaches, AnotherConfigurationIsPackedAgain) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  const fs::path model = copy_of("llama_gqa");
  (void)logits(model, kKept);
  auto config = nlohmann::json::parse(slurp(model / "config.json"));
  config["note"] = "edited";
  std::ofstream(model / "config.json") << config;
  EXPECT_FALSE(PackedCache(open_model(model)).mapped());
}

TEST_F(PackedCaches, CopiesAreRecognizedByTheirContent) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  const fs::path model = copy_of("llama_gqa");
  (void)logits(model, kKept);
  const fs::path copy = directory_.path() / "copy";
  fs::copy(model, copy);
  EXPECT_TRUE(PackedCache(open_model(copy)).mapped());
  const fs::path other = copy_of("llama_tied");
  fs::copy_file(kept(model), kept(other));
  EXPECT_FALSE(PackedCache(open_model(other)).mapped());
}

TEST_F(PackedCaches, OlderVersionsAreWrittenAgain) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  const fs::path model = copy_of("llama_gqa");
  const auto expected = logits(model, kKept);
  const std::string good = slurp(kept(model));
  std::string old = good;
  old[8] = 0;  // the version
  std::ofstream(kept(model), std::ios::binary) << old;
  EXPECT_EQ(logits(model, kKept), expected);
  EXPECT_EQ(slurp(kept(model)), good);
}

TEST_F(PackedCaches, DamagedAndForeignFilesAreErrors) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  const fs::path model = copy_of("llama_gqa");
  (void)logits(model, kKept);
  const std::string good = slurp(kept(model));
  for (const std::string& bytes : {good.substr(0, good.size() / 2), std::string("my notes"),
                                   std::string(), good.substr(0, 40) + "?" + good.substr(41)}) {
    std::ofstream(kept(model), std::ios::binary) << bytes;
    const Error error = error_of(model);
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_NE(error.where().find("attar-packed.bin"), std::string::npos);
    EXPECT_FALSE(error.hint().empty());
    EXPECT_EQ(slurp(kept(model)), bytes) << "a file that attar did not write is lost";
  }
}

TEST_F(PackedCaches, ADirectoryThatCannotBeWrittenIsAnError) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  const fs::path model = copy_of("llama_gqa");
  fs::permissions(directory_.path(), fs::perms(0755));
  fs::permissions(model, fs::perms(0555));
  const bool root = ::geteuid() == 0;  // whom permissions do not stop
  ASSERT_EQ(root ? ::seteuid(65534) : 0, 0);
  const Error error = error_of(model);
  ASSERT_EQ(root ? ::seteuid(0) : 0, 0);
  EXPECT_EQ(error.code(), ExitCode::failed);
  EXPECT_NE(std::string(error.what()).find("cannot create file"), std::string::npos);
  EXPECT_EQ(error.where(), kept(model).string());
  EXPECT_EQ(std::distance(fs::directory_iterator(model), fs::directory_iterator()), 2);
  fs::permissions(model, fs::perms(0755));
}

TEST_F(PackedCaches, AdaptersHaveNone) {
  ATTAR_NEEDS_FIXTURE("llama_gqa");
  Model model = open_model(copy_of("llama_gqa"));
  ASSERT_FALSE(model.weight_files.empty());
  model.weight_files.clear();  // as with_adapter() leaves it
  EXPECT_THROW(PackedCache{model}, Error);
}

}  // namespace
}  // namespace attar
