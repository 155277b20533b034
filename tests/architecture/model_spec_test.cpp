#include "compress/architecture/model_spec.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

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
