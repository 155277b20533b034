// Bad input through the commands: one clear message with its place, the right exit code, nothing
// half-written, earlier results intact.
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "compress/formats/safetensors.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using testing::attar;
using testing::golden;
using testing::slurp;

void spill(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::make_test_directory("bad-input");
    fs::copy(golden("llama_gqa"), root_ / "model");
    SafetensorsWriter writer(root_ / "ids.safetensors", {{"input_ids", DType::i64, {4, 32}}});
    std::vector<int64_t> ids(4 * 32);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i * 37 % 256);
    writer.write("input_ids", std::as_bytes(std::span(ids)));
    writer.finish();
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path weights() const { return root_ / "model" / "model.safetensors"; }

  void edit_config(const std::function<void(nlohmann::ordered_json&)>& edit) {
    const auto path = root_ / "model" / "config.json";
    auto config = nlohmann::ordered_json::parse(slurp(path));
    edit(config);
    spill(path, config.dump(2));
  }

  /// Re-writes the weights with one tensor's floats edited.
  void edit_tensor(const std::string& name, const std::function<void(std::vector<float>&)>& edit) {
    std::vector<SafetensorsWriter::Declaration> declarations;
    std::map<std::string, std::vector<float>> values;
    {
      const auto file = Safetensors::open(weights());
      for (const auto& tensor : file.tensors()) {
        declarations.push_back({tensor.name, tensor.dtype, tensor.shape});
        values[tensor.name] = tensor.floats();
      }
    }
    edit(values.at(name));
    SafetensorsWriter writer(weights(), declarations);
    for (const auto& [tensor, floats] : values) writer.write_floats(tensor, floats);
    writer.finish();
  }

  std::string recipe(const std::string& stages, const std::string& more = "") {
    const std::string text =
        "attar: 1\nname: t\nseed: 1\noutput: run\nmodel: model\ndata:\n"
        "  ids: {path: ids.safetensors, format: ids}\nstages:\n" +
        stages + more;
    spill(root_ / "recipe.yaml", text);
    return root_ / "recipe.yaml";
  }

  /// Both the runtime and a recipe refuse the model with exit 2, name `mention`, and write nothing.
  void expect_model_refused(const std::string& mention) {
    const auto direct = attar({"logits", root_ / "model", "--input", root_ / "ids.safetensors",
                               "--output", root_ / "out.safetensors"});
    EXPECT_EQ(direct.exit_code, 2) << direct.err;
    EXPECT_NE(direct.err.find(mention), std::string::npos) << direct.err;
    EXPECT_FALSE(fs::exists(root_ / "out.safetensors"));
    const auto run =
        attar({"run", recipe("  - {name: q, type: quantize, method: rtn, group_size: 32}\n")});
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_NE(run.err.find(mention), std::string::npos) << run.err;
    EXPECT_FALSE(fs::exists(root_ / "run" / "q"));
  }

  fs::path root_;
};

TEST_F(BadInput, MissingWeights) {
  fs::remove(weights());
  expect_model_refused("model.safetensors");
}

TEST_F(BadInput, TruncatedWeights) {
  fs::resize_file(weights(), fs::file_size(weights()) - 100);
  expect_model_refused("truncated");
}

TEST_F(BadInput, HeaderThatLiesAboutSizes) {
  auto bytes = slurp(weights());
  const auto place = bytes.find("[64,64]");
  ASSERT_NE(place, std::string::npos);
  bytes.replace(place, 7, "[64,65]");
  spill(weights(), bytes);
  expect_model_refused("model.safetensors");
}

TEST_F(BadInput, WrongShape) {
  edit_config([](auto& config) { config["intermediate_size"] = 96; });
  expect_model_refused("mlp.");
}

TEST_F(BadInput, VocabularyLargerThanTheEmbedding) {
  edit_config([](auto& config) { config["vocab_size"] = 300; });
  expect_model_refused("embed_tokens");
}

TEST_F(BadInput, UnknownArchitecture) {
  edit_config([](auto& config) {
    config["architectures"] = {"LlamoForCausalLM"};
    config["model_type"] = "llamo";
  });
  expect_model_refused("LlamoForCausalLM");
}

TEST_F(BadInput, NanWeights) {
  edit_tensor("model.layers.1.mlp.up_proj.weight",
              [](auto& values) { values[17] = std::numeric_limits<float>::quiet_NaN(); });
  expect_model_refused("model.layers.1.mlp.up_proj.weight");
}

