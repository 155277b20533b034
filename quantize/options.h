// The options of the quantize stage.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compress/recipe/options.h"

namespace attar {

/// Layers that are quantized in another way than the rest.
struct QuantizeOverride {
  std::vector<std::string> targets;
  std::optional<int64_t> bits, group_size;
  std::optional<bool> symmetric;

  template <class Visitor>
  void fields(Visitor& v) {
    v("targets", targets, "names, short names (down_proj), globs, or re: expressions", required());
    v("bits", bits, "of a code", between(2, 8));
    v("group_size", group_size, "input columns that share a scale; 0 or -1: the whole row",
      at_least(-1));
    v("symmetric", symmetric, "without zero points");
  }
};

/// Mixed precision: bits for each layer such that all of them together fit.
struct BudgetOptions {
  std::optional<double> bits_per_weight;
  std::optional<int64_t> bytes;
  std::vector<int64_t> bits = {3, 4, 8};
  int64_t windows = 4;

  template <class Visitor>
  void fields(Visitor& v) {
    v("bits_per_weight", bits_per_weight, "of the quantized layers, scales and zero points counted",
      above(1, 9));
    v("bytes", bytes, "of the quantized layers, instead of bits_per_weight", at_least(1));
    v("bits", bits, "that a layer may get; the scheme gives the rest", between(2, 8));
    v("windows", windows, "calibration windows on which each layer's sensitivity is measured",
      at_least(1));
  }
};

struct QuantizeOptions {
  std::string method = "gptq", scheme = "W4A16", preset = "default";
  std::optional<int64_t> group_size;
  std::string on_indivisible = "channel";
  std::string data;
  double damping = 0.01;
  std::string act_order = "static", scale_search = "auto", scale_dtype = "auto", fold = "auto",
              rotate = "none";
  double smooth_alpha = 0.5;
  std::optional<int64_t> refine;
  std::optional<double> correction;
  std::optional<bool> signed_scales;
  bool true_sequential = true, propagate_error = true;
  std::vector<std::string> targets, ignore;
  std::vector<QuantizeOverride> overrides;
  std::optional<BudgetOptions> budget;
  std::string lm_head = "keep", embedding = "keep", dense_dtype = "keep", format = "auto";
  bool strict = false;
  double max_kl = 2.0, checkpoint_seconds = 20;
  int64_t min_tokens = 32;

  template <class Visitor>
  void fields(Visitor& v) {
    v("method", method,
      "gptq rounds with second-order error feedback, rtn to the nearest; awq and smoothquant "
      "rescale "
      "channels first and round to the nearest",
      one_of("gptq", "rtn", "awq", "smoothquant"));
    v("scheme", scheme, "bits, zero points and activations; see `attar list schemes`");
    v("preset", preset,
      "time for quality: what scale_search, refine, correction and signed_scales are when they are "
      "not given",
      one_of("fast", "default", "best"));
    v("group_size", group_size,
      "input columns that share a scale; 0 or -1: the whole row. Default: the scheme's",
      at_least(-1));
    v("on_indivisible", on_indivisible,
      "a layer whose columns are no multiple of group_size: one scale a row (a fallback in the "
      "report), or an error",
      one_of("channel", "error"));
    v("data", data, "calibration data entry; all but rtn need one");
    v("damping", damping, "added to the Hessian's diagonal, as a share of its mean", above(0, 1));
    v("act_order", act_order, "static: columns with large inputs first, groups stay as they are",
      one_of("static", "none"));
    v("fold", fold,
      "rescale channels where the wiring allows it, before rounding: awq by what hurts the output "
      "least, smoothquant by the largest inputs. auto: what the method says",
      one_of("auto", "none", "awq", "smoothquant"));
    v("rotate", rotate,
      "hadamard: first fold a random rotation of the hidden states (and of the heads between v and "
      "o) into the weights, so that no channel stands out; the head is then one of its own",
      one_of("none", "hadamard"));
    v("smooth_alpha", smooth_alpha, "smoothquant: how much of the inputs' range the weights take",
      between(0, 1));
    v("scale_search", scale_search,
      "minmax: scales span the group's range; mse: the range with the smallest squared error; "
      "hessian: squared error weighted by how much each column matters; output: error of the "
      "group's "
      "share of the output (both need data). auto: the preset's; awq: output",
      one_of("auto", "minmax", "mse", "hessian", "output"));
    v("signed_scales", signed_scales,
      "symmetric schemes: a scale search may turn a group's integer range around, which costs no "
      "bits");
    v("scale_dtype", scale_dtype, "auto: the model's own 16-bit type, else float16",
      one_of("auto", "float16", "bfloat16", "float32"));
    v("refine", refine, "passes of coordinate descent over scales and codes after gptq",
      between(0, 100));
    v("correction", correction,
      "share of the earlier layers' error that a layer makes up for: 0 none, 1 all (gptq)",
      between(0, 1));
    v("true_sequential", true_sequential,
      "calibrate each layer on inputs from the quantized layers before it inside its block; "
      "without "
      "it, a block's layers see the inputs that the block has unquantized, which takes a second "
      "pass");
    v("propagate_error", propagate_error,
      "calibrate each block on the outputs of quantized blocks");
    v("targets", targets,
      "layers to quantize: names, short names (down_proj), globs, or re: expressions. Default: "
      "all");
    v("ignore", ignore, "layers to leave as they are, written like targets");
    v("overrides", overrides,
      "other bits, groups or zero points for some layers; the first that names "
      "a layer holds");
    v("budget", budget,
      "bits for each layer by what its rounding costs, within a size (needs data)");
    v("lm_head", lm_head, "an output head of its own", one_of("keep", "quantize"));
    v("embedding", embedding,
      "the embedding table, and with it a head that is tied to it, rounded to nearest: int8 in the "
      "scheme's groups, or as the scheme rounds the other layers",
      one_of("keep", "int8", "scheme"));
    v("dense_dtype", dense_dtype, "float type of what is not quantized",
      one_of("keep", "bfloat16", "float16"));
    v("strict", strict, "a fallback is an error");
    v("min_tokens", min_tokens,
      "a layer that fewer calibration tokens reach (an expert) is rounded to nearest, which is a "
      "fallback",
      at_least(0));
    v("max_kl", max_kl,
      "fail when KL to the input model exceeds this on calibration windows (nats)", above(0));
    v("checkpoint_seconds", checkpoint_seconds,
      "time between saves of the activations; finished blocks are saved always", at_least(0));
    v("format", format,
      "layout of the emitted files: that of llm-compressor, GPTQ, AWQ (GEMM) or bitsandbytes, or a "
      "GGUF file. auto: gguf for GGUF's schemes (Q4_K_M), bitsandbytes for NF4, else "
      "compressed-tensors",
      one_of("auto", "compressed-tensors", "gptq", "awq", "bitsandbytes", "gguf"));
  }
};

/// True when the options read calibration data block by block.
inline bool calibrates(const QuantizeOptions& options) {
  return options.method != "rtn" || options.fold != "none" || options.scale_search == "hessian" ||
         options.scale_search == "output";
}

}  // namespace attar
