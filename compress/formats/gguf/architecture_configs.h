// The keys of config.json behind a GGUF file's metadata, one function an architecture. Each throws
// bad_input naming the key that is missing or contradicts another.
#pragma once

#include <nlohmann/json.hpp>

#include "compress/formats/gguf/file.h"

namespace attar::gguf {

void read_llama(const File& file, nlohmann::ordered_json& config);
void read_qwen(const File& file, nlohmann::ordered_json& config);
void read_smollm3(const File& file, nlohmann::ordered_json& config);
void read_gemma2(const File& file, nlohmann::ordered_json& config);
void read_gemma3(const File& file, nlohmann::ordered_json& config);
void read_phi3(const File& file, nlohmann::ordered_json& config);
void read_gpt2(const File& file, nlohmann::ordered_json& config);
void read_gptneox(const File& file, nlohmann::ordered_json& config);
void read_bert(const File& file, nlohmann::ordered_json& config);
void read_bitnet(const File& file, nlohmann::ordered_json& config);
void read_qwen3_next(const File& file, nlohmann::ordered_json& config);
void read_qwen3_5(const File& file, nlohmann::ordered_json& config);

}  // namespace attar::gguf
