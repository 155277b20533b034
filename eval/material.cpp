#include "eval/material.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/kernels/matmul.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kWindow = 2048, kChunk = 512;
constexpr int64_t kPrompts = 4, kPromptIds = 32;

std::string sha256_of(const std::vector<int32_t>& ids) {
  return Sha256().update(std::as_bytes(std::span(ids))).hex();
}

class Maker {
 public:
  Maker(const EvaluationRequest& request, const Subject& subject, int64_t positions)
      : request_(request), subject_(subject), positions_(positions) {}

  TokenWindows windows(int64_t length) const {
    auto windows = evaluation_windows(request_.data, subject_.tokenizer.get(), length,
                                      subject_.model.spec.vocab, request_.seed);
    if (windows.window < 2)
      throw bad_input("a window of one id predicts nothing", request_.data.path.string());
    if (windows.window > positions_)
      throw bad_input(fmt::format("windows of {} ids are longer than the {} positions that every "
                                  "model has",
                                  windows.window, positions_),
                      request_.data.path.string(), "choose a smaller --window");
    return windows;
  }

  int64_t window() const { return request_.window.value_or(std::min(kWindow, positions_)); }

  Scorable whole(const TokenWindows& windows) const {
    Json details = details_of(windows.facts);
    details["bos"] = ids() ? "none: ids as they stand"
                           : fmt::format("{} added by the tokenizer's template, to the whole text",
                                         windows.facts.bos_added);
    return {whole_windows(windows), common(details, "windows")};
  }

  Scorable chunks() const {
    const auto windows = this->windows(std::min(kChunk, positions_));
    std::optional<int32_t> bos;
    if (!ids() && windows.facts.bos_added > 0) bos = subject_.tokenizer->bos();
    Json details = details_of(windows.facts);
    details["bos"] = bos     ? "in the place of each chunk's first token"
                     : ids() ? "none: ids as they stand"
                             : "none: the tokenizer's template adds none";
    details["predicted"] = "the second half of each chunk";
    return {second_halves(windows, bos), common(details, "chunks")};
  }

  Scorable documents(std::vector<TextSize>& sizes) const {
    if (ids())
      throw bad_input("words and bytes are counted in texts, and the data are ids",
                      request_.data.path.string(), "leave out lm_eval_word and lm_eval_byte");
    const Tokenizer& tokenizer = *subject_.tokenizer;
    const auto prefix = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
    if (!prefix)
      throw bad_input("the tokenizer names neither BOS nor EOS, one of which begins each document",
                      subject_.model.path.string(), "add bos_token to tokenizer_config.json");
    std::vector<std::vector<int32_t>> encoded;
    TextSize total;
    for (const auto& text : load_documents(request_.data)) {
      encoded.push_back(tokenizer.encode(text, false));
      sizes.push_back(text_size(text));
      total.words += sizes.back().words;
      total.bytes += sizes.back().bytes;
    }
    Scorable set{rolling(encoded, *prefix, window()), {}};
    if (set.sequences.list.empty())
      throw bad_input("the documents are empty", request_.data.path.string());
    set.details = common({{"window", window()},
                          {"documents", encoded.size()},
                          {"words", total.words},
                          {"bytes", total.bytes},
                          {"bos", tokenizer.bos() ? "before each document"
                                                  : "EOS before each document: there is no BOS"},
                          {"data", request_.data.path.string()},
                          {"data_sha256", sha256_of(set.sequences.ids)}},
                         "documents");
    return set;
  }

  /// The beginnings of some windows, spread over the data.
  void prompts(const TokenWindows& windows, Material& material) const {
    const int64_t count = std::min(kPrompts, windows.count());
    const int64_t length = std::max<int64_t>(1, std::min(kPromptIds, windows.window / 2));
    for (int64_t i = 0; i < count; ++i) {
      const auto window =
          windows.at(i * windows.count() / count).first(static_cast<size_t>(length));
      material.prompts.emplace_back(window.begin(), window.end());
      const auto& ids = material.prompts.back();
      material.prompt_texts.push_back(subject_.tokenizer ? subject_.tokenizer->decode(ids, true)
                                                         : fmt::format("{}", fmt::join(ids, " ")));
    }
  }

