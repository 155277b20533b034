#include "compress/formats/compressed_tensors.h"

#include <algorithm>
#include <cstring>

#include "compress/base/random.h"
#include "compress/formats/model_writer.h"
#include "compress/formats/packing.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::kGolden;

class CompressedTensorsTest : public testing::ScratchTest {};

std::vector<uint8_t> codes_of(const std::vector<int>& signed_codes, int bits) {
  std::vector<uint8_t> codes;
  for (const int q : signed_codes) codes.push_back(static_cast<uint8_t>(q + (1 << (bits - 1))));
  return codes;
}

std::vector<int32_t> words_of(const TensorView& tensor) {
  std::vector<int32_t> words(static_cast<size_t>(tensor.count()));
  std::memcpy(words.data(), tensor.bytes.data(), tensor.bytes.size());
  return words;
}

QuantizedMatrix random_matrix(const QuantLayout& layout, int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(rows * 1000 + cols + layout.bits));
  QuantizedMatrix q{layout, rows, cols, {}, {}, {}};
  q.codes.resize(static_cast<size_t>(rows * cols));
  for (uint8_t& code : q.codes) code = static_cast<uint8_t>(random.below(1ull << layout.bits));
  std::vector<float> scales(static_cast<size_t>(rows * q.groups()));
  for (float& scale : scales) scale = static_cast<float>(random.uniform()) + 0.01f;
  std::vector<std::byte> rounded(scales.size() * dtype_size(layout.scale_dtype));
  from_float32(scales, layout.scale_dtype, rounded);
  q.scales.resize(scales.size());
  to_float32(rounded, layout.scale_dtype, q.scales);
  if (!layout.symmetric) {
    q.zeros.resize(scales.size());
    for (uint8_t& zero : q.zeros) zero = static_cast<uint8_t>(random.below(1ull << layout.bits));
  }
  return q;
}

TEST_F(CompressedTensorsTest, PacksTheWordsOfTheReference) {
  const auto word = [](uint32_t bits) { return static_cast<int32_t>(bits); };
  EXPECT_EQ(pack_columns(codes_of({1, 2, 3, 4, 5, 6, 7, 0}, 4), 1, 8, 4),
            (std::vector<int32_t>{word(0x8FEDCBA9)}));
  EXPECT_EQ(pack_columns(codes_of({-1, -2, -3, -4, -5, -6, -7, -8}, 4), 1, 8, 4),
            (std::vector<int32_t>{word(0x01234567)}));
  EXPECT_EQ(pack_columns(codes_of({-128, -1, 0, 127}, 8), 1, 4, 8),
            (std::vector<int32_t>{word(0xFF807F00)}));
  std::vector<uint8_t> three(32);
  for (size_t i = 0; i < three.size(); ++i) three[i] = i % 8;
  EXPECT_EQ(pack_columns(three, 1, 32, 3),
            (std::vector<int32_t>{word(0x88FAC688), word(0xC688FAC6), word(0xFAC688FA)}));
}

TEST_F(CompressedTensorsTest, PacksGoldenMatrices) {
  const auto golden = Safetensors::open(kGolden / "methods/rtn/golden.safetensors");
  int checked = 0;
  for (const TensorView& packed : golden.tensors()) {
    const std::string_view suffix = ".weight_packed";
    if (!packed.name.ends_with(suffix)) continue;
    const std::string name = packed.name.substr(0, packed.name.size() - suffix.size());
    const int bits = name[3] - '0';
    const auto to_codes = [&](const TensorView& tensor) {
      const auto values = tensor.integers();
      return codes_of({values.begin(), values.end()}, bits);
    };
    const auto codes = to_codes(golden.at(name + ".codes"));
    EXPECT_EQ(pack_columns(codes, 32, 256, bits), words_of(packed)) << name;
    EXPECT_EQ(unpack_columns(words_of(packed), 32, 256, bits), codes) << name;
    ++checked;
    const TensorView* zeros = golden.find(name + ".zero_point");
    if (zeros == nullptr) continue;
    const TensorView& packed_zeros = golden.at(name + ".zero_point_packed");
    const auto zero_codes = to_codes(*zeros);
    EXPECT_EQ(pack_rows(zero_codes, 32, zeros->shape[1], bits), words_of(packed_zeros));
    EXPECT_EQ(unpack_rows(words_of(packed_zeros), 32, zeros->shape[1], bits), zero_codes);
  }
  EXPECT_EQ(checked, 18);
}

