#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "compress/architecture/family.h"
#include "compress/architecture/storage.h"
#include "compress/base/error.h"

namespace attar {
namespace {

constexpr size_t kMostListed = 20;

using Listing = std::map<std::string_view, const WeightInfo*>;

/// Buffers that old checkpoints stored although they follow from the configuration: rotary
/// frequencies, the triangle of causal attention and the value that hides a position.
bool is_recomputed(const WeightInfo& info) {
  const std::string_view name = info.name;
  if (name.ends_with(".rotary_emb.inv_freq")) return true;
  if (name.ends_with(".attn.bias") || name.ends_with(".attention.bias"))
    return info.shape.size() == 4 && info.shape[2] == info.shape[3];
  return info.shape.empty() &&
         (name.ends_with(".attn.masked_bias") || name.ends_with(".attention.masked_bias"));
}

const WeightInfo* find(const Listing& listing, std::string_view name) {
  const auto found = listing.find(name);
  return found == listing.end() ? nullptr : found->second;
}

/// One configuration key against the dimension of the tensor that shows it best.
void compare(const Listing& listing, const Storage& storage, const char* key, int64_t configured,
             const std::string& tensor, size_t dimension, std::vector<std::string>& problems) {
  const WeightInfo* info = find(listing, storage.stored_name(tensor));
  if (info == nullptr || info->shape.size() != 2) return;
  const auto* place = storage.find(tensor);
  const bool turned = place != nullptr && place->whole->transposed && !is_code_layout(info->format);
  const size_t at = turned ? 1 - dimension : dimension;
  int64_t found = info->shape[at];
  if (place != nullptr && dimension == 0) found = found * place->rows / place->unit_rows;
  if (found == configured) return;
  problems.push_back(fmt::format("{} is {}, but {} has {} {}{}", key, configured, info->name,
                                 info->shape[at], at == 0 ? "rows" : "columns",
                                 found == info->shape[at] ? "" : " in all"));
}

/// "model.layers.7.mlp…" of layers that the configuration does not have.
int64_t stored_layers(const ModelSpec& spec, const Listing& listing) {
  const BlockSpec& block = spec.blocks.front();
  const std::string& first =
      block.mlp.down.weight.empty() ? block.attention_norm.weight : block.mlp.down.weight;
  const size_t digit = first.find(".0.");
  if (digit == std::string::npos) return 0;
  int64_t layers = 0;
  while (listing.contains(
      fmt::format("{}.{}.{}", first.substr(0, digit), layers, first.substr(digit + 3))))
    ++layers;
  return layers;
}

/// Contradictions between config.json and weights, each said once instead of at every tensor.
std::vector<std::string> contradictions(const ModelSpec& spec, const Listing& listing) {
  std::vector<std::string> problems;
  const Storage storage(spec);
  compare(listing, storage, "vocab_size", spec.vocab, spec.embedding, 0, problems);
  compare(listing, storage, "hidden_size", spec.hidden, spec.embedding, 1, problems);
  const BlockSpec& block = spec.blocks.front();
  compare(listing, storage, "intermediate_size", block.mlp.width, block.mlp.up.weight, 0, problems);
  const int64_t layers = stored_layers(spec, listing);
  if (layers > 0 && layers != static_cast<int64_t>(spec.blocks.size()))
    problems.push_back(fmt::format("num_hidden_layers is {}, but the weights have {} layers",
                                   spec.blocks.size(), layers));
  compare(listing, storage, "the number of labels (id2label)", std::ssize(spec.labels),
          spec.classifier.weight, 0, problems);
  const std::string_view head = "lm_head.weight";
  if (!spec.tied && spec.head.weight == head && find(listing, head) == nullptr)
    problems.push_back(
        "tie_word_embeddings is false (the default when absent), but there is no lm_head.weight");
  return problems;
}

bool same_values(const WeightSource& weights, std::string_view a, std::string_view b) {
  const Weight first = weights.load(a), second = weights.load(b);
  const auto* x = std::get_if<DenseTensor>(&first);
  const auto* y = std::get_if<DenseTensor>(&second);
  return x != nullptr && y != nullptr && x->dtype == y->dtype && x->shape == y->shape &&
         std::memcmp(x->bytes.data(), y->bytes.data(), x->bytes.size()) == 0;
}

bool holds_integers(const WeightInfo& info) {
  const auto dtype = dtype_from_name(info.format);
  return dtype && !is_float(*dtype);
}

}  // namespace

std::vector<std::string> check_weights(const ModelSpec& spec, const WeightSource& weights,
                                       const std::string& where) {
  Listing listing;
  for (const WeightInfo& info : weights.list()) listing.emplace(info.name, &info);
  std::vector<std::string> problems = contradictions(spec, listing), passed_over;

  std::set<std::string_view> expected;
  auto all = stored_tensors(spec);
  const Storage storage(spec);
  for (TensorSpec& tensor : all) {
    expected.insert(tensor.name);
    const WeightInfo* info = find(listing, tensor.name);
    const StoredTensor* whole = storage.whole(tensor.name);
    if (info != nullptr && whole != nullptr && whole->transposed && is_code_layout(info->format))
      std::swap(tensor.shape.front(), tensor.shape.back());
    if (info == nullptr)
      problems.push_back(
          fmt::format("missing: {} [{}]", tensor.name, fmt::join(tensor.shape, ", ")));
    else if (info->shape != tensor.shape)
      problems.push_back(fmt::format("wrong shape: {} is [{}], expected [{}]", tensor.name,
                                     fmt::join(info->shape, ", "), fmt::join(tensor.shape, ", ")));
    else if (holds_integers(*info))
      problems.push_back(fmt::format("not floats: {} is {}", tensor.name, info->format));
  }
  for (const WeightInfo& info : weights.list()) {
    if (expected.contains(info.name)) continue;
    const auto left_out = std::find_if(
        spec.left_out.begin(), spec.left_out.end(),
        [&](const ModelSpec::LeftOut& part) { return info.name.starts_with(part.prefix); });
    if (left_out != spec.left_out.end()) {
      passed_over.push_back(fmt::format("passed over {}: {}", info.name, left_out->reason));
    } else if (is_recomputed(info)) {
      passed_over.push_back("passed over " + info.name + ": it follows from the configuration");
    } else if (spec.tied && info.name == "lm_head.weight") {
      if (same_values(weights, info.name, spec.embedding))
        passed_over.push_back("passed over " + info.name + ": it equals the tied embedding");
      else
        problems.push_back(
            "tie_word_embeddings is true, but lm_head.weight differs from the embedding");
    } else {
      problems.push_back(fmt::format("left over: {} [{}]", info.name, fmt::join(info.shape, ", ")));
    }
  }
  if (problems.empty()) return passed_over;

  const size_t count = problems.size();
  if (count > kMostListed) {
    problems.resize(kMostListed);
    problems.push_back(fmt::format("… and {} more", count - kMostListed));
  }
  throw bad_input(fmt::format("config.json and weights contradict each other in {} points:\n  - {}",
                              count, fmt::join(problems, "\n  - ")),
                  where, "the files are not of the same model, or the model was cut short");
}

}  // namespace attar
