// attar logits: a model's raw outputs for given ids, to compare implementations.
#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/cli/command.h"
#include "compress/cli/training.h"
#include "compress/formats/safetensors.h"
#include "compress/runtime/encoder.h"
#include "compress/runtime/model.h"

namespace attar::cli {
namespace {

/// `input_ids` [B, T] of the input file.
struct Batch {
  int64_t rows = 0, length = 0;
  std::vector<int32_t> ids;      // [rows, length]
  std::vector<int32_t> types;    // [rows, length], or empty
  std::vector<int64_t> lengths;  // [rows]: unmasked ids, which come first
};

/// Non-negative 32-bit values of an integer tensor.
std::vector<int32_t> read_ids(const TensorView& tensor, const std::string& where) {
  std::vector<int32_t> ids;
  for (const int64_t id : tensor.integers()) {
    if (id < 0 || id > INT32_MAX)
      throw bad_input(fmt::format("{} holds {}", tensor.name, id), where);
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

Batch read_batch(const fs::path& path) {
  const auto file = Safetensors::open(path);
  const auto& tensor = file.at("input_ids");
  if (tensor.shape.size() != 2 || tensor.count() == 0)
    throw bad_input("input_ids must be [batch, length] with at least one id", path.string());
  Batch batch{tensor.shape[0], tensor.shape[1], read_ids(tensor, path.string()), {}, {}};
  if (const auto* types = file.find("token_type_ids")) {
    if (types->shape != tensor.shape)
      throw bad_input("token_type_ids has another shape than input_ids", path.string());
    batch.types = read_ids(*types, path.string());
  }
  batch.lengths.assign(static_cast<size_t>(batch.rows), batch.length);
  const auto* mask = file.find("attention_mask");
  if (!mask) return batch;
  if (mask->shape != tensor.shape)
    throw bad_input("attention_mask has another shape than input_ids", path.string());
  const auto values = mask->integers();
  for (int64_t r = 0; r < batch.rows; ++r) {
    const auto row = std::span(values).subspan(static_cast<size_t>(r * batch.length),
                                               static_cast<size_t>(batch.length));
    const auto padding = std::find(row.begin(), row.end(), 0);
    if (std::find_if(padding, row.end(), [](int64_t m) { return m != 0; }) != row.end() ||
        padding == row.begin())
      throw bad_input(fmt::format("attention_mask row {} is not ones followed by zeros", r),
                      path.string(), "pad on the right");
    batch.lengths[static_cast<size_t>(r)] = padding - row.begin();
  }
  return batch;
}

/// A classifier's logits [B, labels], or vectors [B, hidden].
void encoder_results(const Model& opened, const Batch& batch, const fs::path& output,
                     const RuntimeOptions& options) {
  const auto model = EncoderModel::load(opened, options);
  std::vector<TextIds> texts;
  for (int64_t r = 0; r < batch.rows; ++r) {
    const auto first = static_cast<size_t>(r * batch.length);
    const auto count = static_cast<size_t>(batch.lengths[static_cast<size_t>(r)]);
    texts.push_back({std::span(batch.ids).subspan(first, count), {}});
    if (!batch.types.empty()) texts.back().types = std::span(batch.types).subspan(first, count);
  }
  const char* name = model->spec().task == Task::classify ? "logits" : "embedding";
  SafetensorsWriter writer(output, {{name, DType::f32, {batch.rows, model->width()}}});
  writer.write_floats(name, model->run(texts));
  writer.finish();
}

void runtime_logits(const fs::path& model_path, const fs::path& adapter, const fs::path& input,
                    const fs::path& output, const RuntimeOptions& options) {
  Model opened = open_model(model_path);
  if (!adapter.empty()) opened = with_adapter(std::move(opened), adapter);
  const auto batch = read_batch(input);
  if (opened.spec.task != Task::causal_lm) return encoder_results(opened, batch, output, options);
  if (!batch.types.empty())
    throw bad_input("token_type_ids are for encoders", input.string(),
                    fmt::format("{} reads no token types", opened.spec.architecture));
  const auto model = RuntimeModel::load(opened, options);
  const int64_t vocab = model->spec().vocab;
  SafetensorsWriter writer(output, {{"logits", DType::f32, {batch.rows, batch.length, vocab}}});
  // Positions behind a row's mask have no meaning; they are written as zeros.
  std::vector<float> logits(static_cast<size_t>(batch.rows * batch.length * vocab));
  for (int64_t r = 0; r < batch.rows; ++r) {
    check_interrupted();
    const auto length = batch.lengths[static_cast<size_t>(r)];
    Session(model).advance_all({batch.ids.data() + r * batch.length, static_cast<size_t>(length)},
                               logits.data() + r * batch.length * vocab);
  }
  writer.write_floats("logits", logits);
  writer.finish();
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string model, input, output, adapter, backend, activations;
  options.add_options()                                            //
      ("model", po::value(&model)->required(), "model directory")  //
      ("input", po::value(&input)->required(),
       "safetensors file with input_ids int64 [B, T], "
       "optionally attention_mask and token_type_ids int64 [B, T]")  //
      ("output", po::value(&output)->required(),
       "safetensors file to write: logits f32 [B, T, vocabulary], of a classifier [B, labels]; of "
       "an "
       "encoder without a head embedding f32 [B, hidden]")  //
      ("backend", po::value(&backend)->default_value("runtime"),
       "runtime (LibTorch-free) or torch (the trainable model)")  //
      ("activations", po::value(&activations)->default_value("exact"),
       "runtime: how inputs enter products with quantized weights: exact, int16 or int8")  //
      ("adapter", po::value(&adapter)->default_value(""), "PEFT adapter directory to apply");
  bool packed_cache = false;
  add_packed_cache(options, packed_cache);
  po::positional_options_description positional;
  positional.add("model", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  const RuntimeOptions runtime{parse_activations(activations, "--activations"), KvFormat::f32,
                               packed_cache};
  if (backend == "torch") {
    if (runtime.activations != Activations::exact)
      throw bad_input("the torch backend computes exactly", "--activations",
                      "use --backend runtime");
    if (packed_cache)
      throw bad_input("the torch backend packs nothing", "--packed-cache", "use --backend runtime");
    require_training();
    training_backend()->logits(model, adapter, input, output);
  } else if (backend == "runtime") {
    runtime_logits(model, adapter, input, output, runtime);
  } else {
    throw bad_input("unknown backend '" + backend + "'", "--backend", "known: runtime, torch");
  }
  say("wrote " + output);
  return 0;
}

}  // namespace

Command logits_command() {
  return {
      "logits", "MODEL --input IN.safetensors --output OUT.safetensors [options]",
      "raw outputs for given ids, in float32",
      "attar logits ./student --input ids.safetensors --output logits.safetensors\n"
      "attar logits ./student --input ids.safetensors --output logits.safetensors --backend torch",
      run};
}

}  // namespace attar::cli
