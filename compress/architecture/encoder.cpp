#include "compress/architecture/encoder.h"

#include <cmath>
#include <cstring>
#include <set>

namespace attar {
namespace {

using nlohmann::ordered_json;

Activation read_activation(const ConfigReader& config, const char* key) {
  const std::string name = config.optional_text(key).value_or("gelu");
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  throw config.error(key, fmt::format("unknown activation \"{}\"", name),
                     "known: gelu, gelu_new, gelu_pytorch_tanh, relu, silu");
}

/// How many heads of each layer `pruned_heads` ({"0": [2, 5]}) leaves.
std::vector<int64_t> read_layer_heads(const ConfigReader& config, int64_t layers, int64_t heads) {
  std::vector<int64_t> left(static_cast<size_t>(layers), heads);
  const auto pruned = config.optional_object("pruned_heads");
  if (!pruned) return left;
  size_t known = 0;
  for (int64_t i = 0; i < layers; ++i) {
    const std::string key = std::to_string(i);
    const auto list = pruned->optional_integers(key.c_str());
    known += pruned->has(key.c_str());
    if (!list) continue;
    const std::set<int64_t> distinct(list->begin(), list->end());
    for (const int64_t head : distinct)
      if (head < 0 || head >= heads)
        throw pruned->error(key.c_str(), fmt::format("there is no head {} among {}", head, heads));
    left[static_cast<size_t>(i)] -= static_cast<int64_t>(distinct.size());
    if (left[static_cast<size_t>(i)] < 1)
      throw pruned->error(key.c_str(), "a layer without any head");
  }
  if (known != pruned->keys())
    throw config.error("pruned_heads", fmt::format("a key is no layer from 0 to {}", layers - 1));
  return left;
}

std::vector<std::string> default_labels(int64_t count) {
  std::vector<std::string> labels;
  for (int64_t i = 0; i < count; ++i) labels.push_back(fmt::format("LABEL_{}", i));
  return labels;
}

std::vector<std::string> read_labels(const ConfigReader& config) {
  constexpr int64_t kDefaultLabels = 2;  // what Transformers takes when no key says more
  const auto count = config.optional_size("num_labels");
  const auto names = config.optional_object("id2label");
  if (!names) return default_labels(count.value_or(kDefaultLabels));
  std::vector<std::string> labels;
  for (size_t i = 0; i < names->keys(); ++i) {
    const auto label = names->optional_text(std::to_string(i).c_str());
    if (!label)
      throw config.error("id2label",
                         fmt::format("{} labels, but none has the id {}", names->keys(), i));
    labels.push_back(*label);
  }
  if (labels.empty()) throw config.error("id2label", "a classifier without labels");
  if (count && *count != std::ssize(labels))
    throw config.error("num_labels",
                       fmt::format("num_labels is {}, but id2label has {}", *count, labels.size()));
  if (const auto ids = config.optional_object("label2id"))
    for (size_t i = 0; i < labels.size(); ++i) {
      const auto id = ids->optional_integer(labels[i].c_str());
      if (id &&
          (*id < 0 || *id >= std::ssize(labels) || labels[static_cast<size_t>(*id)] != labels[i]))
        throw ids->error(labels[i].c_str(),
                         fmt::format("{} contradicts id2label, which says {}", *id, i));
    }
  return labels;
}

LabelScores read_label_scores(const ConfigReader& config, size_t labels) {
  const auto type = config.optional_text("problem_type");
  if (!type) return labels == 1 ? LabelScores::sigmoid : LabelScores::softmax;
  if (*type == "single_label_classification") return LabelScores::softmax;
  if (*type == "multi_label_classification") return LabelScores::sigmoid;
  if (*type == "regression") return LabelScores::raw;
  throw config.error("problem_type", fmt::format("unknown problem \"{}\"", *type),
                     "known: single_label_classification, multi_label_classification, regression");
}

void refuse_unsupported(const ConfigReader& config) {
  for (const char* key : {"is_decoder", "add_cross_attention"})
    if (config.flag(key, false)) throw config.error(key, "only encoders are supported");
  const std::string positions =
      config.optional_text("position_embedding_type").value_or("absolute");
  if (positions != "absolute")
    throw config.error("position_embedding_type",
                       fmt::format("\"{}\" positions are not supported", positions),
                       "supported: absolute");
}

/// Far above any encoder, and low enough that the number of parameters fits 64 bits.
void check_limits(const ConfigReader& config, const EncoderKeys& keys, const EncoderFields& e) {
  constexpr int64_t kLayers = 10'000, kWidth = int64_t{1} << 22;
  if (config.size(keys.layers) > kLayers)
    throw config.error(keys.layers, fmt::format("the limit is {}", kLayers));
  for (const auto& [key, width] : {std::pair(keys.hidden, e.hidden), std::pair(keys.ffn, e.ffn)})
    if (width > kWidth)
      throw config.error(key, fmt::format("a width of {}; the limit is {}", width, kWidth));
  if (e.hidden % e.heads != 0)
    throw config.error(keys.heads,
                       fmt::format("a width of {} is no multiple of {} heads", e.hidden, e.heads));
}

LinearSpec linear(const std::string& module, int64_t out, int64_t in) {
  return {module + ".weight", module + ".bias", out, in};
}
NormSpec layer_norm(const std::string& module, float eps) {
  return {NormKind::layer, eps, module + ".weight", module + ".bias", 0};
}

BlockSpec build_block(const EncoderFields& e, const EncoderNames& names, const std::string& layer,
                      int64_t heads) {
  BlockSpec block;
  block.residual = Residual::post_norm;
  AttentionSpec& a = block.attention;
  a.heads = a.kv_heads = heads;
  a.head_dim = e.hidden / e.heads;
  const int64_t width = heads * a.head_dim;
  a.q = linear(layer + names.q, width, e.hidden);
  a.k = linear(layer + names.k, width, e.hidden);
  a.v = linear(layer + names.v, width, e.hidden);
  a.o = linear(layer + names.o, e.hidden, width);
  a.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)));
  a.causal = false;
  block.attention_norm = layer_norm(layer + names.attention_norm, e.norm_eps);
  block.mlp.up = linear(layer + names.up, e.ffn, e.hidden);
  block.mlp.down = linear(layer + names.down, e.hidden, e.ffn);
  block.mlp.activation = e.activation;
  block.mlp.width = e.ffn;
  block.mlp_norm = layer_norm(layer + names.mlp_norm, e.norm_eps);
  return block;
}

}  // namespace

