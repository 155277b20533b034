#include "quantize/foldings.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <numeric>

#include "compress/base/error.h"

namespace attar {
namespace {

std::string last_part(const std::string& name) {
  return name.substr(name.rfind('.') + 1);
}

std::string names_of(const std::vector<LinearSpec>& linears) {
  std::string text;
  for (const LinearSpec& linear : linears)
    text += (text.empty() ? "" : ", ") + last_part(linear.module());
  return text;
}

std::vector<int32_t> identity(int64_t count) {
  std::vector<int32_t> channels(static_cast<size_t>(count));
  std::iota(channels.begin(), channels.end(), 0);
  return channels;
}

class Planner {
 public:
  Planner(const BlockSpec& block, const std::function<bool(const std::string&)>& quantized)
      : block_(block), quantized_(quantized) {}

  FoldingPlan run() {
    const AttentionSpec& attention = block_.attention;
    const MlpSpec& mlp = block_.mlp;
    if (block_.delta_net || block_.moe) {
      plan_.skipped.push_back({"the block", "recurrent attention and experts are not rescaled"});
      return std::move(plan_);
    }
    std::vector<LinearSpec> first = {attention.q, attention.k, attention.v}, second;
    if (mlp.gated()) second.push_back(mlp.gate);
    second.push_back(mlp.up);
    after_norm(block_.attention_norm, first);
    after_values();
    after_norm(block_.mlp_norm, second);
    after_up();
    return std::move(plan_);
  }

 private:
  void skip(const std::string& name, std::string why) {
    plan_.skipped.push_back({name, std::move(why)});
  }

  /// True when every layer will be rounded; else the folding is skipped.
  bool all_quantized(const std::string& name, const std::vector<LinearSpec>& linears) {
    for (const LinearSpec& linear : linears)
      if (!quantized_(linear.module())) {
        skip(name, last_part(linear.module()) + " is not quantized");
        return false;
      }
    return true;
  }

  void after_norm(const NormSpec& norm, const std::vector<LinearSpec>& readers) {
    const std::string maker =
        norm.weight.empty()
            ? "norm"
            : last_part(norm.weight.substr(0, norm.weight.size() - std::string(".weight").size()));
    const std::string name = fmt::format("{} -> {}", maker, names_of(readers));
    if (norm.weight.empty()) return skip(name, "there is no norm with a weight");
    if (block_.residual == Residual::post_norm)
      return skip(name, "the norm's output also goes around the layers");
    if (block_.residual == Residual::parallel &&
        block_.attention_norm.weight == block_.mlp_norm.weight)
      return skip(name, "attention and MLP share the norm");
    if (!all_quantized(name, readers)) return;
    const int64_t size = readers.front().in;
    plan_.foldings.push_back(
        {name, readers.front().module(), readers, norm, {}, identity(size), size});
  }

  void after_values() {
    const AttentionSpec& a = block_.attention;
    const std::string name = fmt::format("{} -> {}", names_of({a.v}), names_of({a.o}));
    if (a.o_norm.kind != NormKind::none) return skip(name, "a norm stands between them");
    if (!all_quantized(name, {a.v, a.o})) return;
    Folding folding{name, a.o.module(), {a.o}, {}, a.v, {}, a.v.out};
    const int64_t group = a.heads / a.kv_heads;
    for (int64_t head = 0; head < a.heads; ++head)
      for (int64_t d = 0; d < a.head_dim; ++d)
        folding.channel.push_back(static_cast<int32_t>(head / group * a.head_dim + d));
    plan_.foldings.push_back(std::move(folding));
  }

  void after_up() {
    const MlpSpec& mlp = block_.mlp;
    const std::string name = fmt::format("{} -> {}", names_of({mlp.up}), names_of({mlp.down}));
    if (mlp.down_norm.kind != NormKind::none) return skip(name, "a norm stands between them");
    if (!mlp.gated() && mlp.activation != Activation::relu)
      return skip(name, "the activation between them does not pass a factor through");
    if (!all_quantized(name, {mlp.up, mlp.down})) return;
    plan_.foldings.push_back(
        {name, mlp.down.module(), {mlp.down}, {}, mlp.up, identity(mlp.width), mlp.width});
  }

