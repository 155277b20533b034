#include "compress/pipeline/gguf/metadata.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"

namespace attar::gguf_export {
namespace {

uint32_t u32(int64_t value) {
  return static_cast<uint32_t>(value);
}

/// Writes one architecture's keys from a spec.
class Describer {
 public:
  Describer(const Model& model, const gguf::Architecture& architecture, gguf::Metadata& metadata,
            Foldings& foldings, std::vector<Fallback>& fallbacks)
      : model_(model),
        spec_(model.spec),
        arch_(architecture),
        out_(metadata),
        foldings_(foldings),
        fallbacks_(fallbacks) {}

  void run() {
    if (spec_.first_attention() == nullptr) throw unsupported("a model without attention");
    sizes();
    norms();
    rope();
    scale();
    windows();
    caps();
    if (arch_.links != nullptr) recurrent_layers();
    if (arch_.name == "qwen3next") experts();
    if (arch_.name == "bert") encoder();
    if (arch_.name == "bitnet") bitnet();
    if (arch_.name == "gptneox")
      set("use_parallel_residual", spec_.blocks.front().residual == Residual::parallel);
  }

 private:
  const AttentionSpec& attention() const { return *spec_.first_attention(); }

  void set(std::string_view suffix, gguf::Value value) {
    out_.set(fmt::format("{}.{}", arch_.name, suffix), std::move(value));
  }

  Error unsupported(const std::string& what) const {
    return bad_input(fmt::format("a {} GGUF file cannot say: {}", arch_.name, what),
                     model_.path.string(), "export to hf keeps everything");
  }

  /// The common value of layers with softmax attention, or an error.
  template <class Get>
  auto same(const char* what, Get get) const {
    const auto value = get(attention());
    for (const BlockSpec& block : spec_.blocks)
      if (!block.delta_net && get(block.attention) != value)
        throw unsupported(fmt::format("{} that differ between layers", what));
    return value;
  }

  void sizes() {
    set("vocab_size", u32(spec_.vocab));
    set("context_length", u32(spec_.max_positions));
    set("embedding_length", u32(spec_.hidden));
    set("block_count", u32(static_cast<int64_t>(spec_.blocks.size())));
    feed_forward();
    set("attention.head_count", u32(same("heads", [](const auto& a) { return a.heads; })));
    set("attention.head_count_kv",
        u32(same("key-value heads", [](const auto& a) { return a.kv_heads; })));
    const int64_t head = same("head sizes", [](const auto& a) { return a.head_dim; });
    if (head * attention().heads != spec_.hidden || arch_.norm_offset != 0 ||
        arch_.name == "qwen3") {
      set("attention.key_length", u32(head));
      set("attention.value_length", u32(head));
    }
  }

  void feed_forward() {
    int64_t width = model_.config.value("intermediate_size", int64_t{0});  // where all are sparse
    bool found = false;
    for (const BlockSpec& block : spec_.blocks) {
      if (block.moe) continue;
      if (found && block.mlp.width != width) throw unsupported("widths that differ between layers");
      width = block.mlp.width;
      found = true;
    }
    if (width > 0) set("feed_forward_length", u32(width));
  }

  void norms() {
    const NormSpec& norm = spec_.blocks.front().attention_norm;
    set(norm.kind == NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                   : "attention.layer_norm_epsilon",
        norm.eps);
  }

  void rope() {
    if (spec_.ropes.empty()) return;
    no_rope_layers();
    const int index = std::max(attention().rope, 0);
    const RopeSpec* rope = &spec_.ropes[static_cast<size_t>(index)];
    if (arch_.name == "gemma3") {  // layers that slide have their own, which comes first
      for (const BlockSpec& block : spec_.blocks)
        if (block.attention.window == 0 && block.attention.rope >= 0)
          rope = &spec_.ropes[static_cast<size_t>(block.attention.rope)];
      for (const BlockSpec& block : spec_.blocks)
        if (block.attention.window > 0)
          set("rope.freq_base_swa",
              static_cast<float>(spec_.ropes[static_cast<size_t>(block.attention.rope)].theta));
    } else if (spec_.ropes.size() > 1) {
      throw unsupported("layers with different rotary embeddings");
    }
    set("rope.dimension_count", u32(rope->dims));
    set("rope.freq_base", static_cast<float>(rope->theta));
    scaling(*rope);
  }

  void scaling(const RopeSpec& rope) {
    const auto original = [&] {
      set("rope.scaling.original_context_length", u32(rope.original_max_positions));
    };
    switch (rope.scaling) {
      case RopeScaling::none:
      case RopeScaling::llama3:  // a tensor of factors
        return;
      case RopeScaling::linear:
        set("rope.scaling.type", std::string("linear"));
        set("rope.scaling.factor", static_cast<float>(rope.factor));
        return;
      case RopeScaling::yarn:
        set("rope.scaling.type", std::string("yarn"));
        set("rope.scaling.factor", static_cast<float>(rope.factor));
        original();
        set("rope.scaling.yarn_beta_fast", static_cast<float>(rope.beta_fast));
        set("rope.scaling.yarn_beta_slow", static_cast<float>(rope.beta_slow));
        return;
      case RopeScaling::longrope:
        set("rope.scaling.attn_factor", rope.attention_factor);
        original();
        return;
      case RopeScaling::dynamic:
        throw unsupported("dynamic rotary scaling");
    }
  }