TEST_F(CompressedTensorsTest, DequantizesAsTheReference) {
  const auto golden = Safetensors::open(kGolden / "methods/rtn/golden.safetensors");
  for (const std::string name : {"int4_asym_g32", "int8_sym_g128", "int4_sym_gchannel"}) {
    const int bits = name[3] - '0';
    const bool symmetric = name.find("asym") == std::string::npos;
    const int64_t group = name.ends_with("g32") ? 32 : name.ends_with("g128") ? 128 : 0;
    const auto to_codes = [&](const std::string& part) {
      const auto values = golden.at(name + part).integers();
      return codes_of({values.begin(), values.end()}, bits);
    };
    QuantizedMatrix q{{bits, group, symmetric, DType::f32}, 32, 256, to_codes(".codes"), {}, {}};
    q.scales = golden.at(name + ".scale").floats();
    if (!symmetric) q.zeros = to_codes(".zero_point");
    EXPECT_EQ(dequantize(q), golden.at(name + ".dequant").floats()) << name;
  }
}

TEST_F(CompressedTensorsTest, CountsBitsPerWeight) {
  EXPECT_DOUBLE_EQ(bits_per_weight({4, 128, true, DType::bf16}, 4096), 4.125);
  EXPECT_DOUBLE_EQ(bits_per_weight({4, 32, false, DType::f16}, 4096), 4.625);
  EXPECT_DOUBLE_EQ(bits_per_weight({8, 0, true, DType::f32}, 256), 8.125);
}

struct Case {
  QuantLayout layout;
  int64_t rows, cols;
};

TEST_F(CompressedTensorsTest, RoundTripsEveryLayoutBitForBit) {
  std::vector<Case> cases;
  for (int bits = 2; bits <= 8; ++bits)
    for (const bool symmetric : {true, false})
      for (const auto& [group, scale] : std::vector<std::pair<int64_t, DType>>{
               {0, DType::f32}, {32, DType::bf16}, {100, DType::f16}})
        cases.push_back({{bits, group, symmetric, scale}, 33, 100});
  for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{
           {830, 545}, {256, 700}, {32, 100}, {1, 1}, {1, 33}, {33, 1}})
    for (const int bits : {3, 4, 8}) cases.push_back({{bits, 0, false, DType::f16}, rows, cols});

  for (const Case& c : cases) {
    const QuantizedMatrix q = random_matrix(c.layout, c.rows, c.cols);
    const std::vector<TensorPlan> plans = {
        {"model.embed_tokens.weight", {2, 3}, DType::bf16, {}},
        {"model.layers.0.mlp.up_proj.weight", {c.rows, c.cols}, DType::f32, c.layout},
        {"model.norm.weight", {1}, DType::bf16, {}}};
    ModelWriter writer(directory_, ordered_json{{"tie_word_embeddings", true}}, plans, {});
    writer.write(plans[1].name, q);
    writer.write(plans[0].name, std::vector<float>{1, 2, 3, 4, 5, 6});
    writer.write(plans[2].name, std::vector<float>{1});
    writer.finish();

    const auto model = ModelDirectory::open(directory_);
    ASSERT_EQ(model.weights->list().size(), 3u);
    const Weight weight = model.weights->load(plans[1].name);
    const auto& read = std::get<QuantizedMatrix>(weight);
    EXPECT_EQ(read.layout, q.layout) << q.layout.name();
    EXPECT_EQ(read.rows, q.rows);
    EXPECT_EQ(read.cols, q.cols);
    EXPECT_EQ(read.codes, q.codes) << q.layout.name();
    EXPECT_EQ(read.scales, q.scales) << q.layout.name();
    EXPECT_EQ(read.zeros, q.zeros) << q.layout.name();
    EXPECT_EQ(model.weights->floats(plans[1].name), dequantize(q));
    EXPECT_FALSE(model.weights->has("model.layers.0.mlp.up_proj.weight_scale"));
  }
}

