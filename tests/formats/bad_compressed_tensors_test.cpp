#include <cstring>
#include <limits>

#include "compress/formats/compressed_tensors.h"
#include "compress/formats/compressed_tensors_schemes.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using compressed_tensors::Schemes;
using nlohmann::ordered_json;
using testing::expect_bad_input;

ordered_json int4(const ordered_json& changes = ordered_json::object()) {
  ordered_json json = ordered_json::parse(R"({
    "quant_method": "compressed-tensors", "format": "pack-quantized",
    "quantization_status": "compressed", "ignore": ["lm_head"],
    "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": null,
      "weights": {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
                  "group_size": 32, "dynamic": false, "actorder": null, "observer": "minmax"}}}})");
  json.merge_patch(changes);
  return json;
}

ordered_json weights_change(const ordered_json& weights) {
  return {{"config_groups", {{"group_0", {{"weights", weights}}}}}};
}

TEST(Schemes, ReadsWhatTheQuantizersWrite) {
  const Schemes schemes(int4(weights_change({{"actorder", "static"},
                                             {"observer_kwargs", ordered_json::object()},
                                             {"scale_dtype", nullptr}})),
                        "config.json");
  const auto* scheme = schemes.find("model.layers.0.mlp.up_proj");
  ASSERT_NE(scheme, nullptr);
  EXPECT_EQ(scheme->layout, (QuantLayout{4, 32, true, DType::f32}));
  EXPECT_TRUE(schemes.ignored("lm_head"));
  EXPECT_FALSE(schemes.ignored("model.lm_head"));
}

TEST(Schemes, ExactNamesWinOverExpressionsOverClasses) {
  ordered_json json = int4();
  const auto group = [&](const char* name, const ordered_json& targets, int bits) {
    json["config_groups"][name] = json["config_groups"]["group_0"];
    json["config_groups"][name]["targets"] = targets;
    json["config_groups"][name]["weights"]["num_bits"] = bits;
  };
  group("group_1", {"re:.*down_proj$"}, 8);
  group("group_2", {"model.layers.1.mlp.down_proj"}, 6);
  json["ignore"] = {"re:.*lm_head", "re:visual"};
  const Schemes schemes(json, "config.json");
  EXPECT_EQ(schemes.find("model.layers.0.mlp.up_proj")->layout.bits, 4);
  EXPECT_EQ(schemes.find("model.layers.0.mlp.down_proj")->layout.bits, 8);
  EXPECT_EQ(schemes.find("model.layers.1.mlp.down_proj")->layout.bits, 6);
  EXPECT_TRUE(schemes.ignored("model.lm_head"));
  EXPECT_TRUE(schemes.ignored("visual.blocks.0"));  // expressions match from the beginning
  EXPECT_FALSE(schemes.ignored("model.visual"));
}

