// A golden model that writes, with a tokenizer beside it whose ids are the bytes of a text.
#pragma once

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/run_command.h"

namespace attar::testing {

/// Makes `directory`, where `llama_gqa` (256 ids) finds tokens for ASCII's characters, tokens for
/// the other bytes, and a chat template: ids are random and so is the UTF-8 that they make.
inline std::filesystem::path make_byte_model(const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  fs::create_directories(directory);
  for (const char* file : {"config.json", "generation_config.json", "model.safetensors"})
    fs::copy_file(golden("llama_gqa") / file, directory / file);
  nlohmann::json tokenizer = {
      {"version", "1.0"},
      {"model", {{"type", "BPE"}, {"byte_fallback", true}, {"merges", nlohmann::json::array()}}},
      {"decoder",
       {{"type", "Sequence"}, {"decoders", {{{"type", "ByteFallback"}}, {{"type", "Fuse"}}}}}}};
  for (int byte = 0; byte < 256; ++byte)
    tokenizer["model"]["vocab"][byte < 128 ? std::string(1, static_cast<char>(byte))
                                           : fmt::format("<0x{:02X}>", byte)] = byte;
  std::ofstream(directory / "tokenizer.json") << tokenizer.dump();
  std::ofstream(directory / "chat_template.jinja")
      << "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
         "{% if add_generation_prompt %}<assistant>{% endif %}";
  return directory;
}

}  // namespace attar::testing
