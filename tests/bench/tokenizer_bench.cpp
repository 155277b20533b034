// Encoding real text with real vocabularies, long runs that make bad algorithms slow, and loading.
#include <benchmark/benchmark.h>

#include "compress/tokenizer/tokenizer.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

const fs::path kShared = fs::path(ATTAR_SOURCE_DIR) / "../shared";

std::string some_text(const std::string& kind) {
  constexpr size_t kSize = 1'000'000;
  if (kind == "letters") return std::string(kSize, 'a');
  if (kind == "spaces") return std::string(kSize, ' ');
  if (kind == "digits") return std::string(kSize, '7');
  if (kind == "mixed letters") {  // without a space
    std::string text;
    for (size_t i = 0; i < kSize; ++i) text += static_cast<char>('a' + i * i % 26);
    return text;
  }
  return lossy_utf8(read_text(kShared / "datasets" / kind));
}

void encode(benchmark::State& state, const std::string& vocabulary, const std::string& kind) {
  const fs::path path = kShared / "tokenizers" / vocabulary;
  if (!fs::exists(path) || !fs::exists(kShared / "datasets")) {
    state.SkipWithError("absent");
    return;
  }
  const auto tokenizer = Tokenizer::load(path);
  const std::string text = some_text(kind);
  size_t ids = 0;
  for (auto _ : state) ids = tokenizer->encode(text).size();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(text.size()));
  state.counters["ids"] = static_cast<double>(ids);
}

void load(benchmark::State& state, const std::string& vocabulary) {
  const fs::path path = kShared / "tokenizers" / vocabulary;
  if (!fs::exists(path)) {
    state.SkipWithError("absent");
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(path));
}

[[maybe_unused]] const int kRegistered = [] {
  for (const char* vocabulary : {"llama3", "gpt2", "qwen", "llama2", "distilbert-base-uncased"}) {
    for (const char* kind : {"wikitext-2/test.txt", "tinyshakespeare/input.txt", "letters",
                             "spaces", "digits", "mixed letters"})
      benchmark::RegisterBenchmark((std::string("encode/") + vocabulary + "/" + kind).c_str(),
                                   encode, vocabulary, kind)
          ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark((std::string("load/") + vocabulary).c_str(), load, vocabulary)
        ->Unit(benchmark::kMillisecond);
  }
  return 0;
}();

}  // namespace
}  // namespace attar
