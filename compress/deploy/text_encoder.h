// Labels and vectors of texts: what `attar classify`, `attar embed` and the C interface share.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/runtime/encoder.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

/// A text, or a pair of texts that is read as one.
struct TextInput {
  std::string_view first;
  std::optional<std::string_view> second;
};

/// An encoder and its tokenizer.
struct TextEncoder {
  std::string where;  // the model
  std::shared_ptr<const EncoderModel> model;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: none is there
  int64_t limit = 0;                           // ids of the longest text that it takes

  /// Throws what EncoderModel::load and check_vocabulary do.
  static TextEncoder load(const Model& opened, std::shared_ptr<const Tokenizer> tokenizer,
                          const RuntimeOptions& options);

  /// bad_input unless the model does this task.
  void require(Task task) const;
  /// The ids of a text; bad_input at `place` when there are none, or more than `limit` and they are
  /// not to be cut.
  EncodedText encode(const TextInput& text, bool truncate, const std::string& place) const;
};

}  // namespace attar
