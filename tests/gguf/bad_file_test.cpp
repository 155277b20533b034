// Damaged GGUF files.
#include "compress/formats/gguf/writer.h"
#include "tests/formats/scratch.h"

namespace attar::gguf {
namespace {

class BadGguf : public testing::ScratchTest {
 protected:
  /// A valid file of one key and two tensors.
  std::string valid() const {
    Metadata metadata;
    metadata.set("general.architecture", std::string("llama"));
    metadata.set("tokens", std::vector<std::string>{"a", "b"});
    Writer writer(
        directory_ / "valid.gguf", metadata,
        {{"one", {2, 32}, find_tensor_type("Q8_0")}, {"two", {4}, find_tensor_type("F32")}});
    writer.write("one", std::vector<std::byte>(68));
    writer.write("two", std::vector<std::byte>(16));
    writer.finish();
    return read_text(directory_ / "valid.gguf");
  }

  void expect(const std::string& bytes, std::initializer_list<const char*> parts) const {
    const fs::path path = put("bad.gguf", bytes);
    testing::expect_bad_input([&] { File::open(path); }, parts);
  }

  /// `text` with `value` in place of what stands `after` bytes behind the first `mark`.
  template <class T>
  static std::string changed(std::string text, const std::string& mark, size_t after, T value) {
    const size_t at = text.find(mark) + mark.size() + after;
    text.replace(at, sizeof value, reinterpret_cast<const char*>(&value), sizeof value);
    return text;
  }
};

TEST_F(BadGguf, NoGgufAtAll) {
  expect("", {"truncated"});
  expect("PK\x03\x04 something else", {"no GGUF file"});
  EXPECT_FALSE(is_gguf(put("x.gguf", "GGU")));
  EXPECT_FALSE(is_gguf(directory_));
  testing::expect_bad_input([&] { File::open(directory_ / "absent.gguf"); }, {"absent.gguf"});
}

TEST_F(BadGguf, OtherVersions) {
  const std::string file = valid();
  expect(changed(file, "GGUF", 0, uint32_t{1}), {"version 1", "2 and 3"});
  expect(changed(file, "GGUF", 0, uint32_t{0x03000000}), {"big-endian"});
  EXPECT_EQ(File::open(put("two.gguf", changed(file, "GGUF", 0, uint32_t{2}))).version(), 2u);
}

TEST_F(BadGguf, EveryTruncation) {
  const std::string file = valid();
  const size_t used = file.size() - 16;  // the padding after the last tensor says nothing
  for (size_t size = 0; size < used; ++size) {
    const fs::path path = put("bad.gguf", file.substr(0, size));
    testing::expect_bad_input([&] { File::open(path); }, {"bad.gguf"});
  }
  EXPECT_EQ(File::open(put("cut.gguf", file.substr(0, used))).tensors().size(), 2u);
}

TEST_F(BadGguf, FalseCounts) {
  const std::string file = valid();
  constexpr uint64_t kHuge = uint64_t{1} << 60;
  expect(changed(file, "GGUF", 4, kHuge), {"bad.gguf"});
  expect(changed(file, "GGUF", 12, kHuge), {"bad.gguf"});
  expect(changed(file, "tokens", 8, kHuge), {"tokens promises", "more than the file holds"});
  expect(changed(file, "tokens", 16, kHuge), {"truncated", "tokens"});
  expect(changed(file, "tokens", 0, uint32_t{13}), {"tokens has the unknown type 13"});
  expect(changed(file, "tokens", 4, uint32_t{9}), {"arrays of arrays"});
  expect(changed(file, "tokens", 4, uint32_t{99}), {"elements of the unknown type 99"});
}

TEST_F(BadGguf, ContradictoryTensors) {
  const std::string file = valid();
  expect(changed(file, "one", 0, uint32_t{5}), {"tensor one", "5 dimensions"});
  expect(changed(file, "one", 4, uint64_t{33}), {"33 columns", "32", "Q8_0"});
  expect(changed(file, "one", 4, uint64_t{0}), {"dimension 0 is 0"});
  expect(changed(file, "one", 12, ~uint64_t{0}), {"dimension 1"});
  expect(changed(file, "one", 12, uint64_t{1} << 57), {"tensor one"});
  expect(changed(file, "one", 20, uint32_t{77}), {"type 77"});
  expect(changed(file, "one", 24, uint64_t{1} << 40), {"truncated", "tensor one"});
  expect(changed(file, "one", 24, ~uint64_t{0}), {"truncated", "tensor one"});
  expect(changed(file, "two", 16, uint64_t{8}), {"no multiple of the alignment 32", "tensor two"});
  expect(changed(file, "two", 16, uint64_t{32}), {"inside those of one", "tensor two"});
  std::string twice = file;
  twice.replace(twice.find("two"), 3, "one");
  expect(twice, {"appears twice"});
}

TEST_F(BadGguf, Alignment) {
  Metadata metadata;
  metadata.set(kAlignmentKey, uint32_t{32});
  Writer(directory_ / "a.gguf", metadata, {}).finish();
  const std::string file = read_text(directory_ / "a.gguf");
  expect(changed(file, kAlignmentKey, 4, uint32_t{0}), {"general.alignment", "0"});
  expect(changed(file, kAlignmentKey, 4, uint32_t{24}), {"24 is no power of two"});
}

}  // namespace
}  // namespace attar::gguf
