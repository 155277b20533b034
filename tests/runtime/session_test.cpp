#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "compress/architecture/family.h"
#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"
#include "compress/runtime/model.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

std::vector<int32_t> random_ids(int64_t count, int64_t vocab) {
  Random random(31);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab))));
  return ids;
}

/// Logits of every position, read in pieces of the given size.
std::vector<float> all_logits(const std::shared_ptr<const RuntimeModel>& model,
                              std::span<const int32_t> ids, size_t piece) {
  const auto vocab = static_cast<size_t>(model->spec().vocab);
  std::vector<float> logits(ids.size() * vocab);
  Session session(model);
  for (size_t i = 0; i < ids.size(); i += piece)
    session.advance_all(ids.subspan(i, std::min(piece, ids.size() - i)), logits.data() + i * vocab);
  return logits;
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Session, BytesDependOnNeitherPiecesNorThreadsNorInstructionSet) {
  const KernelTable& best = kernels();
  const int threads_before = thread_count();
  for (const std::string name :
       {"llama_gqa", "mistral_swa", "qwen3", "qwen3_5_text", "qwen3_next"}) {
    SCOPED_TRACE(name);
    const auto model = RuntimeModel::load(golden_model(name));
    const auto ids = random_ids(75, model->spec().vocab);
    const auto expected = all_logits(model, ids, ids.size());
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{40}})
      EXPECT_TRUE(same_bytes(all_logits(model, ids, piece), expected)) << "pieces of " << piece;
    for (const int threads : {1, 2, 3}) {
      set_thread_count(threads);
      EXPECT_TRUE(same_bytes(all_logits(model, ids, 50), expected)) << threads << " threads";
    }
    set_thread_count(threads_before);
    for (const char* variant : {"portable", "avx2", "avxvnni", "avx512"})
      if (const KernelTable* table = find_kernels(variant)) {
        use_kernels(*table);
        EXPECT_TRUE(same_bytes(all_logits(model, ids, 33), expected)) << variant;
      }
    use_kernels(best);
  }
}

/// Under dynamic scaling every length beyond the original has frequencies of its own.
TEST(Session, ReadsAgainWhereTheLengthChangesTheRotation) {
  ModelDirectory files = ModelDirectory::open(golden_path("llama_gqa"));
  files.config["rope_parameters"] = {
      {"rope_type", "dynamic"}, {"factor", 4.0}, {"original_max_position_embeddings", 20}};
  const auto model = RuntimeModel::load(open_model(std::move(files)));
  const auto ids = random_ids(30, model->spec().vocab);
  Session one_by_one(model);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto expected = Session(model).advance(std::span(ids).first(i + 1));
    EXPECT_TRUE(same_bytes(one_by_one.advance(std::span(ids).subspan(i, 1)), expected)) << i;
  }
  EXPECT_EQ(one_by_one.position(), 30);
  const std::vector<int32_t> outside = {256};
  EXPECT_THROW(one_by_one.advance(outside), Error);
  EXPECT_EQ(one_by_one.position(), 30);
}

TEST(Batch, EverySequenceHasTheLogitsThatItHasAlone) {
  const int threads_before = thread_count();
  for (const std::string name :
       {"llama_gqa", "mistral_swa", "qwen3_5_text", "qwen3_next", "phi3_longrope"}) {
    SCOPED_TRACE(name);
    ATTAR_NEEDS_FIXTURE(name);
    const auto model = RuntimeModel::load(golden_model(name));
    const auto ids = random_ids(60, model->spec().vocab);
    const std::span all(ids);
    const std::vector<int64_t> lengths = {20, 3, 31, 1};  // of the prompts
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      Batch batch(model, 4);
      std::vector<Session> alone(4, Session(model));
      for (int64_t i = 0; i < 4; ++i) {
        const auto prompt = all.subspan(static_cast<size_t>(i), static_cast<size_t>(lengths[i]));
        EXPECT_TRUE(
            same_bytes(batch.read(i, prompt), alone[static_cast<size_t>(i)].advance(prompt)));
      }
      for (size_t step = 40; step < 56; ++step) {
        std::vector<int64_t> who = {0, 1, 2, 3};
        if (step % 3 == 0) who = {3, 1};  // some wait, and order does not matter
        std::vector<int32_t> next;
        std::vector<float> expected;
        for (const int64_t i : who) {
          next.push_back(ids[step - static_cast<size_t>(i)]);
          const auto logits = alone[static_cast<size_t>(i)].advance(std::span(&next.back(), 1));
          expected.insert(expected.end(), logits.begin(), logits.end());
        }
        ASSERT_TRUE(same_bytes(batch.step(who, next), expected)) << "step " << step;
      }
    }
  }
  set_thread_count(threads_before);
}

