#include "compress/architecture/model_spec.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using testing::golden_config;
using testing::golden_spec;

TEST(RopeSpec, FrequenciesFallGeometrically) {
  const RopeSpec rope{.dims = 8, .theta = 10'000.0};
  const auto f = rope.frequencies();
  ASSERT_EQ(f.size(), 4u);
  EXPECT_DOUBLE_EQ(f[0], 1.0);
  EXPECT_NEAR(f[1], 0.1, 1e-15);
  EXPECT_NEAR(f[3], 0.001, 1e-17);
}

TEST(RopeSpec, LinearScalingDividesAll) {
  RopeSpec rope{.dims = 8};
  const auto plain = rope.frequencies();
  rope.scaling = RopeScaling::linear;
  rope.factor = 4.0;
  const auto scaled = rope.frequencies();
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 4.0);
}

TEST(RopeSpec, YarnKeepsFastPairsAndStretchesSlowOnes) {
  RopeSpec rope{.dims = 16, .theta = 10'000.0, .scaling = RopeScaling::yarn, .factor = 4.0};
  rope.original_max_positions = 2048;
  const auto expect = [&](const std::vector<double>& expected) {
    const auto found = rope.frequencies();
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-15) << i;
  };
  // By the paper's formulas, worked out separately.
  expect({1.0, 0.31622776601683794, 0.1, 0.02569350598886808, 0.00625, 0.0013834964763236657,
          0.00025, 7.905694150420948e-05});
  rope.truncate = false;
  expect({1.0, 0.31622776601683794, 0.1, 0.023870192321736323, 0.005056971521129435,
          0.0008112903817014309, 0.00025, 7.905694150420948e-05});
  EXPECT_EQ(rope.reach(), 8192);
  EXPECT_EQ(rope.regime(1), rope.regime(8000));
}

