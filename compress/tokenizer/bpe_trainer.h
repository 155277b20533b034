// Trains a byte-level BPE tokenizer (Sennrich et al. 2016; GPT-2's byte alphabet) from text.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace attar {

struct BpeTrainerOptions {
  int64_t vocab_size = 2048;  // including 256 bytes and the special tokens
  /// Ids 0, 1, 2, …: begin, end and padding token, then others.
  std::vector<std::string> special_tokens = {"<|bos|>", "<|eos|>", "<|pad|>"};
};

/// A complete tokenizer.json (byte-level, Llama-3 style Split regex, BOS template). Deterministic:
/// ties go to the pair that comes first by ids. Throws bad_input when the text has too few pairs
/// (that occur twice) for the size.
nlohmann::ordered_json train_byte_level_bpe(std::span<const std::string> documents,
                                            const BpeTrainerOptions& options);

/// The tokenizer_config.json that belongs to it: which tokens begin, end and pad a text.
nlohmann::ordered_json trained_tokenizer_config(const BpeTrainerOptions& options);

}  // namespace attar
