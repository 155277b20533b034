#include "compress/base/random.h"
#include "compress/formats/safetensors.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using testing::expect_bad_input;
using testing::safetensors_bytes;

class BadSafetensorsTest : public testing::ScratchTest {
 protected:
  void expect_refused(const std::string& header, const std::string& data,
                      std::initializer_list<const char*> parts) const {
    const auto path = put("bad.safetensors", safetensors_bytes(header, data));
    SCOPED_TRACE(header);
    expect_bad_input([&] { Safetensors::open(path); }, parts);
  }
};

constexpr const char* kGood =
    R"({"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("y":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";

TEST_F(BadSafetensorsTest, EveryPrefixOfAFileIsRefused) {
  const std::string whole = safetensors_bytes(kGood, "01234567abc");
  EXPECT_NO_THROW(Safetensors::open(put("good.safetensors", whole)));
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto path = put("cut.safetensors", whole.substr(0, length));
    expect_bad_input([&] { Safetensors::open(path); }, {"truncated: the header promises"});
  }
}

TEST_F(BadSafetensorsTest, EveryChangedByteIsReadOrRefused) {
  const std::string whole = safetensors_bytes(kGood, "01234567abc");
  Random random(5);
  for (size_t place = 0; place < whole.size(); ++place)
    for (int variant = 0; variant < 2; ++variant) {
      std::string changed = whole;
      changed[place] = static_cast<char>(random.below(256));
      const auto path = put("changed.safetensors", changed);
      try {
        const auto file = Safetensors::open(path);
        for (const TensorView& tensor : file.tensors())
          EXPECT_EQ(static_cast<size_t>(tensor.count()) * dtype_size(tensor.dtype),
                    tensor.bytes.size());
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::bad_input);
      }
    }
}

TEST_F(BadSafetensorsTest, SaysWhatIsMissingFromATruncatedFile) {
  const auto path = put("short.safetensors", safetensors_bytes(kGood, "0123"));
  const auto has = fs::file_size(path);
  const std::string message =
      "promises " + std::to_string(has + 7) + " bytes, the file has " + std::to_string(has);
  expect_bad_input([&] { Safetensors::open(path); }, {message.c_str(), "short.safetensors"});
}

TEST_F(BadSafetensorsTest, RefusesBadJson) {
  expect_refused("", "", {"not valid JSON"});
  expect_refused("[]", "", {"no JSON object"});
  expect_refused("{\"a\":\n\n!", "", {"not valid JSON", "(header):3"});
  expect_refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                 R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                 "", {"the key \"a\" appears twice"});
  expect_refused("{\"a\":1e999}", "", {"not valid JSON"});
  expect_refused("{\"a\xff\":1}", "", {"not valid JSON"});
  expect_refused("{\"a\":" + std::string(5000, '[') + std::string(5000, ']') + "}", "",
                 {"nested deeper"});
}

TEST_F(BadSafetensorsTest, RefusesBadEntries) {
  expect_refused(R"({"a":3})", "", {"no object", "tensor a"});
  expect_refused(R"({"a":{}})", "", {"no dtype", "tensor a"});
  expect_refused(R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "x",
                 {"unsupported dtype \"F8_E4M3\"", "supported: F64", "tensor a"});
  expect_refused(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "x", {"no shape"});
  expect_refused(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", "x",
                 {"-1 is no dimension"});
  expect_refused(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", "x",
                 {"1.5 is no dimension"});
  expect_refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
                 "", {"more elements than a file can hold"});
  expect_refused(R"({"a":{"dtype":"F32","shape":[9223372036854775807,0],"data_offsets":[0,0]},)"
                 R"("b":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})",
                 "", {"more elements than a file can hold"});
  expect_refused(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", "x",
                 {"no dimension"});
  expect_refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", "x", {"data_offsets"});
  expect_refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", "x",
                 {"data_offsets"});
  expect_refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}})", "xx",
                 {"begin at 2 and end at 1"});
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "xxxx",
                 {"F32 [2] needs 8 bytes", "tensor a"});
  expect_refused(R"({"__metadata__":{"a":1}})", "", {"__metadata__"});
}

TEST_F(BadSafetensorsTest, RefusesOverlapHolesAndRests) {
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)") + first +
           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}";
  };
  EXPECT_NO_THROW(
      Safetensors::open(put("fine.safetensors", safetensors_bytes(two("[2,4]", "[0,2]"), "abcd"))));
  expect_refused(two("[0,2]", "[1,3]"), "abc", {"inside the tensor before", "tensor b", "byte"});
  expect_refused(two("[0,2]", "[3,5]"), "abcde", {"a hole of 1 bytes", "tensor b"});
  expect_refused(two("[1,3]", "[3,5]"), "abcde", {"a hole of 1 bytes", "tensor a"});
  expect_refused(two("[0,2]", "[2,4]"), "abcdef", {"2 bytes after the last tensor"});
  expect_refused(
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[18446744073709551613,18446744073709551615]}})",
      "ab", {"overflow"});
}

TEST_F(BadSafetensorsTest, RefusesAHeaderThatLiesAboutItsLength) {
  std::string bytes = safetensors_bytes("{}", "");
  bytes[6] = 1;
  const auto path = put("lies.safetensors", bytes);
  expect_bad_input([&] { Safetensors::open(path); }, {"the limit is 100000000"});
  expect_bad_input([&] { Safetensors::open(directory_); }, {"not a regular file"});
  expect_bad_input([&] { Safetensors::open(directory_ / "none"); }, {"cannot open file"});
}

}  // namespace
}  // namespace attar
