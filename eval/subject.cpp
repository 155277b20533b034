#include "eval/subject.h"

#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/data/dataset.h"
#include "compress/formats/safetensors.h"
#include "compress/runtime/packed_cache.h"

namespace attar::eval {
namespace {

bool is_dense(const std::string& format) {
  return format == "F32" || format == "F16" || format == "BF16";
}

ModelSize size_of(const Model& model) {
  ModelSize size;
  for (const auto& info : model.weights->list()) {
    const int64_t count = element_count(info.shape);
    size.parameters += count;
    size.stored_bytes += info.bytes;
    if (is_dense(info.format)) continue;
    size.quantized_parameters += count;
    size.quantized_bytes += info.bytes;
  }
  size.file_bytes = model.weight_bytes;
  size.directory_bytes = bytes_on_disk(model.path);
  std::error_code none;
  if (const auto card = fs::file_size(model.path / "README.md", none); !none)
    size.directory_bytes -= card;  // tells of this very evaluation
  const auto packed = fs::file_size(packed_cache_path(model.path), none);
  if (!none && fs::is_directory(model.path))
    size.directory_bytes -= packed;  // the weights once more, made again at will
  return size;
}

/// What an adapter adds to a model's size on disk; its weights are stored beside the base's.
void add_adapter(const std::filesystem::path& directory, ModelSize& size) {
  const auto file = Safetensors::open(directory / "adapter_model.safetensors");
  for (const auto& tensor : file.tensors()) {
    size.parameters += tensor.count();
    size.stored_bytes += tensor.bytes.size();
  }
  size.file_bytes += fs::file_size(directory / "adapter_model.safetensors");
  size.directory_bytes += bytes_on_disk(directory);
}

}  // namespace

uint64_t Subject::memory_estimate() const {
  const auto dense = static_cast<uint64_t>(size.parameters - size.quantized_parameters);
  return 4 * dense + size.quantized_bytes + size.quantized_bytes / 4;
}

Subject open_subject(const EvaluationModel& model, bool text) {
  Subject subject;
  subject.name = model.name;
  subject.adapter = model.adapter;
  subject.packed_cache = model.packed_cache;
  subject.model = open_model(model.directory);
  subject.size = size_of(subject.model);
  if (!model.adapter.empty()) {
    subject.model = with_adapter(std::move(subject.model), model.adapter);
    add_adapter(model.adapter, subject.size);
  }
  try {
    subject.tokenizer = Tokenizer::load(model.directory);
    subject.tokenizer_note = subject.tokenizer->hash();
  } catch (const Error& e) {
    if (text) throw;
    subject.tokenizer_note = std::string("none: ") + e.what();
  }
  if (text && subject.model.spec.task == attar::Task::causal_lm)
    require_whole_texts(*subject.tokenizer, model.directory.string());
  if (subject.tokenizer && subject.tokenizer->vocab_size() > subject.model.spec.vocab)
    throw bad_input(fmt::format("the tokenizer has {} tokens, the model's embedding {} rows",
                                subject.tokenizer->vocab_size(), subject.model.spec.vocab),
                    model.directory.string(), "the tokenizer files belong to another model");
  return subject;
}

RuntimeOptions Subject::runtime(Activations activations) const {
  RuntimeOptions options;
  options.activations = activations;
  options.packed_cache = packed_cache;
  return options;
}

std::string activations_of(const Model& model, Activations chosen) {
  size_t quantized = 0, int8_inputs = 0;
  for (const auto& info : model.weights->list()) {
    quantized += !is_dense(info.format);
    int8_inputs += info.format.ends_with(" a8");
  }
  const std::string name(to_string(chosen));
  if (int8_inputs == 0) return name;
  return int8_inputs == quantized ? "int8 a row" : "int8 a row, elsewhere " + name;
}

namespace {

/// Every id stands for the same token, however the files spell out how text becomes ids: a GGUF
/// file and the directory that it was made from, say.
bool same_tokens(const Tokenizer& a, const Tokenizer& b) {
  if (a.vocab_size() != b.vocab_size()) return false;
  for (int32_t id = 0; id < a.vocab_size(); ++id)
    if (a.token(id) != b.token(id)) return false;
  return true;
}

}  // namespace

void require_comparable(const Subject& model, const Subject& reference) {
  const std::string hint =
      "choose a reference of the same family, or metrics without kl, top1 and delta_p";
  if (model.model.spec.vocab != reference.model.spec.vocab)
    throw bad_input(
        fmt::format("'{}' predicts {} ids and the reference '{}' {}: their distributions can't be "
                    "compared",
                    model.name, model.model.spec.vocab, reference.name, reference.model.spec.vocab),
        model.model.path.string(), hint);
  if (model.tokenizer && reference.tokenizer &&
      model.tokenizer->hash() != reference.tokenizer->hash() &&
      !same_tokens(*model.tokenizer, *reference.tokenizer))
    throw bad_input(
        fmt::format("'{}' and the reference '{}' have different tokenizers: their distributions "
                    "can't be compared",
                    model.name, reference.name),
        model.model.path.string(), hint);
}

}  // namespace attar::eval
