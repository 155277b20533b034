// Logical tensors and the files' tensors: cut out, put together, transposed, quantized.
#include "compress/architecture/storage.h"

#include <cmath>
#include <cstring>

#include "compress/architecture/decoder.h"
#include "compress/architecture/model.h"
#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using testing::expect_parts;
using testing::refusal;

/// A source of named float32 tensors and quantized matrices.
class Tensors : public WeightSource {
 public:
  void add(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    const auto kept = std::make_shared<std::vector<float>>(std::move(values));
    weights_[name] = DenseTensor{DType::f32, shape, std::as_bytes(std::span(*kept)), kept};
    list_.push_back({name, shape, "F32", kept->size() * 4});
  }
  /// Floats that some layout of codes gives.
  void add_coded(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    add(name, std::move(shape), std::move(values));
    list_.back().format = "nf4 g64 across rows";
  }
  void add(const std::string& name, const QuantizedMatrix& q) {
    weights_[name] = q;
    list_.push_back({name, {q.rows, q.cols}, q.layout.name(), q.codes.size()});
  }
  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return weights_.contains(std::string(name)); }
  Weight load(std::string_view name) const override { return weights_.at(std::string(name)); }

 private:
  std::map<std::string, Weight> weights_;
  std::vector<WeightInfo> list_;
};

/// Two heads of two rows each for q, k and v, of three inputs.
ModelSpec attention_spec(int64_t units, bool transposed) {
  ModelSpec spec;
  spec.blocks.resize(1);
  AttentionSpec& a = spec.blocks[0].attention;
  a.q = {"q.weight", "q.bias", 4, 3};
  a.k = {"k.weight", "k.bias", 4, 3};
  a.v = {"v.weight", "v.bias", 4, 3};
  store_fused(spec, "qkv", {&a.q, &a.k, &a.v}, units, transposed);
  return spec;
}

/// Element [row, column] is 10 · row + column.
std::vector<float> numbered(int64_t rows, int64_t cols) {
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) values.push_back(static_cast<float>(10 * r + c));
  return values;
}

std::vector<float> rows_of(std::initializer_list<int> rows) {
  std::vector<float> values;
  for (const int row : rows)
    for (int c = 0; c < 3; ++c) values.push_back(static_cast<float>(10 * row + c));
  return values;
}