TEST(RopeSpec, DynamicScalingFollowsTheLength) {
  RopeSpec rope{.dims = 8, .theta = 10'000.0, .scaling = RopeScaling::dynamic, .factor = 2.0};
  rope.original_max_positions = 16;
  EXPECT_EQ(rope.frequencies(12), (RopeSpec{.dims = 8, .theta = 10'000.0}).frequencies());
  const auto f = rope.frequencies(24);
  EXPECT_NEAR(f[1], 0.07937005259840997, 1e-15);
  EXPECT_NEAR(f[3], 0.0005, 1e-15);
  EXPECT_EQ(rope.regime(3), rope.regime(16));
  EXPECT_NE(rope.regime(17), rope.regime(18));
  EXPECT_EQ(rope.reach(), 32);
}

TEST(RopeSpec, ScalingsAreReadWithTheirAttentionFactors) {
  auto config = golden_config("llama_gqa");
  config["rope_parameters"] = {{"rope_type", "yarn"},
                               {"rope_theta", 10000.0},
                               {"factor", 4.0},
                               {"original_max_position_embeddings", 32}};
  ModelSpec spec = read_model_spec(config, "");
  EXPECT_NEAR(spec.ropes[0].attention_factor, 1.138629436111989, 1e-6);
  EXPECT_EQ(spec.max_positions, 128);
  config["rope_parameters"]["mscale"] = 0.707;
  config["rope_parameters"]["mscale_all_dim"] = 0.707;
  EXPECT_EQ(read_model_spec(config, "").ropes[0].attention_factor, 1);
  config["rope_parameters"]["attention_factor"] = 0.5;
  EXPECT_EQ(read_model_spec(config, "").ropes[0].attention_factor, 0.5f);
  config["rope_parameters"] = {{"rope_type", "dynamic"}, {"factor", 2.0}};
  spec = read_model_spec(config, "");
  EXPECT_EQ(spec.ropes[0].original_max_positions, 128);
  EXPECT_EQ(spec.max_positions, 256);
}

TEST(RopeSpec, Llama3ScalingHasThreeBands) {
  const RopeSpec rope = golden_spec("llama_llama3rope").ropes.at(0);
  EXPECT_EQ(rope.scaling, RopeScaling::llama3);
  RopeSpec unscaled = rope;
  unscaled.scaling = RopeScaling::none;
  const auto plain = unscaled.frequencies(), scaled = rope.frequencies();
  int kept = 0, stretched = 0, between = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double wavelength = 2 * std::numbers::pi / plain[i];
    if (wavelength < 64.0 / 4.0) {  // original length / high_freq_factor
      EXPECT_EQ(scaled[i], plain[i]);
      ++kept;
    } else if (wavelength > 64.0) {  // original length / low_freq_factor
      EXPECT_EQ(scaled[i], plain[i] / 8.0);
      ++stretched;
    } else {
      const double smooth = (64.0 / wavelength - 1.0) / (4.0 - 1.0);
      EXPECT_NEAR(scaled[i], (1 - smooth) * plain[i] / 8.0 + smooth * plain[i], 1e-12);
      ++between;
    }
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(stretched, 0);
  EXPECT_GT(between, 0);
}

TEST(ModelSpec, ListsTensorsInOrderWithTheirRoles) {
  const ModelSpec spec = golden_spec("qwen2");
  const auto all = tensors(spec);
  EXPECT_EQ(all.front().name, "model.embed_tokens.weight");
  EXPECT_EQ(all.front().role, TensorRole::embedding);
  EXPECT_EQ(all.front().block, -1);
  EXPECT_EQ(all.back().name, "model.norm.weight");  // the head is tied
  EXPECT_EQ(all[3].name, "model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(all[3].role, TensorRole::bias);
  EXPECT_EQ(all[3].block, 0);
  const auto untied = tensors(golden_spec("llama_gqa"));
  EXPECT_EQ(untied.back().role, TensorRole::head);
  EXPECT_EQ(untied.back().shape, (std::vector<int64_t>{256, 64}));
}

TEST(ModelSpec, NamesLinearsInExecutionOrder) {
  const ModelSpec spec = golden_spec("qwen3");
  std::string names;
  for (const auto& [name, linear] : spec.blocks[1].linears()) {
    names += name + " ";
    EXPECT_EQ(linear->module() + ".weight", linear->weight);
  }
  EXPECT_EQ(names, "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj ");
  EXPECT_EQ(spec.blocks[1].mlp.up.module(), "model.layers.1.mlp.up_proj");
}

TEST(ModelSpec, KnowsRecurrentLayersAndExperts) {
  const ModelSpec spec = golden_spec("qwen3_next");
  std::string names;
  for (const auto& [name, linear] : spec.blocks[0].linears()) names += name + " ";
  EXPECT_EQ(names.substr(0, names.find("gate_proj")),
            "in_proj_q in_proj_k in_proj_v in_proj_z out_proj ");
  EXPECT_EQ(spec.blocks[0].linears().size(), 5u + 3 * 5);
  EXPECT_EQ(spec.blocks[0].mlps().size(), 5u);
  EXPECT_EQ(spec.blocks[0].outputs().size(), 6u);
  EXPECT_EQ(spec.blocks[1].mlps().size(), 1u);
  EXPECT_EQ(spec.blocks[3].linears().size(), 4u + 3 * 5);
  EXPECT_EQ(spec.first_attention(), &spec.blocks[3].attention);
  // Three layers of experts; two of four are idle, each 3 · 8 · 48 large.
  EXPECT_EQ(spec.parameters() - spec.active_parameters(), 3 * 2 * 3 * 8 * 48);
}

TEST(ModelSpec, GroupsCoverTheTensorsTheyCut) {
  for (const std::string model :
       {"llama_gqa", "llama_tied", "qwen2", "qwen3", "qwen3_5_text", "qwen3_next"}) {
    const ModelSpec spec = golden_spec(model);
    const auto all = tensors(spec);
    const auto shape_of = [&](const std::string& name) {
      const auto found =
          std::find_if(all.begin(), all.end(), [&](const TensorSpec& t) { return t.name == name; });
      EXPECT_NE(found, all.end()) << name;
      return found->shape;
    };
    const auto groups = dependency_groups(spec);
    size_t expected = 0;  // an attention with softmax, and every MLP
    for (const BlockSpec& block : spec.blocks)
      expected += (block.delta_net ? 0 : 1) + block.mlps().size();
    EXPECT_EQ(groups.size(), expected);
    for (const DependencyGroup& group : groups) {
      for (const auto& slice : group.rows)
        EXPECT_EQ(shape_of(slice.tensor)[0], group.units * slice.per_unit) << slice.tensor;
      for (const auto& slice : group.columns)
        EXPECT_EQ(shape_of(slice.tensor)[1], group.units * slice.per_unit) << slice.tensor;
      const bool kv = group.kind == DependencyGroup::Kind::kv_groups;
      EXPECT_EQ(group.rows.size(), kv ? (model == "qwen2" ? 6u : 3u) : 2u);
      EXPECT_EQ(group.columns.size(), 1u);
    }
  }
}

}  // namespace
}  // namespace attar
