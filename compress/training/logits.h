// `attar logits --backend torch`, and what LibTorch this program has. Free of LibTorch's headers.
#pragma once

#include <filesystem>
#include <string>

namespace attar {

/// Logits of the trainable model in float32: reads input_ids int64 [B, T] from the safetensors file
/// `input`, writes logits float32 [B, T, vocab] to `output`. `adapter` is a PEFT directory to be
/// added to the model, or "". Throws bad_input: ids outside the vocabulary, a missing tensor,
/// padding (causal models take whole rows).
void torch_logits(const std::filesystem::path& model, const std::filesystem::path& adapter,
                  const std::filesystem::path& input, const std::filesystem::path& output);

/// "LibTorch 1.13.1, AVX512, OpenBLAS …"
std::string torch_description();

}  // namespace attar
