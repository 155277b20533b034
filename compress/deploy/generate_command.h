// `attar generate` and attar-run: the same options, the same text.
#pragma once

#include <string>

#include "compress/deploy/command_line.h"
#include "compress/runtime/model.h"

namespace attar {

struct GenerateArguments {
  std::string path, prompt, system, activations, kv;
  int64_t limit = 256;
  SamplingOptions sampling;
  bool echo = false, chat = false, packed_cache = false;
};

/// Fills `arguments`, which must outlive the parsing; "model" is positional.
po::options_description generate_options(GenerateArguments& arguments);

/// Writes the text to standard output as it comes (or, with `json`, all at the end) and says on
/// standard error how long it took.
void generate_text(const GenerateArguments& arguments, bool json);

}  // namespace attar
