// The layouts of quantized matrices: GPTQ, AWQ and compressed-tensors hold the same values.
#include "compress/formats/quant_format.h"

#include <cstring>

#include "compress/base/float_types.h"
#include "compress/base/random.h"
#include "compress/formats/assembled_source.h"
#include "compress/formats/json.h"
#include "compress/formats/model_writer.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::expect_bad_input;

class QuantFormats : public testing::ScratchTest {
 protected:
  /// A directory with one quantized layer "a" in that layout.
  fs::path write(std::string_view format, const QuantizedMatrix& q) const {
    const fs::path directory = directory_ / fmt_name(format);
    fs::remove_all(directory);
    fs::create_directories(directory);
    ModelWriter writer(directory, ordered_json::object(),
                       {{"a.weight", {q.rows, q.cols}, DType::f32, q.layout}}, {},
                       find_quant_format(format, ""));
    writer.write("a.weight", q);
    writer.finish();
    return directory;
  }
  static std::string fmt_name(std::string_view format) { return "as-" + std::string(format); }

  static std::vector<int32_t> words(const fs::path& directory, const std::string& name) {
    return words_of(Safetensors::open(directory / "model.safetensors").at(name));
  }

  /// A GPTQ directory of one layer, as another program might have written it.
  fs::path put_gptq(const ordered_json& quantization, int64_t cols, int64_t rows, int64_t groups,
                    const std::vector<int32_t>& codes, const std::vector<int32_t>& zeros,
                    const std::vector<int32_t>& order) const {
    SafetensorsWriter writer(directory_ / "model.safetensors",
                             {{"a.qweight", DType::i32, {cols / 8, rows}},
                              {"a.qzeros", DType::i32, {groups, rows / 8}},
                              {"a.scales", DType::f16, {groups, rows}},
                              {"a.g_idx", DType::i32, {cols}}});
    writer.write("a.qweight", std::as_bytes(std::span(codes)));
    writer.write("a.qzeros", std::as_bytes(std::span(zeros)));
    std::vector<float> scales(static_cast<size_t>(groups * rows));
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.25f * static_cast<float>(i + 1);
    writer.write_floats("a.scales", scales);
    writer.write("a.g_idx", std::as_bytes(std::span(order)));
    writer.finish();
    put("config.json", ordered_json{{"quantization_config", quantization}}.dump());
    return directory_;
  }
};

int32_t word(uint32_t bits) {
  return static_cast<int32_t>(bits);
}

QuantizedMatrix matrix(QuantLayout layout, int64_t rows, int64_t cols, uint64_t seed = 7) {
  layout.scale_dtype = DType::f16;
  Random random(seed);
  QuantizedMatrix q{layout, rows, cols, {}, {}, {}};
  q.codes.resize(static_cast<size_t>(rows * cols));
  for (uint8_t& code : q.codes) code = static_cast<uint8_t>(random.below(1ull << layout.bits));
  q.scales.resize(static_cast<size_t>(rows * q.groups()));
  for (float& scale : q.scales)
    scale = from_float16(to_float16(static_cast<float>(random.uniform()) + 0.01f));
  if (!layout.symmetric) {
    q.zeros.resize(q.scales.size());
    for (uint8_t& zero : q.zeros) zero = static_cast<uint8_t>(random.below(1ull << layout.bits));
  }
  return q;
}

TEST_F(QuantFormats, PackTheWordsOfTheReferences) {
  QuantizedMatrix column = matrix({4, 0, true}, 8, 8);
  for (size_t row = 0; row < 8; ++row)
    for (size_t col = 0; col < 8; ++col) column.codes[row * 8 + col] = static_cast<uint8_t>(col);
  const fs::path gptq = write("gptq", column);
  EXPECT_EQ(words(gptq, "a.qweight"), std::vector<int32_t>(8, word(0x76543210)));
  EXPECT_EQ(words(gptq, "a.qzeros"), (std::vector<int32_t>{word(0x77777777)}));
  for (size_t row = 0; row < 8; ++row)
    for (size_t col = 0; col < 8; ++col) column.codes[row * 8 + col] = static_cast<uint8_t>(row);
  const fs::path awq = write("awq", column);
  EXPECT_EQ(words(awq, "a.qweight"), std::vector<int32_t>(8, word(0x75316420)));
  EXPECT_EQ(words(awq, "a.qzeros"), (std::vector<int32_t>{word(0x88888888)}));

  QuantizedMatrix eight = matrix({8, 0, true}, 4, 4);
  EXPECT_EQ(words(write("gptq", eight), "a.qzeros"), (std::vector<int32_t>{word(0x7F7F7F7F)}));
  QuantizedMatrix second = matrix({4, 0, false}, 8, 8);
  second.zeros.assign(second.zeros.size(), 9);
  EXPECT_EQ(words(write("gptq", second), "a.qzeros"), (std::vector<int32_t>{word(0x99999999)}));
}