TEST(KvCache, SmallerFormatsStayCloseAndDependOnNeitherPiecesNorThreads) {
  const int threads_before = thread_count();
  const auto kept = [](const std::string& name, KvFormat format) {
    RuntimeOptions options;
    options.kv = format;
    return RuntimeModel::load(golden_model(name), options);
  };
  for (const std::string name : {"llama_gqa", "mistral_swa", "gemma2", "gpt_neox"}) {
    ATTAR_NEEDS_FIXTURE(name);
    const auto whole = kept(name, KvFormat::f32);
    const auto ids = random_ids(75, whole->spec().vocab);
    const auto exact = all_logits(whole, ids, ids.size());
    float largest = 0;
    for (const float value : exact) largest = std::max(largest, std::abs(value));
    for (const auto& [format, share] :
         {std::pair{KvFormat::f16, 2e-3f}, {KvFormat::bf16, 2e-2f}, {KvFormat::int8, 3e-2f}}) {
      SCOPED_TRACE(name + " " + std::string(to_string(format)));
      const auto model = kept(name, format);
      const auto logits = all_logits(model, ids, ids.size());
      EXPECT_FALSE(same_bytes(logits, exact));
      for (size_t i = 0; i < logits.size(); ++i)
        ASSERT_NEAR(logits[i], exact[i], share * largest) << i;
      for (const int threads : {1, 3}) {
        set_thread_count(threads);
        EXPECT_TRUE(same_bytes(all_logits(model, ids, 7), logits));
      }
      set_thread_count(threads_before);
    }
  }
}

TEST(Session, RefusesIdsAndLengthsBeyondTheModel) {
  const auto model = RuntimeModel::load(golden_model("llama_gqa"));
  Session session(model);
  const std::vector<int32_t> outside = {1, 256};
  EXPECT_THROW(session.advance(outside), Error);
  EXPECT_EQ(session.position(), 0);
  EXPECT_THROW(session.advance(random_ids(129, 256)), Error);
  EXPECT_THROW(session.advance({}), Error);
}

TEST(Session, NamesThePositionOfLogitsThatAreNotFinite) {
  const auto model = RuntimeModel::load(golden_model("llama_gqa"));
  std::vector<float> hidden(2 * 64, 1.0f), logits(2 * 256);
  hidden[64] = std::numeric_limits<float>::infinity();
  try {
    model->head(hidden.data(), 2, logits.data(), 5);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::failed);
    EXPECT_NE(std::string(error.what()).find("position 6"), std::string::npos) << error.what();
  }
}

/// A model's weights with one of them changed.
class Changed : public WeightSource {
 public:
  Changed(std::shared_ptr<const WeightSource> base, std::string name, Weight weight)
      : base_(std::move(base)), name_(std::move(name)), weight_(std::move(weight)) {}
  const std::vector<WeightInfo>& list() const override { return base_->list(); }
  bool has(std::string_view name) const override { return base_->has(name); }
  Weight load(std::string_view name) const override {
    return name == name_ ? weight_ : base_->load(name);
  }

 private:
  std::shared_ptr<const WeightSource> base_;
  std::string name_;
  Weight weight_;
};

TEST(RuntimeModel, RefusesWeightsThatAreNotFinite) {
  for (const std::string name :
       {"model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"}) {
    Model model = golden_model("llama_gqa");
    auto dense = std::get<DenseTensor>(model.weights->load(name));
    auto bytes = std::make_shared<std::vector<std::byte>>(dense.bytes.begin(), dense.bytes.end());
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes->data() + 20, &nan, sizeof nan);
    dense.bytes = *bytes;
    dense.owner = bytes;
    model.weights = std::make_shared<Changed>(model.weights, name, dense);
    try {
      RuntimeModel::load(model);
      ADD_FAILURE() << name << ": no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      EXPECT_NE(error.block().find(name), std::string::npos) << error.block();
    }
  }
}

/// Round to nearest, symmetric: any codes do.
QuantizedMatrix coarse(const DenseTensor& dense, int64_t group) {
  QuantizedMatrix q;
  q.layout = {4, group, true, DType::f32};
  q.rows = dense.shape[0];
  q.cols = dense.shape[1];
  const auto values = dense.floats();
  q.scales.assign(static_cast<size_t>(q.rows * q.groups()), 0.05f);
  for (const float v : values)
    q.codes.push_back(static_cast<uint8_t>(std::clamp(std::lround(v / 0.05f) + 8, 0l, 15l)));
  return q;
}

TEST(Block, WithAQuantizedWeightComputesWhatTheDequantizedOneDoes) {
  const Model directory = golden_model("llama_gqa");
  const ModelSpec& spec = directory.spec;
  const std::string module = spec.blocks[0].mlp.down.module();
  const auto q = coarse(std::get<DenseTensor>(directory.weights->load(module + ".weight")), 32);
  const auto values = std::make_shared<std::vector<float>>(dequantize(q));
  const DenseTensor dense{DType::f32, {q.rows, q.cols}, std::as_bytes(std::span(*values)), values};

  const RopeTable rope(spec.ropes[0], spec.max_positions);
  Random random(41);
  std::vector<float> hidden(20 * 64);
  for (float& v : hidden) v = static_cast<float>(random.normal());
  auto other = hidden;
  std::vector<std::string> seen;
  const LinearObserver observer = [&](const LinearSpec& linear, const float* x, int64_t rows) {
    EXPECT_EQ(rows, 20);
    EXPECT_TRUE(std::isfinite(x[rows * linear.in - 1]));
    seen.push_back(linear.module());
  };
  Block(spec, 0, *directory.weights, {{module, q}})
      .forward(hidden.data(), 20, nullptr, &rope, Activations::exact, observer);
  Block(spec, 0, *directory.weights, {{module, dense}})
      .forward(other.data(), 20, nullptr, &rope, Activations::exact);
  for (size_t i = 0; i < hidden.size(); ++i) EXPECT_NEAR(hidden[i], other[i], 2e-5) << i;
  std::vector<std::string> expected;
  for (const auto& [name, linear] : spec.blocks[0].linears()) expected.push_back(linear->module());
  EXPECT_EQ(seen, expected);
}

}  // namespace
}  // namespace attar
