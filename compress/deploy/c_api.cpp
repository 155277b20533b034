#include "compress/deploy/c_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>

#include "compress/base/error.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"

namespace attar::c_api {
namespace {

thread_local std::string last_error;

attar_status remember(const Error& error) noexcept {
  try {
    last_error = error.block();
  } catch (...) {
    last_error.clear();  // no memory even for the message
  }
  return error.code() == ExitCode::bad_input ? ATTAR_BAD_INPUT : ATTAR_FAILED;
}

RuntimeOptions runtime_options(const attar_model_options& options) {
  RuntimeOptions runtime;
  if (options.activations != nullptr)
    runtime.activations = parse_activations(options.activations, "option activations");
  if (options.kv_cache != nullptr)
    runtime.kv = parse_kv_format(options.kv_cache, "option kv_cache");
  runtime.packed_cache = options.packed_cache != 0;
  return runtime;
}

std::unique_ptr<attar_model> open(const char* path, const attar_model_options& options) {
  const RuntimeOptions runtime = runtime_options(options);
  const Model opened = open_model(path);
  auto model = std::make_unique<attar_model>();
  model->spec = opened.spec;
  model->where = path;
  for (const auto& note : opened.notes) model->notes += note + "\n";
  model->tokenizer = Tokenizer::find(path);
  if (opened.spec.task == Task::causal_lm)
    model->text = TextModel::load(opened, model->tokenizer, runtime);
  else
    model->encoder = TextEncoder::load(opened, model->tokenizer, runtime);
  return model;
}

/// Copies a result to where the caller has room for `capacity` items, `terminator` included.
template <class Items, class Item>
attar_status give(const Items& items, size_t terminator, Item* out, size_t capacity,
                  size_t* count) {
  *count = items.size();
  const size_t needed = items.size() + terminator;
  if (needed > capacity) {
    remember(bad_input(fmt::format("the result needs room for {}, not {}", needed, capacity),
                       "capacity", "ask again with that much"));
    return ATTAR_BUFFER_TOO_SMALL;
  }
  std::copy(items.begin(), items.end(), out);
  if (terminator > 0) out[items.size()] = Item{};
  return ATTAR_OK;
}

/// Results of texts, [count, width], some at a time.
void run_texts(const TextEncoder& encoder, const char* const* texts, const char* const* pairs,
               size_t count, bool truncate, float* results) {
  constexpr size_t kBatch = 32;
  const auto width = static_cast<size_t>(encoder.model->width());
  for (size_t first = 0; first < count; first += kBatch) {
    std::vector<EncodedText> encoded;
    for (size_t i = first; i < std::min(count, first + kBatch); ++i) {
      const std::string place = fmt::format("texts[{}]", i);
      require(texts[i], place.c_str());
      TextInput input{texts[i], {}};
      if (pairs != nullptr) {
        require(pairs[i], fmt::format("pairs[{}]", i).c_str());
        input.second = pairs[i];
      }
      encoded.push_back(encoder.encode(input, truncate, place));
    }
    std::vector<TextIds> ids;
    for (const auto& text : encoded) ids.push_back({text.ids, text.types});
    const auto values = encoder.model->run(ids);
    std::copy(values.begin(), values.end(), results + first * width);
  }
}

const TextEncoder& encoder_of(const attar_model& model, Task task) {
  if (!model.encoder)
    throw bad_input(fmt::format("{} writes text; it is neither a classifier nor an embedder",
                                model.spec.architecture),
                    model.where, "attar_session_new() writes with it");
  model.encoder->require(task);
  return *model.encoder;
}

}  // namespace

attar_status remember_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return remember(error);
  } catch (const std::bad_alloc&) {
    return remember(failure("out of memory"));
  } catch (const std::exception& error) {
    return remember(failure(error.what()));
  } catch (...) {
    return remember(failure("an exception of unknown kind"));
  }
}

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) throw bad_input("a pointer is NULL", name);
}

}  // namespace attar::c_api

using namespace attar;
using namespace attar::c_api;

