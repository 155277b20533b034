#include "compress/training/batches.h"

namespace attar {
namespace {

nlohmann::ordered_json to_json(const DataFacts& facts) {
  return {{"source", facts.source},       {"documents", facts.documents},
          {"tokens", facts.tokens},       {"windows", facts.windows},
          {"window", facts.window},       {"dropped_tokens", facts.dropped_tokens},
          {"bos_added", facts.bos_added}, {"tokenizer_hash", facts.tokenizer_hash},
          {"sha256", facts.sha256}};
}

}  // namespace

nlohmann::ordered_json facts_of(const TokenWindows& examples, const TokenWindows* validation) {
  nlohmann::ordered_json facts = {{"data", to_json(examples.facts)}};
  if (validation) facts["validation_data"] = to_json(validation->facts);
  return facts;
}

}  // namespace attar