EncoderFields read_encoder(const ConfigReader& config, const EncoderKeys& keys, std::string family,
                           std::string default_architecture) {
  EncoderFields e;
  e.family = std::move(family);
  const auto architectures = config.optional_texts("architectures");
  e.architecture = architectures && !architectures->empty() ? architectures->front()
                                                            : std::move(default_architecture);
  refuse_unsupported(config);
  e.vocab = config.size("vocab_size");
  e.hidden = config.size(keys.hidden);
  e.ffn = config.size(keys.ffn);
  e.heads = config.size(keys.heads);
  e.max_positions = config.size("max_position_embeddings");
  check_limits(config, keys, e);
  e.layer_heads = read_layer_heads(config, config.size(keys.layers), e.heads);
  e.activation = read_activation(config, keys.activation);
  const auto pad = config.ids("pad_token_id");
  if (pad.size() > 1) throw config.error("pad_token_id", "one token id is expected");
  if (!pad.empty()) e.pad_id = pad[0];
  if (e.architecture.ends_with(kClassifierSuffix)) {
    e.task = Task::classify;
    e.labels = read_labels(config);
    e.label_scores = read_label_scores(config, e.labels.size());
  }
  return e;
}

ModelSpec build_encoder(const EncoderFields& e, const EncoderNames& names) {
  ModelSpec spec;
  spec.family = e.family;
  spec.architecture = e.architecture;
  spec.task = e.task;
  spec.vocab = e.vocab;
  spec.hidden = e.hidden;
  spec.max_positions = e.max_positions;
  spec.position_offset = e.position_offset;
  spec.type_vocab = e.type_vocab;
  spec.pad_id = e.pad_id;
  // "BertModel" is the encoder itself; every other architecture has it below a prefix.
  const std::string prefix = e.architecture.ends_with("Model") ? "" : names.prefix;
  const std::string embeddings = prefix + "embeddings.";
  spec.embedding = embeddings + "word_embeddings.weight";
  spec.positions = embeddings + "position_embeddings.weight";
  if (e.type_vocab > 0) spec.token_types = embeddings + "token_type_embeddings.weight";
  spec.embedding_norm = layer_norm(embeddings + "LayerNorm", e.norm_eps);
  for (size_t i = 0; i < e.layer_heads.size(); ++i)
    spec.blocks.push_back(
        build_block(e, names, fmt::format("{}{}{}.", prefix, names.layers, i), e.layer_heads[i]));
  const bool classifies = e.task == Task::classify;
  spec.pooling = classifies ? Pooling::first_token : Pooling::mean;
  spec.pooler_activation = e.pooler_activation;
  if (*names.pooler != '\0' && !(classifies && *names.classifier_dense != '\0'))
    spec.pooler = linear(prefix + names.pooler, e.hidden, e.hidden);
  if (!classifies) return spec;
  if (*names.classifier_dense != '\0')
    spec.pooler = linear(names.classifier_dense, e.hidden, e.hidden);
  spec.classifier = linear(names.classifier, std::ssize(e.labels), e.hidden);
  spec.labels = e.labels;
  spec.label_scores = e.label_scores;
  return spec;
}