const char* attar_version(void) {
  return ATTAR_VERSION;
}

const char* attar_last_error(void) {
  return last_error.c_str();
}

attar_status attar_set_threads(int threads) {
  return guarded([&] {
    if (threads < 1 || threads > 1024)
      throw bad_input(fmt::format("must be between 1 and 1024, not {}", threads), "threads");
    set_thread_count(threads);
    return ATTAR_OK;
  });
}

attar_status attar_model_open(const char* path, const attar_model_options* options,
                              attar_model** model) {
  return guarded([&] {
    require(path, "path");
    require(model, "model");
    set_quiet(true);  // an application's standard error is its own
    *model = open(path, options != nullptr ? *options : attar_model_options{}).release();
    return ATTAR_OK;
  });
}

void attar_model_free(attar_model* model) {
  delete model;
}

attar_task attar_model_task(const attar_model* model) {
  if (model->text) return ATTAR_WRITES_TEXT;
  return model->spec.task == Task::classify ? ATTAR_CLASSIFIES : ATTAR_EMBEDS;
}

int64_t attar_model_vocab(const attar_model* model) {
  return model->spec.vocab;
}

int64_t attar_model_positions(const attar_model* model) {
  return model->encoder ? model->encoder->limit : model->spec.max_positions;
}

int64_t attar_model_width(const attar_model* model) {
  return model->encoder ? model->encoder->model->width() : model->spec.vocab;
}

const char* attar_model_label(const attar_model* model, int64_t label) {
  const auto& labels = model->spec.labels;
  if (!model->encoder || label < 0 || label >= std::ssize(labels)) return nullptr;
  return labels[static_cast<size_t>(label)].c_str();
}

const char* attar_model_notes(const attar_model* model) {
  return model->notes.c_str();
}

attar_status attar_tokenize(const attar_model* model, const char* text, int special, int32_t* ids,
                            size_t capacity, size_t* count) {
  return guarded([&] {
    require(model, "model");
    require(text, "text");
    require(count, "count");
    const Tokenizer& tokenizer = require_tokenizer(model->tokenizer, model->where);
    return give(tokenizer.encode(text, special != 0), 0, ids, capacity, count);
  });
}

attar_status attar_detokenize(const attar_model* model, const int32_t* ids, size_t count,
                              int skip_special, char* text, size_t capacity, size_t* length) {
  return guarded([&] {
    require(model, "model");
    require(length, "length");
    if (count > 0) require(ids, "ids");
    const Tokenizer& tokenizer = require_tokenizer(model->tokenizer, model->where);
    return give(tokenizer.decode({ids, count}, skip_special != 0), 1, text, capacity, length);
  });
}

attar_status attar_classify(const attar_model* model, const char* const* texts,
                            const char* const* pairs, size_t count, int truncate, float* scores) {
  return guarded([&] {
    require(model, "model");
    require(texts, "texts");
    require(scores, "scores");
    const TextEncoder& encoder = encoder_of(*model, Task::classify);
    run_texts(encoder, texts, pairs, count, truncate != 0, scores);
    const auto width = static_cast<size_t>(encoder.model->width());
    for (size_t i = 0; i < count; ++i) {
      const std::span row(scores + i * width, width);
      const auto values = label_scores(row, model->spec.label_scores);
      std::transform(values.begin(), values.end(), row.begin(),
                     [](double value) { return static_cast<float>(value); });
    }
    return ATTAR_OK;
  });
}

attar_status attar_embed(const attar_model* model, const char* const* texts, size_t count,
                         int truncate, float* vectors) {
  return guarded([&] {
    require(model, "model");
    require(texts, "texts");
    require(vectors, "vectors");
    const TextEncoder& encoder = encoder_of(*model, Task::embed);
    run_texts(encoder, texts, nullptr, count, truncate != 0, vectors);
    const auto width = static_cast<size_t>(encoder.model->width());
    for (size_t i = 0; i < count && model->spec.normalize; ++i)
      normalize_vector({vectors + i * width, width});
    return ATTAR_OK;
  });
}
