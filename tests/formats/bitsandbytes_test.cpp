// The layouts of bitsandbytes: files as the library writes them, with reference values, and ours.
#include <cmath>
#include <map>

#include "compress/base/random.h"
#include "compress/formats/json.h"
#include "compress/formats/model_writer.h"
#include "compress/formats/nf4.h"
#include "compress/formats/quant_format.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::expect_bad_input;

struct Part {
  DType dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};
using Parts = std::map<std::string, Part>;

Part part(const TensorView& tensor) {
  return {tensor.dtype,
          tensor.shape,
          {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()}};
}

Part floats(const std::vector<float>& values) {
  return {DType::f32,
          {std::ssize(values)},
          {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}};
}

Part text(const std::string& content) {
  return {DType::u8, {std::ssize(content)}, content};
}

std::vector<float> levels_of(Levels levels) {
  const auto values = level_values(levels);
  return {values.begin(), values.end()};
}

const Safetensors& golden() {
  static const auto file = Safetensors::open(testing::kGolden / "methods/nf4/golden.safetensors");
  return file;
}

constexpr const char* kState = "a.weight.quant_state.bitsandbytes__nf4";

/// The state that goes with a reference matrix.
ordered_json state_json(const std::string& name) {
  return {{"quant_type", "nf4"},
          {"blocksize", name == "c_block128" ? 128 : 64},
          {"dtype", "bfloat16"},
          {"shape", golden().at(name + ".weight").shape}};
}

/// A reference matrix as the tensors of layer "a".
Parts reference(const std::string& name, bool nested) {
  Parts parts;
  Part codes = part(golden().at(name + ".packed"));
  codes.shape = {codes.shape[0], 1};
  parts["a.weight"] = codes;
  parts["a.weight.quant_map"] = part(golden().at("levels"));
  ordered_json state = state_json(name);
  if (nested) {
    parts["a.weight.absmax"] = part(golden().at(name + ".nested_codes"));
    parts["a.weight.nested_absmax"] = part(golden().at(name + ".nested_absmax"));
    parts["a.weight.nested_quant_map"] = part(golden().at("dynamic_map"));
    state["nested_blocksize"] = 256;
    state["nested_dtype"] = "float32";
    state["nested_offset"] = golden().at(name + ".nested_offset").floats()[0];
  } else {
    parts["a.weight.absmax"] = part(golden().at(name + ".absmax"));
  }
  parts[kState] = text(state.dump());
  return parts;
}

class Bitsandbytes : public testing::ScratchTest {
 protected:
  ModelDirectory open(const Parts& parts) const {
    std::vector<SafetensorsWriter::Declaration> declared;
    for (const auto& [name, part] : parts) declared.push_back({name, part.dtype, part.shape});
    SafetensorsWriter writer(directory_ / "model.safetensors", declared);
    for (const auto& [name, part] : parts) writer.write(name, std::as_bytes(std::span(part.bytes)));
    writer.finish();
    put("config.json", R"({"quantization_config": {"quant_method": "bitsandbytes",
        "load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true}})");
    return ModelDirectory::open(directory_);
  }

  /// Opening and loading "a.weight" must fail with all of `needles`.
  void refused(const Parts& parts, std::initializer_list<const char*> needles) const {
    expect_bad_input([&] { (void)open(parts).weights->load("a.weight"); }, needles);
  }
};

TEST_F(Bitsandbytes, ReadsBlocksInGroupsOfColumns) {
  for (const std::string name : {"a", "c_block128"}) {
    const auto model = open(reference(name, false));
    ASSERT_EQ(model.weights->list().size(), 1u);
    EXPECT_EQ(model.weights->list()[0].name, "a.weight");
    EXPECT_EQ(model.weights->list()[0].format, name == "a" ? "nf4 g64" : "nf4 g128");
    EXPECT_FALSE(model.weights->has("a.weight.absmax"));
    const Weight weight = model.weights->load("a.weight");
    const auto& q = std::get<QuantizedMatrix>(weight);
    EXPECT_EQ(q.scales, golden().at(name + ".absmax").floats());
    const auto codes = golden().at(name + ".codes").integers();
    EXPECT_TRUE(std::equal(codes.begin(), codes.end(), q.codes.begin(), q.codes.end()));
    EXPECT_EQ(dequantize(q), golden().at(name + ".dequant").floats());
  }
}

