// What config.json says about rotary embedding, in old and new style.
#include <cmath>

#include "compress/architecture/decoder.h"

namespace attar {
namespace {

void read_llama3(const ConfigReader& scaling, RopeSpec& rope) {
  rope.scaling = RopeScaling::llama3;
  rope.low_freq_factor = scaling.positive("low_freq_factor");
  rope.high_freq_factor = scaling.positive("high_freq_factor");
  rope.original_max_positions = scaling.size("original_max_position_embeddings");
  if (rope.low_freq_factor >= rope.high_freq_factor)
    throw scaling.error("low_freq_factor", "must be less than high_freq_factor");
  rope.factor = scaling.positive("factor");
}

/// YaRN's temperature of attention for a stretch by `factor` (Peng et al., 2023, section 3.4).
double mscale(double factor, double weight) {
  return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

void read_yarn(const ConfigReader& scaling, const ConfigReader& config, RopeSpec& rope) {
  rope.scaling = RopeScaling::yarn;
  const int64_t positions = config.size("max_position_embeddings");
  rope.original_max_positions =
      scaling.optional_size("original_max_position_embeddings").value_or(positions);
  rope.factor = scaling.optional_positive("factor").value_or(
      static_cast<double>(positions) / static_cast<double>(rope.original_max_positions));
  rope.beta_fast = scaling.optional_positive("beta_fast").value_or(32.0);
  rope.beta_slow = scaling.optional_positive("beta_slow").value_or(1.0);
  if (rope.beta_fast <= rope.beta_slow)
    throw scaling.error("beta_fast", "must be more than beta_slow");
  if (rope.theta <= 1) throw scaling.error("rope_type", "yarn needs a rope_theta above 1");
  rope.truncate = scaling.flag("truncate", true);
  const auto own = scaling.optional_positive("mscale"),
             all = scaling.optional_positive("mscale_all_dim");
  const double factor =
      own && all ? mscale(rope.factor, *own) / mscale(rope.factor, *all) : mscale(rope.factor, 1.0);
  rope.attention_factor =
      static_cast<float>(scaling.optional_positive("attention_factor").value_or(factor));
}

std::vector<double> read_factors(const ConfigReader& scaling, const char* key, int64_t count) {
  const auto factors = scaling.optional_numbers(key);
  if (!factors) throw scaling.error(key, fmt::format("{} is missing", key));
  if (static_cast<int64_t>(factors->size()) != count)
    throw scaling.error(
        key, fmt::format("{} factors for {} pairs of rotated dimensions", factors->size(), count));
  for (const double factor : *factors)
    if (!(factor > 0)) throw scaling.error(key, "factors must be positive");
  return *factors;
}

void read_longrope(const ConfigReader& scaling, const ConfigReader& config, RopeSpec& rope) {
  rope.scaling = RopeScaling::longrope;
  const int64_t positions = config.size("max_position_embeddings");
  const auto inside = scaling.optional_size("original_max_position_embeddings");
  rope.original_max_positions =
      inside ? *inside
             : config.optional_size("original_max_position_embeddings").value_or(positions);
  rope.factor = static_cast<double>(positions) / static_cast<double>(rope.original_max_positions);
  if (rope.factor == 1) rope.factor = scaling.optional_positive("factor").value_or(1.0);
  if (rope.original_max_positions < 2)
    throw scaling.error("original_max_position_embeddings", "must be at least 2");
  rope.short_factor = read_factors(scaling, "short_factor", rope.dims / 2);
  rope.long_factor = read_factors(scaling, "long_factor", rope.dims / 2);
  for (const char* key : {"short_mscale", "long_mscale"})
    if (scaling.has(key)) throw scaling.error(key, "is not supported");
  const double factor =
      rope.factor <= 1
          ? 1.0
          : std::sqrt(1 + std::log(rope.factor) /
                              std::log(static_cast<double>(rope.original_max_positions)));
  rope.attention_factor =
      static_cast<float>(scaling.optional_positive("attention_factor").value_or(factor));
}

/// `scaling` into `rope`, whose dims and theta are known.
void read_scaling(const ConfigReader& scaling, const ConfigReader& config, RopeSpec& rope) {
  // "type" is the older name of "rope_type", "su" that of "longrope".
  const char* key = scaling.has("rope_type") ? "rope_type" : "type";
  const std::string type = scaling.optional_text(key).value_or("default");
  if (type == "default") return;
  if (type == "linear") {
    rope.scaling = RopeScaling::linear;
    rope.factor = scaling.positive("factor");
  } else if (type == "dynamic") {
    rope.scaling = RopeScaling::dynamic;
    rope.factor = scaling.positive("factor");
    const auto original = scaling.optional_size("original_max_position_embeddings");
    rope.original_max_positions = original ? *original : config.size("max_position_embeddings");
    if (rope.dims <= 2) throw scaling.error(key, "dynamic scaling needs more than one pair");
  } else if (type == "llama3") {
    read_llama3(scaling, rope);
  } else if (type == "yarn") {
    read_yarn(scaling, config, rope);
  } else if (type == "longrope" || type == "su") {
    read_longrope(scaling, config, rope);
  } else {
    throw scaling.error(key, fmt::format("unsupported rotary scaling \"{}\"", type),
                        "supported: default, linear, dynamic, llama3, yarn, longrope");
  }
  constexpr int64_t kMostPositions = int64_t{1} << 31;
  if (rope.factor > static_cast<double>(kMostPositions) || rope.reach() > kMostPositions)
    throw scaling.error("factor", fmt::format("{} is beyond reason", rope.factor));
  if (rope.factor < 1 && rope.scaling != RopeScaling::longrope)
    throw scaling.error("factor", fmt::format("{} would shrink the context", rope.factor));
}

int64_t rotated_dims(const ConfigReader& keys, int64_t head_dim,
                     std::optional<double> default_part) {
  const char* key = "partial_rotary_factor";
  const double part = keys.optional_positive(key).value_or(default_part.value_or(1.0));
  if (!default_part && part != 1.0) throw keys.error(key, "this family rotates whole heads");
  const auto dims = static_cast<int64_t>(static_cast<double>(head_dim) * part);
  if (part > 1 || dims < 2 || dims % 2 != 0)
    throw keys.error(
        key, fmt::format("{} of a head of {} is no even number of dimensions", part, head_dim));
  return dims;
}

}  // namespace

RopeSpec read_rope_object(const std::optional<ConfigReader>& rope, const ConfigReader& config,
                          int64_t head_dim, double default_theta) {
  RopeSpec result;
  result.dims = head_dim;
  result.theta = default_theta;
  if (!rope) return result;
  result.theta = rope->optional_positive("rope_theta").value_or(default_theta);
  read_scaling(*rope, config, result);
  return result;
}

RopeSpec read_rope(const ConfigReader& config, int64_t head_dim, double default_theta,
                   std::optional<double> default_part) {
  const bool current = config.has("rope_parameters");
  const auto scaling = config.optional_object(current ? "rope_parameters" : "rope_scaling");
  const ConfigReader& keys = current ? *scaling : config;
  const bool inside = current && scaling->has("partial_rotary_factor");
  RopeSpec rope;
  rope.theta = keys.optional_positive("rope_theta").value_or(default_theta);
  rope.dims = rotated_dims(inside ? *scaling : config, head_dim, default_part);
  if (scaling) read_scaling(*scaling, config, rope);
  return rope;
}

}  // namespace attar
