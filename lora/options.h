// Options of the stages `lora` and `merge`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compress/training/options.h"

namespace attar::lora {

struct LoraOptions {
  int64_t rank = 16;
  double alpha = 32;
  double dropout = 0;
  std::vector<std::string> targets;
  bool rslora = false;
  std::string base = "float";
  std::string merge = "auto";
  TrainingOptions training;

  template <class Visitor>
  void fields(Visitor& v) {
    v("rank", rank, "rank of each adapter", at_least(1));
    v("alpha", alpha, "adapters are scaled by alpha / rank", above(0));
    v("dropout", dropout, "dropout on the adapters' input", between(0, 0.99));
    v("targets", targets,
      "linear layers that get an adapter: short names (q_proj), module names, or either with * ; "
      "default: all");
    v("rslora", rslora, "scale by alpha / sqrt(rank) instead");
    v("base", base, "how the frozen base is held: float, or nf4 (QLoRA)", one_of("float", "nf4"));
    v("merge", merge,
      "auto: also write the merged model, for the stages that follow; none: the adapter alone",
      one_of("auto", "none"));
    training.fields(v);
  }
};

struct MergeOptions {
  std::string adapter;
  std::string output_dtype = "same";

  template <class Visitor>
  void fields(Visitor& v) {
    v("adapter", adapter, "a PEFT adapter directory, or the name of a lora stage", required());
    v("output_dtype", output_dtype, "what the merged weights are rounded to; same = as the base",
      one_of("same", "float32", "bfloat16", "float16"));
  }
};

}  // namespace attar::lora