TEST_F(Bitsandbytes, ReadsScalesOfEightBits) {
  for (const std::string name : {"a", "b_tail", "c_block128"}) {
    const auto model = open(reference(name, true));
    const auto values = model.weights->floats("a.weight");
    const auto expected = golden().at(name + ".dequant_double").floats();
    ASSERT_EQ(values.size(), expected.size());
    for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], expected[i], 1e-6) << name;
  }
}

TEST_F(Bitsandbytes, BlocksThatGoOnInTheNextRowBecomeFloats) {
  const auto model = open(reference("b_tail", false));
  EXPECT_EQ(model.weights->list()[0].format, "nf4 g64 across rows");
  EXPECT_EQ(model.weights->list()[0].shape, (std::vector<int64_t>{5, 37}));
  const Weight weight = model.weights->load("a.weight");
  EXPECT_EQ(std::get<DenseTensor>(weight).floats(), golden().at("b_tail.dequant").floats());
}

TEST_F(Bitsandbytes, CodesMayStandInAnotherType) {
  Parts parts = reference("a", false);
  parts["a.weight"].dtype = DType::bf16;
  parts["a.weight"].shape[0] /= 2;
  EXPECT_EQ(open(parts).weights->floats("a.weight"), golden().at("a.dequant").floats());
}