void fit_encoder(ModelSpec& spec, const WeightSource& weights, const EncoderNames& names) {
  const std::string prefix = names.prefix;
  const bool expected = spec.embedding.starts_with(prefix);
  const std::string bare = expected ? spec.embedding.substr(prefix.size()) : spec.embedding;
  const bool prefixed = weights.has(prefix + bare);
  const bool renamed = prefixed != expected && weights.has(prefixed ? prefix + bare : bare);
  const auto file_name = [&](const std::string& name) {
    if (!renamed) return name;
    if (!expected) return prefix + name;
    return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  };
  const auto old_name = [&](std::string name) {
    for (const auto& [now, once] : {std::pair("LayerNorm.weight", "LayerNorm.gamma"),
                                    std::pair("LayerNorm.bias", "LayerNorm.beta")})
      if (name.ends_with(now))
        name.replace(name.size() - std::strlen(now), std::string::npos, once);
    return name;
  };
  if (spec.task == Task::embed && !spec.pooler.weight.empty() &&
      !weights.has(file_name(spec.pooler.weight)))
    spec.pooler = {};
  for (const TensorSpec& tensor : tensors(spec)) {
    std::string name = file_name(tensor.name);
    if (!weights.has(name) && weights.has(old_name(name))) name = old_name(name);
    if (name != tensor.name)
      spec.stored.push_back({name, {{tensor.name, tensor.shape[0]}}, 1, false});
  }
  for (const char* head :
       {"cls.", "lm_head.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector."})
    spec.left_out.push_back(
        {head, "a head for pre-training, which this architecture does not use"});
  for (const std::string& start : {std::string(), prefix})
    spec.left_out.push_back(
        {start + "embeddings.position_ids", "it follows from the configuration"});
  if (spec.task == Task::classify && !spec.pooler.weight.starts_with(prefix) &&
      *names.pooler != '\0')
    spec.left_out.push_back({prefix + names.pooler + ".", "a pooler that this classifier lacks"});
}

void write_labels(const std::vector<std::string>& labels, ordered_json& config) {
  auto names = ordered_json::object(), ids = ordered_json::object();
  for (size_t i = 0; i < labels.size(); ++i) {
    names[std::to_string(i)] = labels[i];
    ids[labels[i]] = i;
  }
  config.erase("num_labels");
  config["id2label"] = std::move(names);
  config["label2id"] = std::move(ids);
}

void write_encoder(const ModelSpec& spec, ordered_json& config, const EncoderKeys& keys) {
  if (spec.blocks.empty()) throw bad_input("a model needs at least one layer", "config.json");
  const BlockSpec& first = spec.blocks.front();
  const int64_t heads = spec.hidden / first.attention.head_dim;
  auto pruned = ordered_json::object();
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    const BlockSpec& block = spec.blocks[i];
    if (block.mlp.width != first.mlp.width || block.attention.head_dim != first.attention.head_dim)
      throw bad_input(
          fmt::format("layer {} has other widths than layer 0; config.json can only say one", i),
          "config.json", "prune every layer to the same widths");
    // Which ones went no longer matters to the shapes; the last ones stand for them.
    auto gone = ordered_json::array();
    for (int64_t head = block.attention.heads; head < heads; ++head) gone.push_back(head);
    if (!gone.empty()) pruned[std::to_string(i)] = std::move(gone);
  }
  config["vocab_size"] = spec.vocab;
  config[keys.hidden] = spec.hidden;
  config[keys.ffn] = first.mlp.width;
  config[keys.layers] = spec.blocks.size();
  config[keys.heads] = heads;
  if (pruned.empty())
    config.erase("pruned_heads");
  else
    config["pruned_heads"] = std::move(pruned);
  if (spec.task == Task::classify) write_labels(spec.labels, config);
}

}  // namespace attar