  void no_rope_layers() const {
    const bool smollm3 = arch_.name == "smollm3";
    for (size_t i = 0; i < spec_.blocks.size(); ++i) {
      if (spec_.blocks[i].delta_net) continue;
      const bool rotates = spec_.blocks[i].attention.rope >= 0;
      if (rotates != !(smollm3 && (i + 1) % 4 == 0))
        throw unsupported(
            fmt::format("layer {} {} rotary embedding", i, rotates ? "has a" : "has no"));
    }
  }

  /// Readers take 1/√head_dim as given; Gemma's largest models 1/√(hidden / heads).
  void scale() {
    const auto layers = spec_.blocks.size();
    const bool largest =
        (arch_.name == "gemma2" && layers == 46) || (arch_.name == "gemma3" && layers == 62);
    const auto size =
        static_cast<double>(largest ? spec_.hidden / attention().heads : attention().head_dim);
    const float own = same("scales of attention", [](const auto& a) { return a.scale; });
    const double factor = static_cast<double>(own) * std::sqrt(size);
    if (std::abs(factor - 1) < 1e-5) return;
    if (arch_.norm_offset == 0) throw unsupported(fmt::format("a scale of attention of {}", own));
    foldings_.query = factor;
    fallbacks_.push_back({fmt::format("queries are multiplied by {:.6f}", factor), "attn_q",
                          "readers scale q·k by 1/√head_dim, the model by another number"});
  }

  void windows() {
    int64_t window = 0;
    for (const BlockSpec& block : spec_.blocks) window = std::max(window, block.attention.window);
    if (window == 0) return;
    const auto slides = [&](size_t i) { return spec_.blocks[i].attention.window > 0; };
    for (size_t i = 0; i < spec_.blocks.size(); ++i)
      if (slides(i) && spec_.blocks[i].attention.window != window)
        throw unsupported("sliding windows of different lengths");
    if (arch_.name == "gemma2" || arch_.name == "gemma3") {
      const size_t period = arch_.name == "gemma2" ? 2 : period_of(slides);
      for (size_t i = 0; i < spec_.blocks.size(); ++i)
        if (slides(i) != ((i + 1) % period != 0))
          throw unsupported("this order of sliding and full layers");
      set("attention.sliding_window", u32(window));
      if (arch_.name == "gemma3" && period != 6) {
        set("attention.sliding_window_pattern", u32(static_cast<int64_t>(period)));
        fallbacks_.push_back({fmt::format("every {}th layer is full", period), "gemma3",
                              "older readers take every 6th as given"});
      }
      return;
    }
    if (arch_.name == "phi3" && std::ranges::all_of(spec_.blocks, [](const BlockSpec& b) {
          return b.attention.window > 0;
        })) {
      set("attention.sliding_window", u32(window));
      return;
    }
    if (window >= spec_.max_positions) return;
    set("context_length", u32(window));
    fallbacks_.push_back(
        {fmt::format("context_length is {} instead of {}", window, spec_.max_positions),
         std::string(arch_.name),
         "the architecture has no sliding windows; up to the window's length both are the same"});
  }

  template <class Slides>
  size_t period_of(Slides slides) const {
    for (size_t i = 0; i < spec_.blocks.size(); ++i)
      if (!slides(i)) return i + 1;
    return spec_.blocks.size() + 1;
  }

  void caps() {
    const float cap = same("soft caps", [](const auto& a) { return a.softcap; });
    if (arch_.name == "gemma2") {
      set("attn_logit_softcapping", cap);
      set("final_logit_softcapping", spec_.logit_softcap);
    } else if (cap != 0 || spec_.logit_softcap != 0) {
      throw unsupported("soft caps");
    }
  }

  /// Readers take every nth layer to be full attention.
  void recurrent_layers() {
    const auto recurs = [&](size_t i) { return spec_.blocks[i].delta_net.has_value(); };
    size_t period = 1;
    while (recurs(period - 1)) ++period;  // one is not
    for (size_t i = 0; i < spec_.blocks.size(); ++i)
      if (recurs(i) != ((i + 1) % period != 0))
        throw unsupported("this order of recurrent and full layers");
    set("full_attention_interval", u32(static_cast<int64_t>(period)));
    const auto first = std::ranges::find_if(
        spec_.blocks, [](const BlockSpec& b) { return b.delta_net.has_value(); });
    if (first == spec_.blocks.end()) throw unsupported("a model without recurrent layers");
    const DeltaNetSpec& d = *first->delta_net;
    if (d.key_dim != d.value_dim) throw unsupported("keys and values of different sizes");
    set("ssm.conv_kernel", u32(d.conv_width));
    set("ssm.state_size", u32(d.key_dim));
    set("ssm.group_count", u32(d.key_heads));
    set("ssm.time_step_rank", u32(d.value_heads));
    set("ssm.inner_size", u32(d.value_dim * d.value_heads));
    if (arch_.name != "qwen35") return;
    // How positions of images and texts share the rotary pairs; a text has one position for all.
    std::vector<int32_t> sections = {11, 11, 10, 0};
    if (const auto parameters = model_.config.find("rope_parameters");
        parameters != model_.config.end() && parameters->contains("mrope_section")) {
      sections = (*parameters)["mrope_section"].get<std::vector<int32_t>>();
      sections.resize(4);
    }
    set("rope.dimension_sections", sections);
  }

