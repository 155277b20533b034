#include "compress/pipeline/gguf/mixtures.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace attar::gguf_export {
namespace {

using Choice = std::optional<std::string_view>;

/// Of layers that lose most when they are rounded coarsely: the first and last eighth, and every
/// third between.
bool sensitive(const TensorPlace& p) {
  const int64_t eighth = p.layers / 8;
  return p.layer < eighth || p.layer >= 7 * p.layers / 8 || (p.layer - eighth) % 3 == 2;
}

bool is(const TensorPlace& p, std::string_view part) {
  const bool of_experts = p.name.ends_with(fmt::format(".{}_exps.weight", part)) ||
                          p.name.ends_with(fmt::format(".{}_shexp.weight", part));
  return of_experts || p.name.ends_with(fmt::format(".{}.weight", part));
}

Choice head_q6(const TensorPlace& p) {
  if (p.head) return "Q6_K";
  return {};
}

Choice q4_k_m(const TensorPlace& p) {
  if (p.head) return "Q6_K";
  if ((is(p, "attn_v") || is(p, "ffn_down")) && sensitive(p)) return "Q6_K";
  if (is(p, "attn_qkv")) return "Q5_K";
  return {};
}

Choice q4_k_s(const TensorPlace& p) {
  if (p.head) return "Q6_K";
  if (is(p, "attn_v") && p.layer < 4) return "Q5_K";
  if (is(p, "ffn_down") && p.layer < p.layers / 8) return "Q5_K";
  return {};
}

Choice q5_k_m(const TensorPlace& p) {
  if (p.head || is(p, "attn_qkv")) return "Q6_K";
  if ((is(p, "attn_v") || is(p, "ffn_down")) && sensitive(p)) return "Q6_K";
  return {};
}

Choice q3_k_m(const TensorPlace& p) {
  if (p.head) return "Q6_K";
  if (is(p, "attn_v")) return p.layer < 2 ? "Q5_K" : "Q4_K";
  if (is(p, "ffn_down")) return p.layer < p.layers / 16 ? "Q5_K" : "Q4_K";
  if (is(p, "attn_output") || is(p, "attn_qkv")) return "Q4_K";
  return {};
}

Choice q2_k(const TensorPlace& p) {
  if (p.head) return "Q6_K";
  if (is(p, "attn_v") || is(p, "ffn_down") || is(p, "attn_output")) return "Q3_K";
  return {};
}

/// What takes a type's place where rows are no multiple of its block.
std::string_view wider(std::string_view type) {
  if (type == "Q2_K" || type == "Q3_K") return "Q4_0";
  if (type == "Q4_K") return "Q5_0";
  if (type == "Q5_K") return "Q5_1";
  if (type == "Q6_K") return "Q8_0";
  return "F16";
}

/// Vectors, small tables, convolutions and what chooses experts stay as they are computed with.
bool stays_float(const TensorPlace& p) {
  return p.shape.size() < 2 || p.name == "position_embd.weight" || p.name == "token_types.weight" ||
         is(p, "ssm_conv1d") || p.name.ends_with(".ffn_gate_inp.weight");
}

}  // namespace

std::span<const Mixture> mixtures() {
  static constexpr std::array kTable = {
      Mixture{"f32", "float32", "F32", 0},
      Mixture{"f16", "float16", "F16", 1},
      Mixture{"bf16", "bfloat16", "BF16", 32},
      Mixture{"q8_0", "8 bits, groups of 32", "Q8_0", 7},
      Mixture{"q6_k", "6 bits, groups of 16", "Q6_K", 18},
      Mixture{"q5_k_m", "5 bits, 6 where it matters most", "Q5_K", 17, q5_k_m},
      Mixture{"q5_k_s", "5 bits, groups of 32", "Q5_K", 16, head_q6},
      Mixture{"q5_1", "5 bits with minima, groups of 32", "Q5_1", 9, head_q6},
      Mixture{"q5_0", "5 bits, groups of 32", "Q5_0", 8, head_q6},
      Mixture{"q4_k_m", "4 bits, 6 where it matters most", "Q4_K", 15, q4_k_m},
      Mixture{"q4_k_s", "4 bits, 5 where it matters most", "Q4_K", 14, q4_k_s},
      Mixture{"q4_1", "4 bits with minima, groups of 32", "Q4_1", 3, head_q6},
      Mixture{"q4_0", "4 bits, groups of 32", "Q4_0", 2, head_q6},
      Mixture{"q3_k_m", "3 bits, 4 and 5 where it matters most", "Q3_K", 12, q3_k_m},
      Mixture{"q2_k", "2 bits, 3 where it matters most", "Q2_K", 10, q2_k},
  };
  return kTable;
}

const Mixture* find_mixture(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const Mixture& row : mixtures())
    if (row.name == lower) return &row;
  return nullptr;
}

const gguf::TensorType& type_of(const Mixture& mixture, const TensorPlace& place,
                                std::vector<Fallback>& fallbacks) {
  if (stays_float(place)) return *gguf::find_tensor_type("F32");
  const Choice other = mixture.other == nullptr ? Choice() : mixture.other(place);
  const gguf::TensorType* wanted = gguf::find_tensor_type(other.value_or(mixture.base));
  const int64_t cols = place.shape.back();
  const gguf::TensorType* type = wanted;
  while (cols % type->block != 0) type = gguf::find_tensor_type(wider(type->name));
  if (type != wanted)
    fallbacks.push_back({fmt::format("{} instead of {}", type->name, wanted->name),
                         std::string(place.name),
                         fmt::format("{} columns are no multiple of {}", cols, wanted->block)});
  return *type;
}

}  // namespace attar::gguf_export
