// Packed matrices in a file: the same products from there, and nothing but errors from files that
// are not what was written.
#include "compress/kernels/packed_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>

#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/base/xxh64.h"
#include "compress/kernels/matmul.h"
#include "compress/kernels/storage.h"
#include "tests/kernels/variants.h"
#include "tests/support/run_command.h"
#include "tests/support/temporary_directory.h"

namespace attar {
namespace {

using testing::slurp;

constexpr size_t kHeader = 64, kVersion = 8, kLayout = 12, kTable = 48, kCheck = 56;

QuantizedMatrix quantized(int bits, int64_t group, bool symmetric, bool half, bool int8_inputs,
                          int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(bits * 1000 + group));
  QuantizedMatrix q;
  q.layout = {bits, group, symmetric, DType::f32, int8_inputs};
  q.rows = rows;
  q.cols = cols;
  const auto code = [&] { return static_cast<uint8_t>(random.below(uint64_t{1} << bits)); };
  for (int64_t i = 0; i < rows * cols; ++i) q.codes.push_back(code());
  for (int64_t i = 0; i < rows * q.groups(); ++i) {
    q.scales.push_back(half ? 0.25f : 0.1f);
    if (!symmetric) q.zeros.push_back(code());
  }
  return q;
}

/// Codes with offsets, these and the scales as they are (units: 0) or as whole multiples of a unit
/// that so many groups share.
QuantizedMatrix with_offsets(int bits, int64_t units, bool offsets) {
  QuantizedMatrix q = quantized(bits, 16, true, true, false, 45, 64);
  q.unit_groups = units;
  for (size_t i = 0; i < q.scales.size(); ++i) {
    q.scales[i] = 0.25f * static_cast<float>(1 + i % 7);
    if (offsets) q.offsets.push_back(-0.5f * static_cast<float>(i % 5));
  }
  if (units == 0) return q;
  q.scale_units.assign(q.scales.size() / static_cast<size_t>(units), 0.25f);
  if (offsets) q.offset_units.assign(q.scale_units.size(), 0.5f);
  return q;
}

/// One matrix of every kind, of shapes that fill no panel.
std::vector<NamedMatrix> all_kinds() {
  std::vector<NamedMatrix> all;
  Random random(1);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    all.emplace_back(std::string(dtype_name(dtype)),
                     PackedMatrix::pack(dense_tensor(normals(random, 37 * 21), {37, 21}, dtype)));
  const auto add = [&](const QuantizedMatrix& q) {
    all.emplace_back(q.layout.name() + (q.scales[0] == 0.25f ? " half" : " float"),
                     PackedMatrix::pack(q));
  };
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {true, false})
      add(quantized(bits, 16, symmetric, bits != 3, false, 45, 50));
  add(quantized(4, 0, true, false, false, 3, 9));
  add(quantized(8, 0, true, true, true, 70, 64));
  QuantizedMatrix levels = quantized(4, 16, true, false, false, 45, 50);
  levels.layout.levels = Levels::nf4;
  add(levels);
  all.emplace_back("offsets", PackedMatrix::pack(with_offsets(4, 0, true)));
  all.emplace_back("units", PackedMatrix::pack(with_offsets(8, 4, false)));
  all.emplace_back("offsets in units", PackedMatrix::pack(with_offsets(4, 2, true)));
  return all;
}

class PackedFiles : public ::testing::Test {
 protected:
  void SetUp() override { PackedFile::write(path(), {3, 4}, all_kinds()); }
  fs::path path() const { return directory_.path() / "packed.bin"; }
  void put(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }
  /// The file with other bytes in the header or table, and a header that agrees with them.
  void put_sealed(std::string bytes) const {
    uint64_t table = 0;
    std::memcpy(&table, bytes.data() + kTable, sizeof table);
    const auto all = std::as_bytes(std::span(bytes));
    const uint64_t check =
        content_hash(all.subspan(kHeader, table), content_hash(all.first(kCheck)));
    std::memcpy(bytes.data() + kCheck, &check, sizeof check);
    put(bytes);
  }
  /// What reading all of the file says, "" when nothing.
  std::string complaint() const {
    try {
      const PackedFile file = PackedFile::open(path());
      file.for_names([&](const std::string& name) { (void)file.matrix(name); });
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      EXPECT_NE(error.where().find("packed.bin"), std::string::npos) << error.where();
      EXPECT_FALSE(error.hint().empty());
      return error.what();
    }
  }

  TemporaryDirectory directory_;
};

TEST_F(PackedFiles, GiveTheSameProductsOnEveryInstructionSet) {
  const PackedFile file = PackedFile::open(path());
  ASSERT_TRUE(file.current());
  EXPECT_EQ(file.source().identity, 3u);
  EXPECT_EQ(file.source().content, 4u);
  const KernelGuard guard;
  for (const KernelTable* table : variants()) {
    SCOPED_TRACE(table->name);
    use_kernels(*table);
    Random random(7);
    for (const auto& [name, packed] : all_kinds()) {
      SCOPED_TRACE(name);
      const PackedMatrix mapped = file.matrix(name);
      EXPECT_EQ(mapped.format(), packed.format());
      EXPECT_EQ(mapped.bytes(), packed.bytes());
      EXPECT_EQ(mapped.quantized(), packed.quantized());
      ASSERT_EQ(mapped.rows(), packed.rows());
      ASSERT_EQ(mapped.cols(), packed.cols());
      EXPECT_EQ(reinterpret_cast<uintptr_t>(mapped.storage().view.data) % 64, 0u);
      const auto x = normals(random, 5 * packed.cols());
      for (const int64_t m : {1, 5}) {
        std::vector<float> a(static_cast<size_t>(m * packed.rows())), b(a.size());
        matmul(x.data(), m, mapped, a.data());
        matmul(x.data(), m, packed, b.data());
        EXPECT_EQ(a, b);
      }
    }
  }
}

