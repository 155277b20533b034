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
  std::vector<std::string> special_tokens = {"<|bos|>", "<|eos|>", "<|pad|>"};  // ids 0, 1, 2
};

/// A complete tokenizer.json (byte-level, Llama-3 style Split regex, BOS template). Deterministic:
/// ties go to the pair that comes first by ids. Throws bad_input when the text has too few pairs
/// for the size.
nlohmann::ordered_json train_byte_level_bpe(std::span<const std::string> documents,
                                            const BpeTrainerOptions& options);

}  // namespace attar
