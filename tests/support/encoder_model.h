// Golden encoders with a tokenizer beside them.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/run_command.h"

namespace attar::testing {

/// Copies a golden encoder to `directory` (made, unless it is there) with a WordPiece tokenizer
/// whose ids fit its vocabulary of 256.
inline std::filesystem::path make_encoder(const std::string& fixture,
                                          const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  if (fs::exists(directory)) return directory;
  fs::create_directories(directory);
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy_file(golden(fixture) / file, directory / file);
  auto tokenizer =
      nlohmann::json::parse(slurp(golden("tokenizers") / "bert_wordpiece" / "tokenizer.json"));
  auto& vocab = tokenizer["model"]["vocab"];
  for (auto entry = vocab.begin(); entry != vocab.end();)
    entry = *entry >= 256 ? vocab.erase(entry) : std::next(entry);
  std::ofstream(directory / "tokenizer.json") << tokenizer.dump();
  return directory;
}

}  // namespace attar::testing
