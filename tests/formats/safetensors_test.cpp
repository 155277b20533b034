#include "compress/formats/safetensors.h"

#include <numeric>

#include "compress/base/random.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using testing::expect_bad_input;
using testing::kGolden;

class SafetensorsTest : public testing::ScratchTest {};

std::vector<float> random_values(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

TEST_F(SafetensorsTest, RoundTripsOddShapesInAnyOrderOfWriting) {
  const std::vector<std::vector<int64_t>> shapes = {{830, 545}, {256, 700}, {32, 100}, {1, 1},
                                                    {3},        {},         {0, 7},    {2, 3, 5}};
  std::vector<SafetensorsWriter::Declaration> declared;
  for (size_t i = 0; i < shapes.size(); ++i)
    declared.push_back({"t" + std::to_string(i), DType::f32, shapes[i]});
  const fs::path path = directory_ / "a.safetensors";
  SafetensorsWriter writer(path, declared, {{"format", "pt"}, {"key", "ü"}});
  const auto count = [&](size_t i) {
    return static_cast<size_t>(
        std::accumulate(shapes[i].begin(), shapes[i].end(), int64_t{1}, std::multiplies<>()));
  };
  for (size_t i = shapes.size(); i-- > 0;)
    writer.write_floats(declared[i].name, random_values(count(i), i));
  writer.finish();

  const auto file = Safetensors::open(path);
  EXPECT_EQ(file.metadata().at("key"), "ü");
  ASSERT_EQ(file.tensors().size(), shapes.size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    const TensorView& tensor = file.at(declared[i].name);
    EXPECT_EQ(tensor.shape, shapes[i]);
    EXPECT_EQ(tensor.floats(), random_values(count(i), i));
  }
}

TEST_F(SafetensorsTest, EveryTypeKeepsItsBytesAndItsAlignment) {
  const std::vector<std::pair<std::string, DType>> types = {
      {"u8", DType::u8},     {"f16", DType::f16}, {"i64", DType::i64}, {"i8", DType::i8},
      {"bf16", DType::bf16}, {"f64", DType::f64}, {"i16", DType::i16}, {"bool", DType::boolean},
      {"f32", DType::f32},   {"i32", DType::i32}};
  std::vector<SafetensorsWriter::Declaration> declared;
  for (const auto& [name, dtype] : types) declared.push_back({name, dtype, {3}});
  const fs::path path = directory_ / "types.safetensors";
  SafetensorsWriter writer(path, declared);
  for (const auto& [name, dtype] : types) {
    std::vector<std::byte> bytes(3 * dtype_size(dtype));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    writer.write(name, bytes);
  }
  writer.finish();
  const auto file = Safetensors::open(path);
  for (const TensorView& tensor : file.tensors()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes.data()) % dtype_size(tensor.dtype), 0u);
    for (size_t i = 0; i < tensor.bytes.size(); ++i)
      EXPECT_EQ(tensor.bytes[i], static_cast<std::byte>(i));
  }
  EXPECT_EQ(file.at("i16").integers(), (std::vector<int64_t>{0x0100, 0x0302, 0x0504}));
  EXPECT_EQ(file.at("u8").integers(), (std::vector<int64_t>{0, 1, 2}));
  expect_bad_input([&] { (void)file.at("u8").floats(); }, {"holds U8, not floats", "tensor u8"});
  expect_bad_input([&] { (void)file.at("f32").integers(); }, {"holds F32, not integers"});
  expect_bad_input([&] { (void)file.at("bf17"); }, {"no tensor \"bf17\"", "did you mean \"bf16\""});
}

TEST_F(SafetensorsTest, ReadsMisalignedTensors) {
  std::string data = "x";
  for (const float value : {1.5f, -2.25f})
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
  const auto path =
      put("odd.safetensors",
          testing::safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                     R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
                                     data));
  EXPECT_EQ(Safetensors::open(path).at("b").floats(), (std::vector<float>{1.5f, -2.25f}));
}

TEST_F(SafetensorsTest, ReadsGoldenFiles) {
  const auto file = Safetensors::open(kGolden / "llama_gqa/golden.safetensors");
  EXPECT_EQ(file.at("input_ids").shape, (std::vector<int64_t>{2, 24}));
  EXPECT_EQ(file.at("greedy_ids").integers().size(), 16u);
  EXPECT_NEAR(file.at("loss").floats()[0], 6.262709f, 1e-6f);
}

TEST_F(SafetensorsTest, AnUnfinishedFileLeavesNothing) {
  const fs::path path = directory_ / "a.safetensors";
  put("a.safetensors", "earlier");
  {
    SafetensorsWriter writer(path, {{"a", DType::f32, {2}}, {"b", DType::f32, {1}}});
    writer.write_floats("a", std::vector<float>{1, 2});
    EXPECT_THROW(writer.finish(), Error);                                     // b is missing
    EXPECT_THROW(writer.write_floats("a", std::vector<float>{1, 2}), Error);  // twice
    EXPECT_THROW(writer.write_floats("b", std::vector<float>{1, 2}), Error);  // wrong size
    EXPECT_THROW(writer.write_floats("c", std::vector<float>{1}), Error);     // not declared
  }
  EXPECT_EQ(read_text(path), "earlier");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1);
}

TEST_F(SafetensorsTest, AFullDiskFailsBeforeAnythingIsComputed) {
  const std::vector<SafetensorsWriter::Declaration> huge = {
      {"w", DType::f32, {int64_t{1} << 30, int64_t{1} << 20}}};  // 4 PiB
  const Error error =
      testing::error_of([&] { SafetensorsWriter writer(directory_ / "huge.safetensors", huge); });
  EXPECT_EQ(error.code(), ExitCode::failed);
  EXPECT_NE(error.block().find("cannot reserve"), std::string::npos) << error.block();
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(SafetensorsTest, AMissingDirectoryIsAFailure) {
  EXPECT_EQ(testing::error_of([&] {
              SafetensorsWriter writer(directory_ / "no/x.safetensors", {});
            }).code(),
            ExitCode::failed);
}

}  // namespace
}  // namespace attar