  const BlockSpec& block_;
  const std::function<bool(const std::string&)>& quantized_;
  FoldingPlan plan_;
};

DenseTensor load_dense(const WeightSource& weights, const std::string& name) {
  const Weight weight = weights.load(name);
  const auto* dense = std::get_if<DenseTensor>(&weight);
  if (dense == nullptr)
    throw bad_input("this tensor is quantized already", "tensor " + name,
                    "quantize the float model it came from");
  return *dense;
}

float rounded(float value, DType dtype) {
  std::byte bytes[8];
  float back = 0;
  from_float32(std::span(&value, 1), dtype, std::span(bytes, dtype_size(dtype)));
  to_float32(std::span<const std::byte>(bytes, dtype_size(dtype)), dtype, std::span(&back, 1));
  return back;
}

/// value + offset := (value + offset) / s as the float type has it; s becomes the exact quotient.
void divide_exactly(float& value, float& s, float offset, DType dtype) {
  const float before = value + offset;
  const float after = rounded(before / s - offset, dtype);
  const float quotient = before / (after + offset);
  if (!(quotient > 0) || !std::isfinite(quotient)) {  // zero stays zero whatever s is
    if (before != 0) s = 1.0f;
    return;
  }
  s = quotient;
  value = after;
}

/// Divides a norm's weight and bias; s becomes what was divided by to the last bit.
void divide_norm(const NormSpec& norm, std::vector<float>& s, OverlayWeights& weights) {
  const DenseTensor stored = load_dense(weights, norm.weight);
  std::vector<float> values = stored.floats();
  for (size_t i = 0; i < values.size(); ++i)
    divide_exactly(values[i], s[i], norm.weight_offset, stored.dtype);
  weights.put(norm.weight, dense_tensor(values, stored.shape, stored.dtype));
  if (norm.bias.empty()) return;
  const DenseTensor bias = load_dense(weights, norm.bias);
  std::vector<float> offsets = bias.floats();
  for (size_t i = 0; i < offsets.size(); ++i) offsets[i] /= s[i];
  weights.put(norm.bias, dense_tensor(offsets, bias.shape, bias.dtype));
}

/// Divides a linear's rows and bias; a bias keeps its own float type, so s moves as for a norm.
void divide_rows(const LinearSpec& linear, std::vector<float>& s, OverlayWeights& weights) {
  if (!linear.bias.empty()) {
    const DenseTensor bias = load_dense(weights, linear.bias);
    std::vector<float> values = bias.floats();
    for (size_t i = 0; i < values.size(); ++i) divide_exactly(values[i], s[i], 0, bias.dtype);
    weights.put(linear.bias, dense_tensor(values, bias.shape, bias.dtype));
  }
  std::vector<float> w = weights.floats(linear.weight);
  for (int64_t row = 0; row < linear.out; ++row)
    for (int64_t c = 0; c < linear.in; ++c)
      w[static_cast<size_t>(row * linear.in + c)] /= s[static_cast<size_t>(row)];
  weights.put(linear.weight, dense_tensor(w, {linear.out, linear.in}, DType::f32));
}

}  // namespace

FoldingPlan plan_foldings(const BlockSpec& block,
                          const std::function<bool(const std::string& module)>& quantized) {
  return Planner(block, quantized).run();
}

Weight OverlayWeights::load(std::string_view name) const {
  const auto found = replaced_.find(name);
  return found != replaced_.end() ? Weight(found->second) : base_->load(name);
}

void apply_folding(const Folding& folding, std::vector<float> s, OverlayWeights& weights) {
  assert(static_cast<int64_t>(s.size()) == folding.channels);
  if (!folding.norm.weight.empty())
    divide_norm(folding.norm, s, weights);
  else
    divide_rows(folding.linear, s, weights);
  for (const LinearSpec& reader : folding.readers) {
    std::vector<float> w = weights.floats(reader.weight);
    for (int64_t row = 0; row < reader.out; ++row)
      for (int64_t c = 0; c < reader.in; ++c)
        w[static_cast<size_t>(row * reader.in + c)] *=
            s[static_cast<size_t>(folding.channel[static_cast<size_t>(c)])];
    weights.put(reader.weight, dense_tensor(w, {reader.out, reader.in}, DType::f32));
  }
}

}  // namespace attar
