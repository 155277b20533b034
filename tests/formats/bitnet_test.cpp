// Ternary weights as Transformers publishes them: packed, and rounded from float masters.
#include <cmath>

#include "compress/formats/safetensors.h"
#include "compress/formats/weights.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using testing::expect_bad_input;

constexpr const char* kLayer = "model.layers.0.self_attn.q_proj.weight";

class BitnetTest : public testing::ScratchTest {
 protected:
  void config(const std::string& more) const {
    put("config.json", R"({"quantization_config": {"quant_method": "bitnet")" + more + "}}");
  }
  /// 8 rows of 2 from 2 rows of bytes.
  void packed(std::vector<uint8_t> bytes, float scale) const {
    SafetensorsWriter writer(directory_ / "model.safetensors",
                             {{kLayer, DType::u8, {2, 2}},
                              {"model.layers.0.self_attn.q_proj.weight_scale", DType::f32, {1}},
                              {"model.norm.weight", DType::f32, {2}}});
    writer.write(kLayer, std::as_bytes(std::span(bytes)));
    writer.write_floats("model.layers.0.self_attn.q_proj.weight_scale", std::vector<float>{scale});
    writer.write_floats("model.norm.weight", std::vector<float>{1, 2});
    writer.finish();
  }
};

TEST_F(BitnetTest, BitsTwoJOfAByteAreOfTheJthStripeOfRows) {
  // Values of rows 0, 2, 4, 6 from the lowest bits up.
  packed({0b10'01'00'10, 0b01'01'01'01, 0b00'00'10'10, 0b10'10'10'10}, 0.5f);
  config(R"(, "linear_class": "autobitlinear")");
  const auto weights = ModelDirectory::open(directory_).weights;
  EXPECT_EQ(weights->floats(kLayer),
            (std::vector<float>{0.5f, 0, 0.5f, 0.5f, -0.5f, 0, 0.5f, 0.5f,  //
                                0, 0, -0.5f, 0.5f, 0.5f, 0, -0.5f, 0.5f}));
  EXPECT_EQ(weights->floats("model.norm.weight"), (std::vector<float>{1, 2}));
  for (const WeightInfo& info : weights->list())
    if (info.name == kLayer) {
      EXPECT_EQ(info.shape, (std::vector<int64_t>{8, 2}));
      EXPECT_EQ(info.format, "ternary");
    }
  config("");  // BitLinear's scale divides
  EXPECT_EQ(ModelDirectory::open(directory_).weights->floats(kLayer)[0], 2.0f);
}

TEST_F(BitnetTest, MastersAreRoundedByTheirMean) {
  SafetensorsWriter writer(directory_ / "model.safetensors", {{kLayer, DType::f32, {2, 2}}});
  writer.write_floats(kLayer, std::vector<float>{2, -0.25f, 0.5f, -1.25f});  // mean 1
  writer.finish();
  config(R"(, "quantization_mode": "online")");
  EXPECT_EQ(ModelDirectory::open(directory_).weights->floats(kLayer),
            (std::vector<float>{1, 0, 0, -1}));
}

TEST_F(BitnetTest, NamesWhatIsWrong) {
  const auto open = [this] { ModelDirectory::open(directory_).weights->load(kLayer); };
  config("");
  packed({3, 0, 0, 0}, 1);
  expect_bad_input(open, {"code of 3", kLayer});
  packed({0, 0, 0, 0}, 0);
  expect_bad_input(open, {"scale is not positive"});
  packed({0, 0, 0, 0}, 1);
  config(R"(, "linear_class": "linear")");
  expect_bad_input(open, {"linear_class \"linear\""});
  config("");
  SafetensorsWriter writer(directory_ / "model.safetensors", {{kLayer, DType::f32, {2, 2}}});
  writer.write_floats(kLayer, std::vector<float>{1, 2, 3, 4});
  writer.finish();
  expect_bad_input(open, {"U8", "quantization_mode: online"});
}

}  // namespace
}  // namespace attar