  EncodedTask task(const std::shared_ptr<const LoadedTask>& task) const {
    auto encoded = encode_task(task, *subject_.tokenizer, request_.window.value_or(positions_));
    for (const int32_t id : encoded.sequences.ids)
      if (id >= subject_.model.spec.vocab)
        throw bad_input(
            fmt::format("the tokenizer gives the id {}, and the model's vocabulary ends "
                        "at {}",
                        id, subject_.model.spec.vocab - 1),
            subject_.model.path.string());
    return encoded;
  }

  Json common(Json details, const char* units) const {
    details["tokenizer"] = subject_.tokenizer_note;
    details["activations"] = to_string(request_.activations);
    details["kernel"] = kernel_name();
    details["units"] = units;
    details["resamples"] = Bootstrap::kResamples;
    details["seed"] = request_.seed;
    return details;
  }

 private:
  bool ids() const { return is_ids(request_.data); }

  static Json details_of(const DataFacts& facts) {
    return {{"window", facts.window},
            {"windows", facts.windows},
            {"dropped_tokens", facts.dropped_tokens},
            {"data", facts.source},
            {"data_sha256", facts.sha256}};
  }

  const EvaluationRequest& request_;
  const Subject& subject_;
  int64_t positions_;
};

Json details_of(const EncodedTask& encoded) {
  const LoadedTask& task = *encoded.task;
  return {{"task", task.name},
          {"shape", task.shape},
          {"shots", task.shots},
          {"examples", task.examples.size()},
          {"examples_in_file", task.of},
          {"bos", encoded.bos ? "before each prompt, by the tokenizer's template"
                              : "none: the tokenizer's template adds none"},
          {"truncated_prompts", encoded.truncated},
          {"data", task.path},
          {"data_sha256", task.sha256}};
}

}  // namespace

bool is_ids(const DataSpec& data) {
  return data.format == "ids" || (data.format.empty() && data.path.extension() == ".safetensors");
}

Json Material::identity(const Metric& metric, size_t task) const {
  switch (metric.needs) {
    case Needs::windows:
      return windows.details;
    case Needs::chunks:
      return chunks.details;
    case Needs::documents:
      return documents.details;
    case Needs::task:
      return tasks[task].details;
    case Needs::prompts:
      return prompts;
    case Needs::files:
    case Needs::labels:
    case Needs::classes:
    case Needs::neighbours:
    case Needs::similarity:
    case Needs::vectors:
    case Needs::measurement:
      return {};
  }
  return {};
}

Material prepare_material(const EvaluationRequest& request, const Choice& choice,
                          const std::vector<std::shared_ptr<const LoadedTask>>& tasks,
                          const Subject& subject, int64_t positions) {
  const Maker make(request, subject, positions);
  Material material;
  if (choice.needs(Needs::windows) || choice.needs(Needs::prompts)) {
    const TokenWindows windows = make.windows(make.window());
    if (choice.needs(Needs::windows)) material.windows = make.whole(windows);
    if (choice.needs(Needs::prompts)) make.prompts(windows, material);
  }
  if (choice.needs(Needs::chunks)) material.chunks = make.chunks();
  if (choice.needs(Needs::documents)) material.documents = make.documents(material.document_sizes);
  if (choice.needs(Needs::task))
    for (const auto& task : tasks) {
      auto& encoded = material.tasks.emplace_back(make.task(task));
      encoded.details = make.common(details_of(encoded), "examples");
    }
  return material;
}

void require_same_ids(const Material& model, const Material& reference, const Subject& subject,
                      const std::string& reference_name) {
  bool same = model.prompts == reference.prompts && model.tasks.size() == reference.tasks.size() &&
              model.windows.sequences.ids == reference.windows.sequences.ids &&
              model.chunks.sequences.ids == reference.chunks.sequences.ids &&
              model.documents.sequences.ids == reference.documents.sequences.ids;
  for (size_t t = 0; same && t < model.tasks.size(); ++t)
    same = model.tasks[t].sequences.ids == reference.tasks[t].sequences.ids;
  if (!same)
    throw bad_input(
        fmt::format("'{}' and the reference '{}' turn this text into different ids: their "
                    "distributions can't be compared",
                    subject.name, reference_name),
        subject.model.path.string(),
        "give the data as ids (a safetensors file), or leave out kl, top1 and delta_p");
}

}  // namespace attar::eval