TEST_F(CompressedTensorsTest, WritesTheConfigurationOthersRead) {
  const QuantLayout layout{4, 32, true, DType::f32};
  const std::vector<TensorPlan> plans = {
      {"model.embed_tokens.weight", {2, 32}, DType::f32, {}},
      {"model.layers.0.mlp.up_proj.weight", {8, 32}, DType::f32, layout},
      {"model.layers.0.mlp.down_proj.weight", {8, 32}, DType::f32, {}},
      {"model.layers.0.mlp.down_proj.bias", {8}, DType::f32, {}}};
  ordered_json config = {{"tie_word_embeddings", true}, {"torch_dtype", "float16"}};
  { ModelWriter writer(directory_, config, plans, {}); }
  EXPECT_TRUE(fs::is_empty(directory_));

  ModelWriter writer(directory_, config, plans, {});
  for (const TensorPlan& plan : plans)
    if (plan.layout)
      writer.write(plan.name, random_matrix(layout, 8, 32));
    else
      writer.write(plan.name, std::vector<float>(static_cast<size_t>(
                                  plan.shape[0] * (plan.shape.size() > 1 ? plan.shape[1] : 1))));
  writer.finish();
  const auto file = Safetensors::open(directory_ / "model.safetensors");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.at("model.layers.0.mlp.up_proj.weight_packed").shape,
            (std::vector<int64_t>{8, 4}));
  EXPECT_EQ(file.at("model.layers.0.mlp.up_proj.weight_shape").integers(),
            (std::vector<int64_t>{8, 32}));
  EXPECT_EQ(file.find("model.layers.0.mlp.up_proj.weight_zero_point"), nullptr);

  config = ModelDirectory::open(directory_).config;
  EXPECT_EQ(config["torch_dtype"], "float32");
  const auto& quantization = config["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], "compressed-tensors");
  EXPECT_EQ(quantization["format"], "pack-quantized");
  EXPECT_EQ(quantization["quantization_status"], "compressed");
  EXPECT_EQ(quantization["ignore"],
            (ordered_json::array({"model.layers.0.mlp.down_proj", "lm_head"})));
  const auto& group = quantization["config_groups"]["group_0"];
  EXPECT_EQ(group["targets"], ordered_json::array({"Linear"}));
  EXPECT_TRUE(group["input_activations"].is_null());
  EXPECT_EQ(group["weights"]["num_bits"], 4);
  EXPECT_EQ(group["weights"]["group_size"], 32);
  EXPECT_EQ(group["weights"]["strategy"], "group");
  EXPECT_EQ(group["weights"]["symmetric"], true);
  EXPECT_TRUE(group["weights"]["actorder"].is_null());
}

TEST_F(CompressedTensorsTest, KeepsSeveralLayoutsApart) {
  const QuantLayout fine{4, 32, true, DType::bf16}, coarse{8, 0, false, DType::bf16};
  const std::vector<TensorPlan> plans = {{"a.weight", {8, 64}, DType::f32, fine},
                                         {"b.weight", {8, 64}, DType::f32, coarse},
                                         {"c.weight", {8, 64}, DType::f32, fine}};
  ModelWriter writer(directory_, ordered_json::object(), plans, {});
  for (const TensorPlan& plan : plans) writer.write(plan.name, random_matrix(*plan.layout, 8, 64));
  writer.finish();
  const auto model = ModelDirectory::open(directory_);
  const auto& groups = model.config["quantization_config"]["config_groups"];
  EXPECT_EQ(groups["group_0"]["targets"], ordered_json::array({"a", "c"}));
  EXPECT_EQ(groups["group_1"]["targets"], ordered_json::array({"b"}));
  for (const TensorPlan& plan : plans)
    EXPECT_EQ(std::get<QuantizedMatrix>(model.weights->load(plan.name)).layout, *plan.layout);
  // 8 rows of 4 words each of codes, and 2 bfloat16 scales a row
  EXPECT_EQ(model.weights->list()[0].bytes, 8u * 8 * 4 + 8 * 2 * 2);
  EXPECT_EQ(model.weights->list()[0].format, "int4 g32 sym");
  EXPECT_EQ(model.weights->list()[1].format, "int8 channel asym");
}

TEST_F(CompressedTensorsTest, RefusesToWriteWhatWasNotPlanned) {
  const QuantLayout layout{4, 32, true, DType::f32};
  ModelWriter writer(directory_, ordered_json::object(),
                     {{"a.weight", {8, 64}, DType::f32, layout}, {"b", {2}, DType::f32, {}}}, {});
  EXPECT_THROW(writer.write("a.weight", std::vector<float>(512)), Error);
  EXPECT_THROW(writer.write("b", random_matrix(layout, 1, 2)), Error);
  EXPECT_THROW(writer.write("a.weight", random_matrix(layout, 64, 8)), Error);
  EXPECT_THROW(writer.write("c", std::vector<float>(1)), Error);
  EXPECT_THROW(
      ModelWriter(directory_, ordered_json::object(), {{"norm.bias", {8}, DType::f32, layout}}, {}),
      Error);
}

}  // namespace
}  // namespace attar
