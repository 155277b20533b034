#include "compress/formats/weights.h"

#include <cmath>
#include <limits>

#include "compress/formats/model_writer.h"
#include "compress/formats/safetensors.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using testing::expect_bad_input;
using testing::kGolden;

class WeightsTest : public testing::ScratchTest {
 protected:
  void put_tensor(const std::string& file, const std::string& name, DType dtype,
                  const std::vector<float>& values) const {
    SafetensorsWriter writer(directory_ / file,
                             {{name, dtype, {static_cast<int64_t>(values.size())}}});
    writer.write_floats(name, values);
    writer.finish();
  }
  auto open() const {
    return [this] { ModelDirectory::open(directory_); };
  }
};

TEST_F(WeightsTest, OpensAModel) {
  const auto model = ModelDirectory::open(kGolden / "llama_gqa");
  EXPECT_EQ(model.config["hidden_size"], 64);
  EXPECT_EQ(model.weights->list().size(), 21u);
  EXPECT_EQ(model.weight_bytes, fs::file_size(kGolden / "llama_gqa/model.safetensors"));
  EXPECT_TRUE(model.weights->has("lm_head.weight"));
  EXPECT_FALSE(model.weights->has("lm_head"));
  EXPECT_EQ(model.weights->floats("model.norm.weight").size(), 64u);
  expect_bad_input([&] { (void)model.weights->load("model.norm.weigth"); },
                   {"did you mean \"model.norm.weight\"?"});
}

TEST_F(WeightsTest, ReadsShardsOfDifferentTypes) {
  put("config.json", "{}");
  put_tensor("model-00001-of-00002.safetensors", "a", DType::bf16, {1.0f, 2.0f});
  put_tensor("model-00002-of-00002.safetensors", "b", DType::f16, {0.5f});
  put("model.safetensors.index.json",
      R"({"metadata":{"total_size":6},"weight_map":{"a":"model-00001-of-00002.safetensors",)"
      R"("b":"model-00002-of-00002.safetensors"}})");
  const auto model = ModelDirectory::open(directory_);
  EXPECT_EQ(model.weights->floats("a"), (std::vector<float>{1, 2}));
  EXPECT_EQ(model.weights->floats("b"), (std::vector<float>{0.5f}));
  EXPECT_EQ(model.weights->list()[1].format, "F16");

  fs::remove(directory_ / "model-00002-of-00002.safetensors");
  expect_bad_input(open(), {"missing shard model-00002-of-00002.safetensors", "1 tensors"});
}

TEST_F(WeightsTest, RefusesAnIndexThatContradictsItsShards) {
  put("config.json", "{}");
  put_tensor("s.safetensors", "a", DType::f32, {1.0f});
  const auto with_map = [&](const std::string& map) {
    put("model.safetensors.index.json", "{\"weight_map\":" + map + "}");
  };
  with_map(R"({"a":"s.safetensors","b":"s.safetensors"})");
  expect_bad_input(open(), {"promises tensor b in s.safetensors"});
  put_tensor("t.safetensors", "a", DType::f32, {1.0f});
  with_map(R"({"a":"s.safetensors","b":"t.safetensors"})");
  expect_bad_input(open(), {"stands in two shards"});
  put_tensor("t.safetensors", "c", DType::f32, {1.0f});
  with_map(R"({"a":"t.safetensors","c":"t.safetensors"})");
  expect_bad_input(open(), {"promises tensor a in t.safetensors"});
  with_map(R"({"a":"s.safetensors"})");
  EXPECT_NO_THROW(open()());
  with_map(R"({"a":"../s.safetensors"})");
  expect_bad_input(open(), {"no file name", "weight_map.a"});
  with_map(R"({"a":1})");
  expect_bad_input(open(), {"no file name"});
  with_map("{}");
  expect_bad_input(open(), {"lists no tensors"});
  with_map("3");
  expect_bad_input(open(), {"no \"weight_map\""});
  put_tensor("model.safetensors", "a", DType::f32, {1.0f});
  expect_bad_input(open(), {"both model.safetensors and model.safetensors.index.json"});
}

