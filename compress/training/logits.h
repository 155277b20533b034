// `attar logits --backend torch`, and what LibTorch this program has. Free of LibTorch's headers.
#pragma once

#include <filesystem>
#include <string>

namespace attar {

/// Outputs of the trainable model in float32. Reads from the safetensors file `input`: input_ids
/// int64 [B, T], and where they are there attention_mask (ones, then zeros) and token_type_ids,
/// both like it. Writes to `output`: logits float32 [B, T, vocab], zeros behind a row's mask; of a
/// classifier [B, labels]; of an encoder without one embedding float32 [B, hidden], not normalized.
/// `adapter` is a PEFT directory to be added to the model, or "". Throws bad_input: ids or types
/// outside the model's, a missing tensor, another shape, padding elsewhere than on the right.
void torch_logits(const std::filesystem::path& model, const std::filesystem::path& adapter,
                  const std::filesystem::path& input, const std::filesystem::path& output);

/// "LibTorch 1.13.1, AVX512, OpenBLAS …"
std::string torch_description();

}  // namespace attar