  void experts() {
    const MoeSpec* first = nullptr;
    for (const BlockSpec& block : spec_.blocks) {
      if (!block.moe) throw unsupported("layers without experts");
      if (!block.moe->renormalize) throw unsupported("weights of experts that do not sum to one");
      if (first == nullptr) first = &*block.moe;
      if (block.moe->experts.size() != first->experts.size() ||
          block.moe->experts.front().width != first->experts.front().width ||
          block.moe->shared.width != first->shared.width)
        throw unsupported("experts that differ between layers");
    }
    set("expert_count", u32(std::ssize(first->experts)));
    set("expert_used_count", u32(first->top_k));
    set("expert_feed_forward_length", u32(first->experts.front().width));
    set("expert_shared_feed_forward_length", u32(first->shared.width));
  }

  void encoder() {
    if (spec_.task == Task::classify &&
        spec_.pooler_activation != ModelSpec::PoolerActivation::tanh)
      throw unsupported("a classifier with a ReLU before its last layer");
    if (spec_.task == Task::classify && spec_.label_scores != LabelScores::softmax)
      throw unsupported("labels that do not exclude each other");
    set("attention.causal", false);
    constexpr uint32_t kMean = 1, kFirst = 2, kRank = 4;
    set("pooling_type", spec_.task == Task::classify            ? kRank
                        : spec_.pooling == Pooling::first_token ? kFirst
                                                                : kMean);
    if (spec_.task == Task::classify) set("classifier.output_labels", spec_.labels);
    out_.set("tokenizer.ggml.token_type_count", u32(std::max<int64_t>(spec_.type_vocab, 1)));
  }

  void bitnet() {
    if (!spec_.tied) throw unsupported("an output matrix of its own");
    if (attention().heads * attention().head_dim != spec_.hidden)
      throw unsupported("heads that are not as wide as the model together");
    const Activation activation = spec_.blocks.front().mlp.activation;
    if (activation == Activation::relu_squared)
      set("hidden_act", std::string("relu2"));
    else if (activation != Activation::silu)
      throw unsupported("an activation other than SiLU and squared ReLU");
  }

  const Model& model_;
  const ModelSpec& spec_;
  const gguf::Architecture& arch_;
  gguf::Metadata& out_;
  Foldings& foldings_;
  std::vector<Fallback>& fallbacks_;
};

/// "teacher-7M" of a directory or a file.
std::string model_name(const Model& model) {
  const fs::path path = fs::absolute(model.path).lexically_normal();
  std::string name = path.stem().string();
  if (!path.has_filename()) name = path.parent_path().stem().string();
  if (name == "model" && path.has_parent_path())  // a stage's output
    name = path.parent_path().filename().string();
  return name;
}

}  // namespace

const gguf::Architecture& architecture_of(const Model& model) {
  if (const auto* row = gguf::architecture_for_family(model.spec.family)) return *row;
  std::vector<std::string_view> known;
  for (const auto& row : gguf::architectures())
    known.insert(known.end(), row.families.begin(), row.families.end());
  throw bad_input(fmt::format("models of the family {} are not written as GGUF", model.spec.family),
                  model.path.string(), fmt::format("written are: {}", fmt::join(known, ", ")));
}

gguf::Metadata describe_model(const Model& model, const gguf::Architecture& architecture,
                              Foldings& foldings, std::vector<Fallback>& fallbacks) {
  gguf::Metadata metadata(model.path.string());
  metadata.set("general.architecture", std::string(architecture.name));
  metadata.set("general.type", std::string("model"));
  metadata.set("general.name", model_name(model));
  metadata.set("general.quantized_by", std::string("attar ") + ATTAR_VERSION);
  const auto base = model.config.find("_name_or_path");
  metadata.set("general.base_model.count", uint32_t{1});
  metadata.set("general.base_model.0.name",
               base != model.config.end() && base->is_string() && !base->get<std::string>().empty()
                   ? base->get<std::string>()
                   : model_name(model));
  Describer(model, architecture, metadata, foldings, fallbacks).run();
  return metadata;
}

std::string why_not(const Model& model) {
  Foldings foldings;
  std::vector<Fallback> fallbacks;
  try {
    describe_model(model, architecture_of(model), foldings, fallbacks);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace attar::gguf_export
