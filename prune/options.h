// The options of the prune stage.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "compress/recipe/options.h"

namespace attar {

struct KeepOptions {
  std::optional<double> ffn, heads, layers;

  template <class Visitor>
  void fields(Visitor& v) {
    v("ffn", ffn, "FFN neurons that stay (width): a share up to 1, or a count", above(0));
    v("heads", heads,
      "attention heads that stay (width), in whole groups that share keys and values: a share up "
      "to 1, or "
      "a count",
      above(0));
    v("layers", layers, "layers that stay (depth): a share up to 1, or a count", above(0));
  }
};

struct PruneOptions {
  std::string method = "width";
  KeepOptions keep;
  std::string criterion = "auto", data;
  int64_t multiple_of = 32;
  int64_t protect_first = 1, protect_last = 1;
  std::string compensate = "none";

  template <class Visitor>
  void fields(Visitor& v) {
    v("method", method, "width: FFN neurons and heads; depth: whole layers",
      one_of("width", "depth"));
    v("keep", keep, "how much stays");
    v("criterion", criterion,
      "what decides; auto: activation for width, block_influence for depth; see `attar list "
      "criteria`");
    v("data", data, "calibration data entry, for criteria that look at activations");
    v("multiple_of", multiple_of, "the FFN width is rounded to the nearest multiple of this",
      at_least(1));
    v("protect_first", protect_first, "depth: this many layers at the start always stay",
      at_least(0));
    v("protect_last", protect_last, "depth: this many layers at the end always stay", at_least(0));
    v("compensate", compensate,
      "width: what stays takes over for what goes. least_squares refits the output projections on "
      "the "
      "calibration data",
      one_of("none", "least_squares"));
  }
};

}  // namespace attar