TEST_F(PackedFiles, MatricesOutliveTheFile) {
  const auto all = all_kinds();
  PackedMatrix matrix = PackedFile::open(path()).matrix(all[0].first);
  fs::remove(path());
  std::vector<float> a(21), b(21);
  matrix.row(36, a.data());
  all[0].second.row(36, b.data());
  EXPECT_EQ(a, b);
}

TEST_F(PackedFiles, TheSameBytesTwice) {
  const std::string first = slurp(path());
  PackedFile::write(path(), {3, 4}, all_kinds());
  EXPECT_EQ(slurp(path()), first);
}

TEST_F(PackedFiles, AnotherFileIsNotTakenForOne) {
  put("a user's notes");
  EXPECT_EQ(complaint(), "this is no file of packed weights");
  put("");
  EXPECT_EQ(complaint(), "this is no file of packed weights");
}

TEST_F(PackedFiles, OtherVersionsAreNotCurrent) {
  const std::string bytes = slurp(path());
  for (const size_t place : {kVersion, kLayout}) {
    std::string other = bytes;
    other[place] = static_cast<char>(other[place] + 1);
    put(other);
    EXPECT_FALSE(PackedFile::open(path()).current());
  }
}

TEST_F(PackedFiles, EveryTruncationIsSeen) {
  const std::string bytes = slurp(path());
  for (size_t size = 0; size < bytes.size(); size += size < 2000 ? 1 : 997) {
    put(bytes.substr(0, size));
    EXPECT_NE(complaint(), "") << size;
  }
  put(bytes + "x");
  EXPECT_NE(complaint(), "");
}

TEST_F(PackedFiles, EveryFlippedBitOfTheHeaderIsSeen) {
  const std::string bytes = slurp(path());
  uint64_t table = 0;
  std::memcpy(&table, bytes.data() + kTable, sizeof table);
  for (size_t bit = 0; bit < 8 * (kHeader + table); bit += bit < 8 * kHeader + 1000 ? 1 : 7) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    put(flipped);
    const bool version = bit / 8 >= kVersion && bit / 8 < kLayout + 4;
    if (version)
      EXPECT_FALSE(PackedFile::open(path()).current());
    else
      EXPECT_NE(complaint(), "") << bit;
  }
}

/// Tables that a checksum fits: every byte of the first records changed in turn never leads outside
/// the file.
TEST_F(PackedFiles, ForgedTablesAreRefusedOrHarmless) {
  const std::string bytes = slurp(path());
  int refused = 0;
  for (size_t at = kHeader; at < kHeader + 600; ++at)
    for (const int change : {1, 0x80, 0xff}) {
      std::string forged = bytes;
      forged[at] = static_cast<char>(forged[at] ^ change);
      put_sealed(forged);
      refused += complaint() != "";
    }
  EXPECT_GT(refused, 1000);  // names may be others
}

TEST_F(PackedFiles, ValuesThatPackingWouldNotWrite) {
  const float infinity = std::numeric_limits<float>::infinity();
  DenseTensor dense = dense_tensor(std::vector<float>(8, infinity), {2, 4});
  PackedFile::write(path(), {}, std::vector<NamedMatrix>{{"a", PackedMatrix::pack(dense)}});
  EXPECT_EQ(complaint(), "the packed weights are damaged: a value is not finite");
  for (const bool half : {false, true}) {
    QuantizedMatrix q = quantized(4, 16, false, half, false, 5, 32);
    q.scales[3] = half ? infinity : std::numeric_limits<float>::quiet_NaN();
    PackedFile::write(path(), {}, std::vector<NamedMatrix>{{"a", PackedMatrix::pack(q)}});
    EXPECT_EQ(complaint(), "the packed weights are damaged: a scale or offset is not finite");
  }
  QuantizedMatrix q = quantized(3, 16, false, true, false, 5, 32);
  q.zeros[4] = 8;
  PackedFile::write(path(), {}, std::vector<NamedMatrix>{{"a", PackedMatrix::pack(q)}});
  EXPECT_EQ(complaint(), "the packed weights are damaged: a zero beyond the codes");
  EXPECT_THROW((void)PackedFile::open(path()).matrix("b"), Error);
  q = with_offsets(4, 2, true);
  q.offset_units[1] = infinity;
  q.offsets[2] = 0;
  PackedFile::write(path(), {}, std::vector<NamedMatrix>{{"a", PackedMatrix::pack(q)}});
  EXPECT_EQ(complaint(), "the packed weights are damaged: a unit is not finite");
}

TEST_F(PackedFiles, AFailedWriteLeavesTheOldFile) {
  const std::string before = slurp(path());
  EXPECT_THROW(PackedFile::write(directory_.path() / "none" / "packed.bin", {}, {}), Error);
  const fs::path in_the_way = path().string() + ".partial-" + std::to_string(::getpid());
  fs::create_directory(in_the_way);
  try {
    PackedFile::write(path(), {}, all_kinds());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::failed);
    EXPECT_EQ(error.where(), path().string());
  }
  EXPECT_EQ(slurp(path()), before);
}

TEST(ContentHash, IsXxh64) {
  const auto of = [](std::string_view text, uint64_t seed = 0) {
    return content_hash(std::as_bytes(std::span(text)), seed);
  };
  EXPECT_EQ(of(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(of("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(of("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

}  // namespace
}  // namespace attar
