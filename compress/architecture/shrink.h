// A small model of the same kind: what `attar smoke` builds its random models from.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace attar {

/// A config.json of the same family with the first layers only, as many as show every kind of layer
/// (two at least), and narrow: widths are multiples of 128, so that group-wise quantization fits,
/// heads are few but shared alike, windows slide within a short text. What the layers are (norms,
/// rotary scaling, biases, activation) stays. `where` is the place for messages. Throws bad_input
/// for a configuration that is wrong.
nlohmann::ordered_json shrunken_config(const nlohmann::ordered_json& config,
                                       const std::string& where);

}  // namespace attar
