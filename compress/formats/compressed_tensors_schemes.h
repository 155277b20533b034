// The `quantization_config` of a compressed-tensors model, read: which layers are quantized, and
// how.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/formats/pattern.h"
#include "compress/formats/quantized_matrix.h"

namespace attar::compressed_tensors {

enum class Storage { packed, plain };  // pack-quantized words, int-quantized bytes
enum class Strategy { tensor, channel, group };

/// How the weights of one config group are stored. scale_dtype is found in the tensors.
struct Scheme {
  std::string group;  // "group_0"
  Storage storage = Storage::packed;
  Strategy strategy = Strategy::group;
  QuantLayout layout;
};

class Schemes {
 public:
  /// Throws bad_input naming the key for everything that a QuantizedMatrix cannot say.
  Schemes(const nlohmann::ordered_json& quantization, std::string where);

  /// The scheme of a linear layer: exact names win over expressions, those over the class "Linear".
  const Scheme* find(std::string_view module) const;
  bool ignored(std::string_view module) const;

 private:
  /// An entry of `targets` or `ignore`: an exact name, a class name, or an expression after "re:".
  struct Selector {
    std::string name;
    std::optional<Pattern> pattern;
    enum Match { none, by_class, by_pattern, by_name };
    Match match(std::string_view module) const;
  };
  static std::vector<Selector> read_selectors(const nlohmann::ordered_json& list,
                                              const std::string& where);

  std::vector<std::pair<Scheme, std::vector<Selector>>> schemes_;
  std::vector<Selector> ignored_;
};

}  // namespace attar::compressed_tensors