TEST_F(Bitsandbytes, ReadsFp4) {
  Parts parts = reference("a", false);
  parts.erase(kState);
  ordered_json state = state_json("a");
  state["quant_type"] = "fp4";
  parts["a.weight.quant_state.bitsandbytes__fp4"] = text(state.dump());
  parts["a.weight.quant_map"] = floats(levels_of(Levels::fp4));
  const auto model = open(parts);
  EXPECT_EQ(model.weights->list()[0].format, "fp4 g64");
  const auto values = model.weights->floats("a.weight");
  const auto codes = golden().at("a.codes").integers();
  const auto scales = golden().at("a.absmax").floats();
  for (size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(values[i], level_values(Levels::fp4)[static_cast<size_t>(codes[i])] * scales[i / 64]);
}

TEST_F(Bitsandbytes, DamagedFourBitsAreNamed) {
  const auto without = [&](const char* name) {
    Parts parts = reference("a", true);
    parts.erase(name);
    return parts;
  };
  refused(without("a.weight"), {"a.weight"});
  refused(without("a.weight.absmax"), {"a.weight.absmax"});
  refused(without("a.weight.quant_map"), {"a.weight.quant_map"});
  refused(without("a.weight.nested_absmax"), {"a.weight.nested_absmax"});
  refused(without("a.weight.nested_quant_map"), {"a.weight.nested_quant_map"});
  refused(without(kState), {"codes without a quant_state", "tensor a.weight"});

  const auto with = [&](const char* name, const Part& other) {
    Parts parts = reference("a", true);
    parts[name] = other;
    return parts;
  };
  refused(with("a.weight.quant_map", floats(levels_of(Levels::fp4))),
          {"a.weight.quant_map", "level 0 is 0"});
  refused(with("a.weight.quant_map", floats(std::vector<float>(16, NAN))), {"level 0 is nan"});
  refused(with("a.weight.quant_map", floats({1.0f})), {"a.weight.quant_map", "F32 [16]"});
  refused(with("a.weight.absmax", text("xy")), {"a.weight.absmax", "U8 [96]"});
  refused(with("a.weight.nested_absmax", floats({1, 2})), {"a.weight.nested_absmax", "F32 [1]"});
  refused(with("a.weight.nested_absmax", floats({INFINITY})),
          {"a.weight.nested_absmax", "not finite"});
  refused(with("a.weight.nested_quant_map", floats({1})), {"nested_quant_map", "F32 [256]"});
  refused(with("a.weight", text("abc")), {"holds 3 bytes", "[48, 128]", "3072"});
  Parts twice = reference("a", true);
  twice["a.weight.quant_state.bitsandbytes__fp4"] = twice[kState];
  refused(twice, {"tensor a.weight.quant_state"});
  Parts plain = reference("a", false);
  std::vector<float> scales = golden().at("a.absmax").floats();
  scales[5] = NAN;
  plain["a.weight.absmax"] = floats(scales);
  refused(plain, {"a.weight.absmax", "scale 5 is not finite"});
}

TEST_F(Bitsandbytes, DamagedStatesAreNamed) {
  const auto with = [&](const char* key, const ordered_json& value) {
    Parts parts = reference("a", true);
    auto state = parse_json<ordered_json>(parts[kState].bytes, "");
    state[key] = value;
    parts[kState] = text(state.dump());
    return parts;
  };
  refused(with("quant_type", "af4"), {"quant_type \"af4\"", kState, "nf4, fp4"});
  refused(with("quant_type", 4), {"quant_type 4"});
  refused(with("quant_type", "fp4"), {"name says otherwise"});
  for (const ordered_json& size : {ordered_json(0), ordered_json(4), ordered_json(-64),
                                   ordered_json("64"), ordered_json(), ordered_json(48)})
    refused(with("blocksize", size), {"blocksize is", kState});
  refused(with("shape", {48, 128, 1}), {"shape [48,128,1]", "[out, in]"});
  refused(with("shape", 7), {"the shape 7"});
  refused(with("shape", {0, 128}), {"a dimension is 0"});
  refused(with("shape", {1ull << 60, 1ull << 60}), {"a dimension is"});
  refused(with("shape", {48, 256}), {"[48, 256]"});
  refused(with("nested_blocksize", 3), {"nested_blocksize is 3"});
  refused(with("nested_offset", nullptr), {"nested_offset is null"});
  refused(with("nested_offset", 1e300), {"nested_offset is 1e+300"});
  Parts parts = reference("a", true);
  parts[kState] = text("{\"quant_type\": ");
  refused(parts, {kState});
  parts[kState] = text("[]");
  refused(parts, {"no JSON object"});
  parts[kState] = floats({1});
  refused(parts, {"must be U8"});
}

/// A layer of LLM.int8: rows −128 … 127.
Parts int8_layer() {
  std::string codes(2 * 128, '\0');
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<char>(i - 128);
  Parts parts;
  parts["a.weight"] = {DType::i8, {2, 128}, codes};
  parts["a.SCB"] = floats({12.7f, 254});
  parts["a.weight_format"] = {DType::u8, {}, std::string(1, '\0')};
  return parts;
}

TEST_F(Bitsandbytes, ReadsInt8) {
  const auto model = open(int8_layer());
  ASSERT_EQ(model.weights->list().size(), 1u);
  EXPECT_EQ(model.weights->list()[0].format, "int8 channel sym");
  const auto values = model.weights->floats("a.weight");
  EXPECT_EQ(values[0], -128 * (12.7f / 127));
  EXPECT_EQ(values[127], -1 * (12.7f / 127));
  EXPECT_EQ(values[128], 0);
  EXPECT_EQ(values[255], 254.0f);
  put("config.json", R"({"quantization_config": {"load_in_8bit": true}})");  // of early versions
  EXPECT_EQ(ModelDirectory::open(directory_).weights->floats("a.weight"), values);
  put("config.json", R"({"quantization_config": {"load_in_8bit": false}})");
  expect_bad_input([&] { ModelDirectory::open(directory_); }, {"names no quant_method"});
}

TEST_F(Bitsandbytes, DamagedInt8IsNamed) {
  const auto with = [&](const char* name, const Part& other) {
    Parts parts = int8_layer();
    parts[name] = other;
    return parts;
  };
  refused(with("a.SCB", floats({1})), {"a.SCB", "F32 [2]"});
  refused(with("a.SCB", floats({1, NAN})), {"a.SCB", "not finite"});
  refused(with("a.weight", floats({1, 2})), {"a.weight", "I8"});
  refused(with("a.weight_format", {DType::u8, {}, "\1"}), {"a.weight_format", "row by row"});
  Parts parts = int8_layer();
  parts.erase("a.SCB");
  refused(parts, {"codes without SCB", "a.weight"});
  parts = int8_layer();
  parts.erase("a.weight");
  refused(parts, {"a.weight"});
  refused({{"a.weight", floats({1, 2})}}, {"no tensor is a quant_state", "quantization_config"});
}

TEST_F(Bitsandbytes, WritesWhatItReads) {
  Random random(7);
  for (const Levels levels : {Levels::nf4, Levels::fp4})
    for (const int64_t group : {0, 32, 64, 128}) {
      QuantizedMatrix q{{4, group, true, DType::f32, false, levels}, 24, 128, {}, {}, {}};
      for (int64_t i = 0; i < q.rows * q.cols; ++i)
        q.codes.push_back(static_cast<uint8_t>(random.below(16)));
      for (int64_t i = 0; i < q.rows * q.groups(); ++i)
        q.scales.push_back(static_cast<float>(random.uniform()) + 0.01f);
      const fs::path directory = directory_ / q.layout.name();
      fs::create_directories(directory);
      ModelWriter writer(directory, ordered_json::object(),
                         {{"x.a.weight", {q.rows, q.cols}, DType::f32, q.layout},
                          {"x.gate.weight", {2, 2}, DType::f32, {}}},
                         {}, find_quant_format("bitsandbytes", ""));
      writer.write("x.a.weight", q);
      writer.write("x.gate.weight", std::vector<float>{1, 2, 3, 4});
      writer.finish();
      const auto model = ModelDirectory::open(directory);
      const auto& config = model.config["quantization_config"];
      EXPECT_EQ(config["bnb_4bit_quant_type"], to_string(levels));
      EXPECT_EQ(config["load_in_4bit"], true);
      EXPECT_EQ(config["bnb_4bit_use_double_quant"], false);
      EXPECT_EQ(config["llm_int8_skip_modules"].dump(), R"(["x.gate"])");
      const Weight weight = model.weights->load("x.a.weight");
      const auto& back = std::get<QuantizedMatrix>(weight);
      EXPECT_EQ(back.codes, q.codes);
      EXPECT_EQ(back.scales, q.scales);
      EXPECT_EQ(back.layout.levels, levels);
      EXPECT_EQ(dequantize(back), dequantize(q));
      const auto file = Safetensors::open(directory / "model.safetensors");
      EXPECT_EQ(file.at("x.a.weight").shape, (std::vector<int64_t>{24 * 64, 1}));
      EXPECT_EQ(std::to_integer<int>(file.at("x.a.weight").bytes[0]), q.codes[0] << 4 | q.codes[1]);
    }
}

TEST_F(Bitsandbytes, SaysWhatItCannotHold) {
  const QuantFormat& format = find_quant_format("bitsandbytes", "");
  const auto objection = [&](int64_t cols, int64_t group, Levels levels) {
    return format.objection(64, cols, {4, group, true, DType::f32, false, levels});
  };
  EXPECT_EQ(objection(128, 64, Levels::nf4), "");
  EXPECT_EQ(objection(128, 0, Levels::fp4), "");
  EXPECT_NE(objection(128, 16, Levels::nf4), "");
  EXPECT_NE(objection(96, 0, Levels::nf4), "");
  EXPECT_NE(objection(8192, 0, Levels::nf4), "");
  EXPECT_NE(objection(96, 64, Levels::nf4), "");
  EXPECT_NE(objection(128, 64, Levels::integers), "");
  EXPECT_NE(objection(128, 64, Levels::iq4), "");
  for (const char* other : {"compressed-tensors", "gptq", "awq"}) {
    const std::string why = find_quant_format(other, "").objection(
        64, 128, {4, 64, true, DType::f32, false, Levels::nf4});
    EXPECT_NE(why.find("nf4 levels"), std::string::npos) << other;
  }
  QuantLayout nf4{4, 64, true, DType::f32, false, Levels::nf4}, fp4 = nf4;
  fp4.levels = Levels::fp4;
  expect_bad_input([&] { format.config({{"a", nf4}, {"b", fp4}}, {}); }, {"nf4", "fp4"});
}

TEST(Nf4, RoundsLikeTheReference) {
  for (const std::string name : {"a", "b_tail", "c_block128"}) {
    const auto values = golden().at(name + ".weight").floats();
    const auto codes = golden().at(name + ".codes").integers();
    const size_t block = name == "c_block128" ? 128 : 64;
    std::vector<uint8_t> made(values.size());
    std::vector<float> scales;
    for (size_t at = 0; at < values.size(); at += block)
      scales.push_back(round_to_nf4(
          std::span(values).subspan(at, std::min(block, values.size() - at)), made.data() + at));
    EXPECT_TRUE(std::equal(codes.begin(), codes.end(), made.begin(), made.end())) << name;
    EXPECT_EQ(scales, golden().at(name + ".absmax").floats());
  }
}

}  // namespace
}  // namespace attar
