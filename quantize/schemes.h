// Quantization schemes by the names that the field uses. A scheme is one row of the table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/formats/levels.h"
#include "compress/pipeline/gguf/mixtures.h"

namespace attar {

struct Scheme {
  std::string_view name, summary;
  int bits = 4;
  bool symmetric = true;
  std::string_view activations = "float";         // how activations enter the product
  int64_t group = 128;                            // default group size
  const gguf_export::Mixture* mixture = nullptr;  // of a GGUF scheme, whose types say the rest
  Levels levels = Levels::integers;               // what codes stand for
};

/// The table: layouts of codes, then the mixtures of GGUF block types ("Q4_K_M").
std::span<const Scheme> schemes();
/// The row of that name, or bad_input listing what is offered; `where` is the key's place.
const Scheme& find_scheme(std::string_view name, const std::string& where);
std::vector<std::string> scheme_names();
/// True for the name of a GGUF scheme.
bool is_gguf_scheme(std::string_view name);
/// What the codes of that scheme stand for; of an unknown one integers.
Levels levels_of(std::string_view name);

}  // namespace attar