TEST_F(BadInput, InfiniteWeights) {
  edit_tensor("model.norm.weight",
              [](auto& values) { values[3] = std::numeric_limits<float>::infinity(); });
  expect_model_refused("model.norm.weight");
}

TEST_F(BadInput, ConfigThatIsNoJson) {
  spill(root_ / "model" / "config.json", "{\"architectures\": [");
  expect_model_refused("config.json");
}

TEST_F(BadInput, EveryMistakeOfARecipeAtOnce) {
  const auto path = recipe(
      "  - {name: a, type: quantise}\n"
      "  - {name: b, type: quantize, method: rtn, groupsize: 32}\n"
      "  - {name: b, type: prune, keep: {fnn: 0.5}, data: ids}\n"
      "  - {name: d, type: quantize, method: rtn, data: idz}\n"
      "  - {name: e, type: quantize, method: rtn, from: nowhere}\n");
  for (const char* command : {"validate", "run"}) {
    const auto result = attar({command, path});
    EXPECT_EQ(result.exit_code, 2);
    for (const char* mention :
         {"quantise", "groupsize", "fnn", "idz", "nowhere", "recipe.yaml:9", "recipe.yaml:10",
          "recipe.yaml:11", "recipe.yaml:12", "recipe.yaml:13", "group_size", "ffn"})
      EXPECT_NE(result.err.find(mention), std::string::npos) << mention << "\n" << result.err;
    EXPECT_FALSE(fs::exists(root_ / "run"));
  }
}

TEST_F(BadInput, EmptyData) {
  spill(root_ / "ids.safetensors", "");
  const auto empty = attar(
      {"run", recipe("  - {name: q, type: quantize, method: gptq, group_size: 32, data: ids}\n")});
  EXPECT_EQ(empty.exit_code, 2) << empty.err;
  EXPECT_NE(empty.err.find("ids.safetensors"), std::string::npos) << empty.err;
  EXPECT_FALSE(fs::exists(root_ / "run" / "q"));
}

TEST_F(BadInput, DataThatIsMissing) {
  fs::remove(root_ / "ids.safetensors");
  const auto missing = attar(
      {"run", recipe("  - {name: q, type: quantize, method: gptq, group_size: 32, data: ids}\n")});
  EXPECT_EQ(missing.exit_code, 2) << missing.err;
  EXPECT_FALSE(fs::exists(root_ / "run"));
}

TEST_F(BadInput, OutputThatCannotBeWritten) {
  spill(root_ / "run", "a file of the user's");
  const auto result =
      attar({"run", recipe("  - {name: q, type: quantize, method: rtn, group_size: 32}\n")});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(slurp(root_ / "run"), "a file of the user's");
}

TEST_F(BadInput, FullDiskFailsWithOneAndKeepsEarlierResults) {
  const auto first =
      attar({"run", recipe("  - {name: q, type: quantize, method: rtn, group_size: 32}\n")});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const auto before = slurp(root_ / "run" / "q" / "manifest.json");
  recipe(
      "  - {name: q, type: quantize, method: rtn, group_size: 32}\n"
      "  - {name: w, type: prune, method: width, keep: {ffn: 0.5}, multiple_of: 1, from: model, "
      "data: ids}\n");
  // A limit on file sizes fails like a full disk does, in the middle of a write.
  const auto result =
      testing::run_command({"/bin/bash", "-c", "ulimit -f 100; exec \"$0\" run \"$1\"",
                            std::string(ATTAR_BINARY_DIR) + "/attar", root_ / "recipe.yaml"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("error:"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(root_ / "run" / "w"));
  EXPECT_EQ(slurp(root_ / "run" / "q" / "manifest.json"), before);
  const auto after = attar({"run", root_ / "recipe.yaml"});
  EXPECT_EQ(after.exit_code, 0) << after.err;
}

TEST_F(BadInput, UnknownCommandsAndOptionsSuggest) {
  const auto command = attar({"quantise"});
  EXPECT_EQ(command.exit_code, 2);
  const auto option = attar({"generate", root_ / "model", "--promt", "x"});
  EXPECT_EQ(option.exit_code, 2);
  EXPECT_NE(option.err.find("prompt"), std::string::npos) << option.err;
}

}  // namespace
}  // namespace attar