TEST(Schemes, RefusesWhatItCannotSay) {
  const auto refused = [](const ordered_json& changes, std::initializer_list<const char*> parts) {
    SCOPED_TRACE(changes.dump());
    expect_bad_input([&] { Schemes(int4(changes), "config.json"); }, parts);
  };
  refused(weights_change({{"actorder", "group"}}), {"g_idx", "actorder"});
  refused(weights_change({{"type", "float"}}), {"weight type \"float\""});
  refused(weights_change({{"num_bits", 16}}), {"num_bits is 16, supported are 2 to 8"});
  refused(weights_change({{"num_bits", "4"}}), {"num_bits"});
  refused(weights_change({{"strategy", "block"}}), {"strategy \"block\"", "group, channel"});
  refused(weights_change({{"group_size", nullptr}}), {"group_size is null"});
  refused(weights_change({{"group_size", -1}}), {"group_size is -1"});
  refused(weights_change({{"symmetric", 1}}), {"symmetric"});
  refused(weights_change({{"dynamic", true}}), {"dynamic"});
  refused(weights_change({{"block_structure", "2x2"}}), {"block_structure"});
  refused(weights_change({{"rotation", "hadamard"}}), {"unknown setting rotation", "newer"});
  refused({{"config_groups", {{"group_0", {{"input_activations", {{"num_bits", 8}}}}}}}},
          {"activations are not supported"});
  refused({{"config_groups", {{"group_0", {{"weights", nullptr}}}}}}, {"group_0.weights"});
  refused({{"config_groups", {{"group_0", {{"targets", {3}}}}}}}, {"3 is no name"});
  refused({{"config_groups", {{"group_0", {{"targets", {"re:("}}}}}}}, {"no regular expression"});
  refused({{"config_groups", {{"group_0", 1}}}}, {"not an object"});
  refused({{"config_groups", nullptr}}, {"config_groups names no scheme"});
  refused({{"format", "float-quantized"}}, {"unsupported format \"float-quantized\""});
  refused({{"quantization_status", "frozen"}}, {"quantization_status"});
  refused({{"kv_cache_scheme", {{"num_bits", 8}}}}, {"kv_cache_scheme"});
  refused({{"transform_config", {{"u", 1}}}}, {"transform_config"});
  refused({{"sparsity_config", {{"format", "sparse-24"}}}}, {"sparse"});
  refused({{"ignore", "lm_head"}}, {"not a list"});
}

class QuantizedFilesTest : public testing::ScratchTest {
 protected:
  using Bytes = std::string;
  struct Tensor {
    std::string name, dtype;
    std::vector<int64_t> shape;
    Bytes bytes;
  };