TEST_F(WeightsTest, RefusesWhatIsNoModelDirectory) {
  expect_bad_input([&] { ModelDirectory::open(directory_ / "none"); }, {"no such model directory"});
  expect_bad_input(open(), {"no config.json"});
  const auto file = put("config.json", "{\n\"a\": 1,\n]");
  expect_bad_input([&] { ModelDirectory::open(file); }, {"this is neither"});
  expect_bad_input(open(), {"not valid JSON", "config.json:3"});
  put("config.json", "[1]");
  expect_bad_input(open(), {"no JSON object"});
  put("config.json", "{}");
  put("pytorch_model.bin", "");
  expect_bad_input(open(), {"holds no weights", "pytorch_model.bin is of another format"});
  put("config.json", R"({"quantization_config":{"quant_method":"exl2"}})");
  expect_bad_input(open(), {"unsupported quant_method \"exl2\"", "supported: compressed-tensors"});
  put("config.json", R"({"quantization_config":[]})");
  expect_bad_input(open(), {"names no quant_method"});
  fs::remove(directory_ / "config.json");
  put("adapter_config.json", "{}");
  expect_bad_input(open(), {"LoRA adapter"});
}

TEST_F(WeightsTest, WritesADirectoryThatReadsBack) {
  const auto source = ModelDirectory::open(kGolden / "llama_tied");
  std::vector<TensorPlan> plans;
  for (const WeightInfo& info : source.weights->list())
    plans.push_back({info.name, info.shape, DType::bf16, {}});
  ModelWriter writer(directory_, source.config, plans, source.path);
  for (const TensorPlan& plan : plans) writer.write(plan.name, source.weights->floats(plan.name));
  writer.finish();

  const auto copy = ModelDirectory::open(directory_);
  EXPECT_EQ(copy.config["dtype"], "bfloat16");
  EXPECT_EQ(copy.config["hidden_size"], source.config["hidden_size"]);
  EXPECT_TRUE(fs::exists(directory_ / "generation_config.json"));
  EXPECT_FALSE(fs::exists(directory_ / "golden.json"));
  for (const WeightInfo& info : source.weights->list()) {
    const auto a = source.weights->floats(info.name), b = copy.weights->floats(info.name);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], std::abs(a[i]) / 256);
  }
}

TEST_F(WeightsTest, CarriesTokenizerFilesAlong) {
  put("from/tokenizer.json", "t");
  put("from/spiece.model", "s");
  put("from/LICENSE.txt", "l");
  put("from/1_Pooling/config.json", "p");
  put("from/model.safetensors", "w");
  put("from/README.md", "r");
  fs::create_directory(directory_ / "to");
  const auto copied = copy_side_files(directory_ / "from", directory_ / "to");
  EXPECT_EQ(copied, (std::vector<std::string>{"1_Pooling/config.json", "LICENSE.txt",
                                              "spiece.model", "tokenizer.json"}));
  EXPECT_EQ(read_text(directory_ / "to/1_Pooling/config.json"), "p");
}

TEST_F(WeightsTest, RefusesWhatIsNotFinite) {
  std::vector<float> values(1000, 1.0f);
  EXPECT_NO_THROW(require_finite("w", values));
  values[7] = std::numeric_limits<float>::infinity();
  expect_bad_input([&] { require_finite("w", values); },
                   {"element 7 of 1000 is infinite", "tensor w"});
  values[3] = std::nanf("");
  expect_bad_input([&] { require_finite("w", values); }, {"element 3 of 1000 is not a number"});
}

TEST_F(WeightsTest, OpensRealModels) {
  const fs::path models = fs::path(ATTAR_SOURCE_DIR) / "../shared/models";
  if (!fs::exists(models)) GTEST_SKIP() << "no real models at " << models;
  for (const auto& entry : fs::directory_iterator(models)) {
    const auto model = ModelDirectory::open(entry.path());
    for (const WeightInfo& info : model.weights->list())
      EXPECT_NO_THROW(require_finite(info.name, model.weights->floats(info.name)));
  }
}

}  // namespace
}  // namespace attar