TEST_F(QuantFormats, HoldTheSameValues) {
  for (const bool symmetric : {true, false})
    for (const int64_t group : {0, 32, 64})
      for (const int bits : {3, 4, 8}) {
        const QuantizedMatrix q = matrix({bits, group, symmetric}, 64, 128);
        for (const QuantFormat& format : quant_formats()) {
          if (!format.objection(q.rows, q.cols, q.layout).empty()) continue;
          const auto model = ModelDirectory::open(write(format.name, q));
          const Weight weight = model.weights->load("a.weight");
          const auto& back = std::get<QuantizedMatrix>(weight);
          EXPECT_EQ(dequantize(back), dequantize(q)) << format.name << " " << q.layout.name();
          EXPECT_EQ(back.codes, q.codes) << format.name;
          EXPECT_EQ(back.layout.symmetric, symmetric) << format.name;
          EXPECT_EQ(model.weights->list().size(), 1u);
          EXPECT_EQ(model.weights->list()[0].name, "a.weight");
          EXPECT_EQ(model.weights->list()[0].shape, (std::vector<int64_t>{64, 128}));
          EXPECT_FALSE(model.weights->has("a.scales"));
        }
      }
}

TEST_F(QuantFormats, SayWhatTheyCannotHold) {
  const auto objection = [](const char* format, int64_t rows, int64_t cols, QuantLayout layout) {
    return find_quant_format(format, "").objection(rows, cols, layout);
  };
  EXPECT_NE(objection("awq", 64, 64, {8, 32, true}), "");
  EXPECT_NE(objection("awq", 60, 64, {4, 32, true}), "");
  EXPECT_NE(objection("awq", 64, 80, {4, 32, true}), "");
  EXPECT_EQ(objection("awq", 64, 64, {4, 32, true}), "");
  EXPECT_NE(objection("gptq", 64, 64, {5, 32, true}), "");
  EXPECT_NE(objection("gptq", 64, 20, {4, 0, true}), "");
  EXPECT_NE(objection("gptq", 60, 64, {4, 32, true}), "");
  EXPECT_NE(objection("gptq", 64, 80, {4, 32, true}), "");
  EXPECT_EQ(objection("compressed-tensors", 61, 67, {5, 32, true}), "");
  expect_bad_input(
      [&] {
        write("awq", matrix({3, 32, true}, 64, 64));
      },
      {"tensor a.weight", "3 bits"});
  expect_bad_input([] { find_quant_format("exl2", "config.json"); },
                   {"exl2", "compressed-tensors, gptq, awq, bitsandbytes"});

  QuantizedMatrix wide = matrix({4, 32, true}, 64, 64);
  wide.scales[3] = 1.0001f;
  EXPECT_THROW(write("gptq", wide), Error);
  EXPECT_FALSE(fs::exists(directory_ / "as-gptq/model.safetensors"));
}

TEST_F(QuantFormats, OneSchemeForGptq) {
  const std::vector<std::pair<std::string, QuantLayout>> mixed = {{"a", {4, 32, true}},
                                                                  {"b", {8, 32, true}}};
  expect_bad_input([&] { find_quant_format("gptq", "").config(mixed, {}); }, {"int8", "int4"});
  const auto config =
      find_quant_format("gptq", "").config({{"x.a", {4, 32, false}}}, {"x.gate", "lm_head"});
  EXPECT_EQ(config["checkpoint_format"], "gptq_v2");
  EXPECT_EQ(config["group_size"], 32);
  EXPECT_EQ(config["sym"], false);
  EXPECT_EQ(config["lm_head"], false);
  EXPECT_EQ(config["dynamic"].dump(), R"({"-:^x\\.gate$":{}})");
  EXPECT_EQ(find_quant_format("awq", "").config({{"a", {4, 0, true}}}, {})["group_size"], -1);
}

TEST_F(QuantFormats, GptqWritesItsTwinConfiguration) {
  const fs::path directory = write("gptq", matrix({4, 32, true}, 64, 64));
  const auto twin = parse_json<ordered_json>(read_text(directory / "quantize_config.json"), "twin");
  EXPECT_EQ(ModelDirectory::open(directory).config["quantization_config"], twin);
}

TEST_F(QuantFormats, GptqTellsVersionsByTheZeros) {
  // A published configuration, and labels that contradict what is stored.
  ordered_json published = {{"bits", 4},
                            {"group_size", 8},
                            {"desc_act", false},
                            {"sym", true},
                            {"true_sequential", true},
                            {"damp_percent", 0.01},
                            {"quant_method", "gptq"}};
  const std::vector<int32_t> codes(8, word(0x76543210)), order(8, 0);
  for (const uint32_t zeros : {0x77777777u, 0x88888888u})
    for (const char* label : {"gptq", "gptq_v2"}) {
      published["checkpoint_format"] = label;
      const auto model =
          ModelDirectory::open(put_gptq(published, 8, 8, 1, codes, {word(zeros)}, order));
      const auto values = model.weights->floats("a.weight");
      EXPECT_EQ(values[0], -8 * 0.25f) << label;
      EXPECT_EQ(values[7], -1 * 0.25f) << label;
    }
  // Other zeros are what the label says.
  published["sym"] = false;
  published["checkpoint_format"] = "gptq";
  const fs::path directory = put_gptq(published, 8, 8, 1, codes, {word(0x33333333)}, order);
  EXPECT_EQ(ModelDirectory::open(directory).weights->floats("a.weight")[7], 3 * 0.25f);
  published["checkpoint_format"] = "gptq_v2";
  put("config.json", ordered_json{{"quantization_config", published}}.dump());
  EXPECT_EQ(ModelDirectory::open(directory).weights->floats("a.weight")[7], 4 * 0.25f);
}