TEST(Storage, CutsPartsThatStandOneAfterTheOther) {
  const auto files = std::make_shared<Tensors>();
  files->add("qkv.weight", {12, 3}, numbered(12, 3));
  files->add("qkv.bias", {12}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const auto weights = logical_weights(attention_spec(1, false), files);
  EXPECT_EQ(weights->floats("q.weight"), rows_of({0, 1, 2, 3}));
  EXPECT_EQ(weights->floats("v.weight"), rows_of({8, 9, 10, 11}));
  EXPECT_EQ(weights->floats("k.bias"), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(std::get<DenseTensor>(weights->load("k.weight")).shape, (std::vector<int64_t>{4, 3}));
  EXPECT_TRUE(weights->has("k.weight"));
  EXPECT_FALSE(weights->has("qkv.weight"));
  ASSERT_EQ(weights->list().size(), 6u);
  EXPECT_EQ(weights->list()[0].bytes, 48u);
}

TEST(Storage, CutsPartsThatAlternatePerHead) {
  const auto files = std::make_shared<Tensors>();
  files->add("qkv.weight", {12, 3}, numbered(12, 3));
  files->add("qkv.bias", {12}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const auto weights = logical_weights(attention_spec(2, false), files);
  EXPECT_EQ(weights->floats("q.weight"), rows_of({0, 1, 6, 7}));
  EXPECT_EQ(weights->floats("k.weight"), rows_of({2, 3, 8, 9}));
  EXPECT_EQ(weights->floats("v.bias"), (std::vector<float>{4, 5, 10, 11}));
}

TEST(Storage, TransposesInputsFirstMatrices) {
  const auto files = std::make_shared<Tensors>();
  files->add("qkv.weight", {3, 12}, numbered(3, 12));
  files->add("qkv.bias", {12}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const auto weights = logical_weights(attention_spec(1, true), files);
  EXPECT_EQ(weights->floats("k.weight"),
            (std::vector<float>{4, 14, 24, 5, 15, 25, 6, 16, 26, 7, 17, 27}));
  EXPECT_EQ(weights->floats("k.bias"), (std::vector<float>{4, 5, 6, 7}));
}

TEST(Storage, FloatsOfCodesAreNotTransposed) {
  const auto files = std::make_shared<Tensors>();
  files->add_coded("qkv.weight", {12, 3}, numbered(12, 3));
  const auto weights = logical_weights(attention_spec(1, true), files);
  EXPECT_EQ(weights->floats("k.weight"), rows_of({4, 5, 6, 7}));
}

QuantizedMatrix codes_of(int64_t rows, int64_t cols, bool symmetric) {
  QuantizedMatrix q;
  q.layout = {4, 2, symmetric, DType::f32};
  q.rows = rows;
  q.cols = cols;
  for (int64_t i = 0; i < rows * cols; ++i) q.codes.push_back(static_cast<uint8_t>(i % 16));
  for (int64_t i = 0; i < rows * q.groups(); ++i) q.scales.push_back(static_cast<float>(i));
  if (!symmetric)
    for (int64_t i = 0; i < rows * q.groups(); ++i) q.zeros.push_back(static_cast<uint8_t>(i % 7));
  return q;
}

TEST(Storage, TakesRowsOfQuantizedMatricesWithTheirScalesAndZeros) {
  const auto files = std::make_shared<Tensors>();
  const QuantizedMatrix whole = codes_of(12, 4, false);
  files->add("qkv.weight", whole);
  const auto values = dequantize(whole);
  for (const bool transposed : {false, true}) {  // quantized matrices are never transposed
    const auto weights = logical_weights(attention_spec(2, transposed), files);
    const auto part = std::get<QuantizedMatrix>(weights->load("k.weight"));
    std::vector<float> expected;
    for (const int row : {2, 3, 8, 9})
      expected.insert(expected.end(), values.begin() + row * 4, values.begin() + (row + 1) * 4);
    EXPECT_EQ(dequantize(part), expected);
    EXPECT_EQ(part.zeros.size(), part.scales.size());
    // In any order and again.
    const auto v = weights->floats("v.weight"), q = weights->floats("q.weight");
    EXPECT_EQ(weights->floats("v.weight"), v);
    EXPECT_EQ(weights->floats("q.weight"), q);
    EXPECT_EQ(weights->floats("k.weight"), expected);
  }
}

/// As a file in whose form only kernels can take a matrix: floats for everybody else.
class CodesForKernels : public Tensors {
 public:
  explicit CodesForKernels(QuantizedMatrix q) : codes_(std::move(q)) {
    add("qkv.weight", {codes_.rows, codes_.cols}, dequantize(codes_));
  }
  Weight load_codes(std::string_view) const override { return codes_; }

 private:
  QuantizedMatrix codes_;
};

TEST(Storage, TakesRowsOfWhatKernelsAloneTake) {
  QuantizedMatrix whole = codes_of(12, 4, true);
  whole.layout.symmetric = false;
  whole.layout.group = 2;
  whole.unit_groups = 2;
  whole.scales.clear();
  for (int i = 0; i < 12 * 2; ++i) {
    whole.scales.push_back(static_cast<float>(i));
    whole.offsets.push_back(static_cast<float>(-i));
    if (i % 2 == 0) continue;
    whole.scale_units.push_back(static_cast<float>(i));
    whole.offset_units.push_back(static_cast<float>(-i));
  }
  const auto weights =
      logical_weights(attention_spec(2, false), std::make_shared<CodesForKernels>(whole));
  const auto part = std::get<QuantizedMatrix>(weights->load_codes("k.weight"));
  EXPECT_EQ(dequantize(part), weights->floats("k.weight"));
  EXPECT_EQ(part.unit_groups, 2);
  EXPECT_EQ(part.scale_units, (std::vector<float>{5, 7, 17, 19}));
  EXPECT_EQ(part.offset_units, (std::vector<float>{-5, -7, -17, -19}));
  // One form after the other.
  EXPECT_TRUE(std::holds_alternative<DenseTensor>(weights->load("k.weight")));
  EXPECT_TRUE(std::holds_alternative<QuantizedMatrix>(weights->load_codes("v.weight")));
}

TEST(Storage, RefusesWholesOfAnotherSize) {
  const auto files = std::make_shared<Tensors>();
  files->add("qkv.weight", {11, 3}, numbered(11, 3));
  expect_parts(refusal([&] { logical_weights(attention_spec(1, false), files)->load("q.weight"); }),
               {"11 output channels where the configuration needs 12", "qkv.weight"});
}

TEST(StoredTensors, AreListedInTheFilesForm) {
  const auto all = stored_tensors(attention_spec(2, true));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "qkv.weight");
  EXPECT_EQ(all[0].shape, (std::vector<int64_t>{3, 12}));
  EXPECT_EQ(all[1].shape, (std::vector<int64_t>{12}));
}

class StoredWriterTest : public ::testing::TestWithParam<std::pair<int64_t, bool>> {
 protected:
  StoredWriterTest() { fs::create_directories(directory_); }
  ~StoredWriterTest() override { fs::remove_all(directory_); }
  const fs::path directory_ = fs::path(::testing::TempDir()) / "attar_storage_test";
};
INSTANTIATE_TEST_SUITE_P(Forms, StoredWriterTest,
                         ::testing::Values(std::pair(1, false), std::pair(2, false),
                                           std::pair(1, true), std::pair(2, true)));

TEST_P(StoredWriterTest, WritesWhatLogicalWeightsReadBack) {
  const ModelSpec spec = attention_spec(GetParam().first, GetParam().second);
  const std::vector<std::string> names = {"q.weight", "q.bias",   "k.weight",
                                          "k.bias",   "v.weight", "v.bias"};
  std::vector<TensorPlan> plans;
  for (const auto& name : names)
    plans.push_back({name,
                     name.ends_with("bias") ? std::vector<int64_t>{4} : std::vector<int64_t>{4, 3},
                     DType::f32,
                     {}});
  std::map<std::string, std::vector<float>> values;
  float next = 0;
  for (const TensorPlan& plan : plans)
    for (int64_t i = 0; i < (plan.shape.size() == 1 ? 4 : 12); ++i)
      values[plan.name].push_back(next += 1);
  StoredWriter writer(spec, directory_, nlohmann::ordered_json::object(), plans, {});
  for (const auto& [name, numbers] : values) writer.write(name, std::span<const float>(numbers));
  writer.finish();
  const auto files = ModelDirectory::open(directory_).weights;
  ASSERT_EQ(files->list().size(), 2u);
  const auto back = logical_weights(spec, files);
  for (const auto& [name, numbers] : values) EXPECT_EQ(back->floats(name), numbers) << name;
}

TEST_P(StoredWriterTest, WritesQuantizedPartsAsOneMatrix) {
  const ModelSpec spec = attention_spec(GetParam().first, GetParam().second);
  const QuantizedMatrix q = codes_of(4, 3, true);
  std::vector<TensorPlan> plans;
  for (const char* name : {"q.weight", "k.weight", "v.weight"})
    plans.push_back({name, {4, 3}, DType::f32, q.layout});
  StoredWriter writer(spec, directory_, nlohmann::ordered_json::object(), plans, {});
  for (const TensorPlan& plan : plans) writer.write(plan.name, q);
  writer.finish();
  const auto files = ModelDirectory::open(directory_).weights;
  ASSERT_EQ(files->list().size(), 1u);
  EXPECT_EQ(files->list()[0].shape, (std::vector<int64_t>{12, 3}));
  const auto back = logical_weights(spec, files);
  for (const TensorPlan& plan : plans)
    EXPECT_EQ(back->floats(plan.name), dequantize(q)) << plan.name;
}

TEST_P(StoredWriterTest, RefusesPartsOfDifferentForms) {
  const ModelSpec spec = attention_spec(GetParam().first, GetParam().second);
  std::vector<TensorPlan> plans;
  for (const char* name : {"q.weight", "k.weight", "v.weight"})
    plans.push_back({name, {4, 3}, DType::f32, {}});
  plans[1].layout = QuantLayout{4, 0, true, DType::f32};
  expect_parts(
      refusal([&] { StoredWriter(spec, directory_, nlohmann::ordered_json::object(), plans, {}); }),
      {"q.weight (F32) and k.weight (int4 channel sym) stand in one tensor, qkv.weight"});
}

/// B·A of a pair, times its scale.
std::vector<float> product(const LoraModule& m) {
  std::vector<float> values(static_cast<size_t>(m.out * m.in));
  for (int64_t o = 0; o < m.out; ++o)
    for (int64_t r = 0; r < m.rank; ++r)
      for (int64_t i = 0; i < m.in; ++i)
        values[static_cast<size_t>(o * m.in + i)] += static_cast<float>(m.scale) *
                                                     m.b[static_cast<size_t>(o * m.rank + r)] *
                                                     m.a[static_cast<size_t>(r * m.in + i)];
  return values;
}

LoraModule pair_for(const std::string& module, float seed) {
  LoraModule m{module, 2, 4, 3, {}, {}, 1.5};
  for (int i = 0; i < 6; ++i) m.a.push_back(seed + static_cast<float>(i));
  for (int i = 0; i < 8; ++i) m.b.push_back(seed - static_cast<float>(i));
  return m;
}

TEST(AdapterForms, PairsOfPartsBecomeOneOfTheSameEffect) {
  for (const bool rslora : {false, true}) {
    const ModelSpec spec = attention_spec(2, true);
    Adapter adapter;
    adapter.config.rank = 2;
    adapter.config.rslora = rslora;
    adapter.config.alpha = rslora ? 1.5 * std::sqrt(2.0) : 3;
    adapter.modules = {pair_for("q", 1), pair_for("v", 5)};  // k has none
    const Adapter stored = stored_adapter(spec, adapter);
    ASSERT_EQ(stored.modules.size(), 1u);
    const LoraModule& whole = stored.modules[0];
    EXPECT_EQ(whole.module, "qkv");
    EXPECT_EQ(whole.rank, 4);
    EXPECT_EQ(whole.out, 12);
    EXPECT_TRUE(stored.config.fan_in_fan_out);
    EXPECT_EQ(stored.config.rank_of("qkv"), 4);
    EXPECT_NEAR(stored.config.scale_of("qkv"), 1.5, 1e-12);
    EXPECT_TRUE(stored.config.targets_module("qkv"));

    const Adapter back = logical_adapter(spec, stored, "here");
    ASSERT_EQ(back.modules.size(), 3u);
    EXPECT_EQ(product(back.modules[0]), product(adapter.modules[0]));
    EXPECT_EQ(product(back.modules[1]), std::vector<float>(12, 0.0f));
    EXPECT_EQ(product(back.modules[2]), product(adapter.modules[1]));
    for (const char* part : {"q", "k", "v"}) EXPECT_TRUE(back.config.targets_module(part)) << part;
  }
}

TEST(AdapterForms, RefusePairsOfAnotherSize) {
  Adapter adapter;
  adapter.modules = {pair_for("qkv", 1)};
  expect_parts(refusal([&] { logical_adapter(attention_spec(1, false), adapter, "here"); }),
               {"for a layer of 4 outputs, the base has 12", "here: module qkv"});
}

}  // namespace
}  // namespace attar