  template <class Value>
  static Bytes bytes_of(const std::vector<Value>& values) {
    Bytes bytes(values.size() * sizeof(Value), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }

  /// A layer of [2, 32] with 4-bit codes.
  static std::map<std::string, Tensor> layer() {
    return {{"packed", {"a.weight_packed", "I32", {2, 4}, Bytes(32, '\x99')}},
            {"scale", {"a.weight_scale", "F32", {2, 1}, bytes_of<float>({0.5f, 2.0f})}},
            {"shape", {"a.weight_shape", "I64", {2}, bytes_of<int64_t>({2, 32})}}};
  }

  ModelDirectory open(const std::map<std::string, Tensor>& tensors,
                      const ordered_json& changes = ordered_json::object()) const {
    ordered_json header = ordered_json::object();
    Bytes data;
    for (const auto& [unused, t] : tensors) {
      header[t.name] = {{"dtype", t.dtype},
                        {"shape", t.shape},
                        {"data_offsets", {data.size(), data.size() + t.bytes.size()}}};
      data += t.bytes;
    }
    put("model.safetensors", testing::safetensors_bytes(header.dump(), data));
    put("config.json", ordered_json{{"quantization_config", int4(changes)}}.dump());
    return ModelDirectory::open(directory_);
  }
};

TEST_F(QuantizedFilesTest, ReadsALayer) {
  const auto values = open(layer()).weights->floats("a.weight");
  ASSERT_EQ(values.size(), 64u);  // every code is 9, so 1 above zero
  EXPECT_EQ(values[0], 0.5f);
  EXPECT_EQ(values[63], 2.0f);
}

TEST_F(QuantizedFilesTest, ReadsOneScaleForTheTensor) {
  auto tensors = layer();
  tensors["scale"].shape = {1};
  tensors["scale"].bytes = bytes_of<float>({0.25f});
  const auto model =
      open(tensors, weights_change({{"strategy", "tensor"}, {"group_size", nullptr}}));
  EXPECT_EQ(model.weights->floats("a.weight"), std::vector<float>(64, 0.25f));
}

TEST_F(QuantizedFilesTest, ReadsBytes) {
  std::map<std::string, Tensor> tensors = {
      {"codes", {"a.weight", "I8", {1, 2}, Bytes("\x80\x05")}},
      {"scale", {"a.weight_scale", "BF16", {1, 1}, Bytes("\x80\x3f")}}};
  const ordered_json changes = {
      {"format", "int-quantized"},
      {"config_groups",
       {{"group_0",
         {{"weights", {{"num_bits", 8}, {"strategy", "channel"}, {"group_size", nullptr}}}}}}}};
  EXPECT_EQ(open(tensors, changes).weights->floats("a.weight"), (std::vector<float>{-128, 5}));
  auto narrow = changes;
  narrow["config_groups"]["group_0"]["weights"]["num_bits"] = 4;
  expect_bad_input([&] { (void)open(tensors, narrow).weights->load("a.weight"); },
                   {"element 0 is -128, no 4-bit code"});
  expect_bad_input(
      [&] {
        (void)open(tensors, {{"config_groups", changes["config_groups"]}});
      },
      {"does not store codes under this name", "tensor a.weight"});
}

TEST_F(QuantizedFilesTest, RefusesTensorsThatContradict) {
  const auto refused = [&](const std::map<std::string, Tensor>& tensors,
                           std::initializer_list<const char*> parts,
                           const ordered_json& changes = ordered_json::object()) {
    expect_bad_input([&] { open(tensors, changes); }, parts);
  };
  auto tensors = layer();
  tensors.erase("scale");
  refused(tensors, {"no tensor \"a.weight_scale\""});
  tensors = layer();
  tensors["scale"].shape = {1, 2};
  refused(tensors, {"is F32 [1, 2], expected F32 [2, 1]", "tensor a.weight_scale"});
  tensors["scale"] = {"a.weight_scale", "I32", {2, 1}, Bytes(8, '\0')};
  refused(tensors, {"scales are I32"});
  tensors = layer();
  tensors["shape"].bytes = bytes_of<int64_t>({2, 40});
  refused(tensors, {"is I32 [2, 4], expected I32 [2, 5]"});
  tensors["shape"].bytes = bytes_of<int64_t>({-2, 32});
  refused(tensors, {"no shape of a linear layer"});
  tensors["shape"].bytes = bytes_of<int64_t>({2, std::numeric_limits<int64_t>::max()});
  refused(tensors, {"no shape of a linear layer"});
  tensors["shape"] = {"a.weight_shape", "I64", {1}, bytes_of<int64_t>({2})};
  refused(tensors, {"must hold two numbers"});
  tensors = layer();
  tensors["packed"].name = "lm_head.weight_packed";
  refused(tensors, {"quantization_config ignores it", "lm_head.weight_packed"});
  refused(layer(), {"no config group targets it"},
          {{"config_groups", {{"group_0", {{"targets", {"b"}}}}}}});
  tensors = layer();
  tensors["zero"] = {"a.weight_zero_point", "I32", {1, 1}, Bytes(4, '\0')};
  refused(tensors, {"zero points beside a symmetric scheme"});
  tensors["zero"].shape = {1};
  refused(tensors, {"is I32 [1], expected I32 [1, 1]"}, weights_change({{"symmetric", false}}));
  tensors = layer();
  tensors["order"] = {"a.weight_g_idx", "I32", {1}, Bytes(4, '\0')};
  refused(tensors, {"weight_g_idx"});
  tensors = layer();
  tensors["dense"] = {"a.weight", "F32", {1, 1}, Bytes(4, '\0')};
  refused(tensors, {"both dense and quantized"});
  // 3 bits as old releases packed them: 10 to a word, so that 32 take 4 words instead of 3
  refused(layer(), {"packed 10 to a word"}, weights_change({{"num_bits", 3}}));
  tensors = layer();
  tensors["scale"].bytes = bytes_of<float>({1, std::numeric_limits<float>::infinity()});
  expect_bad_input([&] { (void)open(tensors).weights->load("a.weight"); },
                   {"scale 1 is not finite"});
  expect_bad_input([&] { (void)open(layer()).weights->load("a.weigth"); },
                   {"did you mean \"a.weight\"?"});
}

}  // namespace
}  // namespace attar
