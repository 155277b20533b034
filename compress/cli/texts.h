// Texts for `attar classify` and `attar embed`: from the command line, a file or standard input, in
// batches, through an encoder.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "compress/cli/command.h"
#include "compress/deploy/text_encoder.h"

namespace attar::cli {

struct TextOptions {
  std::string model, text, second, file, activations;
  int64_t batch = 32;
  bool pairs = false, truncate = false, packed_cache = false;
};

/// The options that both commands have; `model` is positional.
po::options_description text_options(TextOptions& options);

/// bad_input unless exactly one of --text and --file was given, and for options that do not go
/// together.
void check_text_options(const Parsed& parsed, const Command& self, const TextOptions& options);

/// The model of the options; bad_input for one that does another task.
TextEncoder load_encoder(const TextOptions& options, Task task);

/// Sees one text's result, in the order of the texts.
using TextResult = std::function<void(std::span<float> result, const EncodedText& text)>;

/// Reads texts (one a line of a file) and gives each one's result as soon as its batch is done.
/// A text longer than the model takes is bad_input naming its line, unless it is to be cut; how
/// many were cut is said at the end.
void run_texts(const TextOptions& options, const TextEncoder& encoder, const TextResult& result);

}  // namespace attar::cli
