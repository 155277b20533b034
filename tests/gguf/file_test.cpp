// GGUF files written and read back.
#include "compress/formats/gguf/file.h"

#include <cstring>

#include "compress/base/random.h"
#include "compress/formats/gguf/writer.h"
#include "tests/formats/scratch.h"

namespace attar::gguf {
namespace {

class GgufFile : public testing::ScratchTest {};

Metadata every_type() {
  Metadata metadata("made.gguf");
  metadata.set("general.architecture", std::string("llama"));
  metadata.set("u8", uint8_t{200});
  metadata.set("i8", int8_t{-3});
  metadata.set("u16", uint16_t{60000});
  metadata.set("i16", int16_t{-300});
  metadata.set("u32", uint32_t{4'000'000'000});
  metadata.set("i32", int32_t{-70000});
  metadata.set("f32", 0.5f);
  metadata.set("bool", true);
  metadata.set("u64", ~uint64_t{0});
  metadata.set("i64", int64_t{-5});
  metadata.set("f64", 0.1);
  metadata.set("a.u8", std::vector<uint8_t>{1, 2});
  metadata.set("a.i32", std::vector<int32_t>{-1, 2, 3});
  metadata.set("a.f32", std::vector<float>{0.5f, -2});
  metadata.set("a.bool", std::vector<bool>{true, false, true});
  metadata.set("a.string", std::vector<std::string>{"", "\xC4\xA0hello", std::string("a\0b", 3)});
  metadata.set("a.none", std::vector<float>{});
  return metadata;
}

TEST_F(GgufFile, RoundTripsEveryMetadataType) {
  const Metadata metadata = every_type();
  Writer(directory_ / "m.gguf", metadata, {}).finish();
  const File file = File::open(directory_ / "m.gguf");
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.metadata().entries(), metadata.entries());
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_TRUE(is_gguf(directory_ / "m.gguf"));
}

TEST_F(GgufFile, TypedGettersTakeEveryWidthAndNameTheKeyOtherwise) {
  const Metadata metadata = every_type();
  EXPECT_EQ(metadata.integer("u8"), 200);
  EXPECT_EQ(metadata.integer("i16"), -300);
  EXPECT_EQ(metadata.integer("u32"), 4'000'000'000);
  EXPECT_EQ(metadata.number("i32"), -70000.0);
  EXPECT_EQ(metadata.number("f64"), 0.1);
  EXPECT_EQ(metadata.integers("a.u8"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(metadata.integer("absent"), std::nullopt);
  EXPECT_EQ(metadata.text("absent"), nullptr);
  using testing::expect_bad_input;
  expect_bad_input([&] { (void)metadata.integer("u64"); }, {"made.gguf: u64", "an integer"});
  expect_bad_input([&] { (void)metadata.integer("f32"); }, {"made.gguf: f32", "f32 0.5"});
  expect_bad_input([&] { (void)metadata.text("bool"); }, {"made.gguf: bool", "a text"});
  expect_bad_input([&] { (void)metadata.texts("a.f32"); }, {"a.f32", "f32[2]"});
  expect_bad_input([&] { (void)metadata.integers("u8"); }, {"u8", "an array of integers"});
  expect_bad_input([&] { (void)metadata.required_text("general.archtecture"); },
                   {"no such key", "there is \"general.architecture\""});
}

TEST_F(GgufFile, RoundTripsTensorsInAnyOrder) {
  Random random(1);
  Metadata metadata;
  metadata.set(kAlignmentKey, uint32_t{64});
  std::vector<Writer::Declaration> declared;
  std::vector<std::vector<std::byte>> bytes;
  for (const TensorType& type : tensor_types()) {
    const int64_t cols = 2 * type.block;
    declared.push_back({"t." + std::string(type.name), {3, cols}, &type});
    bytes.emplace_back(static_cast<size_t>(3 * type.row_bytes(cols)));
    for (std::byte& byte : bytes.back()) byte = static_cast<std::byte>(random.below(256));
  }
  declared.push_back({"vector", {5}, find_tensor_type("F32")});
  declared.push_back({"experts", {2, 3, 32}, find_tensor_type("Q8_0")});
  bytes.emplace_back(20);
  bytes.emplace_back(2 * 3 * 34);
  Writer writer(directory_ / "t.gguf", metadata, declared);
  for (size_t i = declared.size(); i-- > 0;) writer.write(declared[i].name, bytes[i]);
  EXPECT_FALSE(fs::exists(directory_ / "t.gguf"));
  writer.finish();

  const File file = File::open(directory_ / "t.gguf");
  ASSERT_EQ(file.tensors().size(), declared.size());
  for (size_t i = 0; i < declared.size(); ++i) {
    const Tensor& tensor = file.tensors()[i];
    EXPECT_EQ(tensor.name, declared[i].name);
    EXPECT_EQ(tensor.shape, declared[i].shape);
    EXPECT_EQ(tensor.type, declared[i].type);
    EXPECT_EQ(std::vector(tensor.bytes.begin(), tensor.bytes.end()), bytes[i]) << tensor.name;
    EXPECT_EQ(file.find(tensor.name), &tensor);
    EXPECT_EQ((tensor.bytes.data() - file.tensors()[0].bytes.data()) % 64, 0);
  }
  testing::expect_bad_input([&] { (void)file.at("vectr"); }, {"did you mean \"vector\""});
  testing::expect_bad_input([&] { (void)file.at("t.IQ2_S").floats(); }, {"IQ2_S", "t.IQ2_S"});
}

/// The layout byte by byte, so that reader and writer cannot be wrong together.
TEST_F(GgufFile, WritesTheBytesOfTheSpecification) {
  Metadata metadata;
  metadata.set("k", std::vector<int32_t>{7});
  Writer writer(directory_ / "b.gguf", metadata, {{"w", {2, 3}, find_tensor_type("F32")}});
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  writer.write_floats("w", values);
  writer.finish();
  std::string expected = "GGUF";
  const auto put = [&](auto value) {
    expected.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  put(uint32_t{3});
  put(uint64_t{1});
  put(uint64_t{1});
  put(uint64_t{1});
  expected += "k";
  for (const uint32_t word : {9u, 5u}) put(word);
  put(uint64_t{1});
  put(int32_t{7});
  put(uint64_t{1});
  expected += "w";
  put(uint32_t{2});
  put(uint64_t{3});  // the contiguous dimension comes first
  put(uint64_t{2});
  put(uint32_t{0});
  put(uint64_t{0});
  expected.append((32 - expected.size() % 32) % 32, '\0');
  for (const float value : values) put(value);
  expected.append(8, '\0');  // data ends aligned too
  EXPECT_EQ(read_text(directory_ / "b.gguf"), expected);
}

TEST_F(GgufFile, RefusesToWriteWhatTheFormatCannotHold) {
  const TensorType* q4 = find_tensor_type("Q4_K");
  using testing::expect_bad_input;
  const fs::path path = directory_ / "x.gguf";
  expect_bad_input(
      [&] {
        Writer(path, Metadata(), {{"w", {2, 100}, q4}});
      },
      {"100 columns", "256"});
  expect_bad_input(
      [&] {
        Writer(path, Metadata(), {{std::string(64, 'n'), {2, 256}, q4}});
      },
      {"63"});
  EXPECT_THROW(Writer(path, Metadata(), {{"w", {256}, q4}, {"w", {256}, q4}}), Error);
  Writer writer(path, Metadata(), {{"w", {1, 256}, q4}});
  EXPECT_THROW(writer.write("v", std::vector<std::byte>(144)), Error);
  EXPECT_THROW(writer.write("w", std::vector<std::byte>(143)), Error);
  EXPECT_THROW(writer.finish(), Error);
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace attar::gguf
