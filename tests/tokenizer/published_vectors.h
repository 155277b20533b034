// Texts and ids published by llama.cpp for real vocabularies, where they lie beside the source
// tree.
#pragma once

#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "compress/base/files.h"

namespace attar::testing_vectors {

inline fs::path tokenizers() {
  return fs::path(ATTAR_SOURCE_DIR) / "../shared/tokenizers";
}
/// "…/ggml-vocab-NAME.gguf"; the file itself is there for some names only.
inline fs::path gguf_path(const std::string& name) {
  return tokenizers() / "llama.cpp-vectors" / ("ggml-vocab-" + name + ".gguf");
}

/// The pieces between `separator`s.
inline std::vector<std::string> parts(const std::string& text, const std::string& separator) {
  std::vector<std::string> result;
  size_t at = 0;
  for (size_t found; (found = text.find(separator, at)) != std::string::npos;
       at = found + separator.size())
    result.push_back(text.substr(at, found - at));
  result.push_back(text.substr(at));
  return result;
}

struct Case {
  std::string text;
  std::vector<int32_t> ids;
};

/// Nothing where the files are not there.
inline std::optional<std::vector<Case>> published(const std::string& name) {
  const std::string base = gguf_path(name).string();
  if (!fs::exists(base + ".inp")) return {};
  const auto texts = parts(read_text(base + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = parts(read_text(base + ".out"), "\n");
  std::vector<Case> cases;
  for (size_t i = 0; i < std::min(texts.size(), lines.size()); ++i) {
    cases.push_back({texts[i], {}});
    std::istringstream numbers(lines[i]);
    for (int32_t id; numbers >> id;) cases.back().ids.push_back(id);
  }
  return cases;
}

}  // namespace attar::testing_vectors