TEST_F(QuantFormats, GptqFollowsColumnsInOrderOfActivation) {
  const ordered_json config = {
      {"bits", 4}, {"group_size", 4}, {"desc_act", true}, {"sym", true}, {"quant_method", "gptq"}};
  const auto model = ModelDirectory::open(
      put_gptq(config, 8, 8, 2, std::vector<int32_t>(8, word(0xFFFFFFFF)),
               std::vector<int32_t>(2, word(0x77777777)), {1, 0, 0, 1, 0, 1, 1, 0}));
  EXPECT_EQ(model.weights->list()[0].format, "int4 g4 sym act-order");
  const Weight weight = model.weights->load("a.weight");
  const auto values = std::get<DenseTensor>(weight).floats();
  // Row 0: scale 0.25 in group 0, 0.25 · 9 in group 1.
  for (const size_t col : {1u, 2u, 4u, 7u}) EXPECT_EQ(values[col], 7 * 0.25f);
  for (const size_t col : {0u, 3u, 5u, 6u}) EXPECT_EQ(values[col], 7 * 2.25f);
}

TEST_F(QuantFormats, BadGptqIsNamed) {
  ordered_json config = {{"bits", 4}, {"group_size", 4}, {"sym", true}, {"quant_method", "gptq"}};
  const std::vector<int32_t> codes(8), zeros(2);
  const auto open = [&](const std::vector<int32_t>& order) {
    return [&, order] { ModelDirectory::open(put_gptq(config, 8, 8, 2, codes, zeros, order)); };
  };
  expect_bad_input(open({0, 0, 0, 0, 1, 1, 1, 2}), {"column 7 is of group 2", "a.g_idx"});
  config["group_size"] = 8;
  expect_bad_input(open({0, 0, 0, 0, 0, 0, 0, 0}), {"a.qzeros", "expected I32 [1, 1]"});
  config["group_size"] = 4;
  config["bits"] = 6;
  expect_bad_input(open({0, 0, 0, 0, 1, 1, 1, 1}), {"6 bits"});
  config["bits"] = 4;
  config["checkpoint_format"] = "marlin";
  expect_bad_input(open({0, 0, 0, 0, 1, 1, 1, 1}), {"marlin", "checkpoint_format"});
  config.erase("checkpoint_format");
  config["dynamic"] = {{"+:.*", {{"bits", 8}}}};
  expect_bad_input(open({0, 0, 0, 0, 1, 1, 1, 1}), {"dynamic"});
}

TEST_F(QuantFormats, ReadsAPublishedConfiguration) {
  const fs::path sample =
      fs::path(ATTAR_SOURCE_DIR) / "../shared/format-samples/gptq_qwen_vl_int4/config.json";
  if (!fs::exists(sample)) GTEST_SKIP() << "no " << sample;
  auto config = parse_json<ordered_json>(read_text(sample), sample.string());
  const QuantizedMatrix q = matrix({4, 128, true}, 64, 256);
  const fs::path directory = write("gptq", q);
  std::ofstream(directory / "config.json") << config.dump();
  EXPECT_EQ(ModelDirectory::open(directory).weights->floats("a.weight"), dequantize(q));
}

TEST_F(QuantFormats, Int8InputsStandAsIntQuantized) {
  QuantLayout layout{8, 0, true, DType::f16};
  layout.int8_inputs = true;
  const QuantizedMatrix q = matrix(layout, 24, 40);
  const fs::path directory = write("compressed-tensors", q);
  const auto file = Safetensors::open(directory / "model.safetensors");
  EXPECT_EQ(file.at("a.weight").dtype, DType::i8);
  EXPECT_EQ(file.at("a.weight_scale").shape, (std::vector<int64_t>{24, 1}));
  const auto model = ModelDirectory::open(directory);
  const auto& config = model.config["quantization_config"];
  EXPECT_EQ(config["format"], "int-quantized");
  EXPECT_EQ(config["config_groups"]["group_0"]["input_activations"]["strategy"], "token");
  const Weight weight = model.weights->load("a.weight");
  const auto& back = std::get<QuantizedMatrix>(weight);
  EXPECT_TRUE(back.layout.int8_inputs);
  EXPECT_EQ(back.codes, q.codes);
  EXPECT_EQ(back.scales, q.scales);
  EXPECT_EQ(model.weights->list()[0].format, "int8 channel sym a8");

  auto other = model.config;
  other["quantization_config"]["config_groups"]["group_0"]["input_activations"]["dynamic"] = false;
  std::ofstream(directory / "config.json") << other.dump();
  expect_bad_input([&] { ModelDirectory::open(directory); }, {"input_activations", "dynamic"});
}

}  // namespace
}  // namespace attar
