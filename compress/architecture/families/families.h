// One function per file of this folder; the table in family.cpp lists them.
#pragma once

#include "compress/architecture/family.h"

namespace attar {

Family bitnet_family();
Family gemma2_family();
Family gemma3_family();
Family gpt2_family();
Family gpt_neox_family();
Family llama_family();
Family mistral_family();
Family phi3_family();
Family qwen2_family();
Family qwen3_family();
Family qwen3_5_family();
Family qwen3_next_family();
Family smollm3_family();
Family bert_family();
Family distilbert_family();
Family roberta_family();

}  // namespace attar
