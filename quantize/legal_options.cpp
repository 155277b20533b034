#include "quantize/legal_options.h"

#include <fmt/format.h>

#include <span>

#include "compress/base/error.h"
#include "quantize/schemes.h"

namespace attar {
namespace {

void refuse(std::span<const char* const> keys, const QuantizeOptions& options, const Node& node,
            Problems& problems) {
  for (const char* key : keys)
    if (node[key].defined())
      problems.add(fmt::format("the scheme {} leaves no choice of {}", options.scheme, key),
                   node[key].where(), "leave it out, or choose a scheme like W4A16");
}

/// A GGUF scheme says the type of every tensor, and its types how codes and scales look.
void check_gguf(const QuantizeOptions& options, const Node& node, Problems& problems) {
  const bool gguf = is_gguf_scheme(options.scheme);
  if (gguf != (options.format == "gguf"))
    problems.add(fmt::format("format {} cannot hold scheme {}", options.format, options.scheme),
                 node["format"].where(),
                 gguf ? "leave format out"
                      : "GGUF schemes: Q4_0, Q4_K_M and others of `attar list schemes`");
  if (!gguf) return;
  if (options.method != "gptq" && options.method != "rtn")
    problems.add(fmt::format("method {} is not for GGUF schemes", options.method),
                 node["method"].where(), "gptq, or rtn with data for a weighted search");
  if (options.scale_search != "minmax" && options.scale_search != "hessian")
    problems.add(fmt::format("scale_search {} is not for GGUF schemes", options.scale_search),
                 node["scale_search"].where(), "minmax (the types' own) or hessian");
  constexpr const char* kKeys[] = {"group_size", "overrides", "budget",        "targets",
                                   "ignore",     "fold",      "signed_scales", "refine",
                                   "rotate",     "lm_head",   "embedding",     "scale_dtype",
                                   "dense_dtype"};
  refuse(kKeys, options, node, problems);
}

/// Levels have no steps that scales could be searched for, and no zero points.
void check_levels(const QuantizeOptions& options, const Node& node, Problems& problems) {
  if (options.method != "rtn")
    problems.add(fmt::format("method {} is not for scheme {}, whose levels are not evenly spaced",
                             options.method, options.scheme),
                 node["method"].defined() ? node["method"].where() : node["scheme"].where(),
                 "method: rtn");
  if (options.format != "bitsandbytes" && options.format != "gguf")  // of gguf it is said already
    problems.add(fmt::format("format {} cannot hold scheme {}", options.format, options.scheme),
                 node["format"].where(), "leave format out: bitsandbytes");
  if (options.scale_dtype != "auto" && options.scale_dtype != "float32")
    problems.add("bitsandbytes stores scales as float32", node["scale_dtype"].where(),
                 "leave scale_dtype out");
  for (const QuantizeOverride& entry : options.overrides)
    if (entry.bits || entry.symmetric)
      problems.add(
          fmt::format("the scheme {} leaves no choice of bits and zero points", options.scheme),
          node["overrides"].where(), "overrides may give a group_size there");
  constexpr const char* kKeys[] = {"preset",       "budget",        "fold",
                                   "scale_search", "signed_scales", "embedding"};
  refuse(kKeys, options, node, problems);
}

}  // namespace

void check_options(const QuantizeOptions& options, const Node& node, Problems& problems) {
  try {
    find_scheme(options.scheme, node["scheme"].where());
  } catch (const Error& error) {
    problems.add(error.what(), error.where(), error.hint());
  }
  check_gguf(options, node, problems);
  if (levels_of(options.scheme) != Levels::integers)
    check_levels(options, node, problems);
  else if (options.format == "bitsandbytes" && !is_gguf_scheme(options.scheme))
    problems.add(fmt::format("format bitsandbytes cannot hold scheme {}", options.scheme),
                 node["format"].where(), "scheme: NF4, or leave format out");
  else if (calibrates(options) && options.data.empty())
    problems.add(options.method != "rtn"
                     ? fmt::format("method {} needs calibration data", options.method)
                     : fmt::format("scale_search {} needs calibration data", options.scale_search),
                 node.where(), "add `data: calibration`, an entry of the recipe's data");
  if (options.budget && options.data.empty())
    problems.add("a budget needs calibration data", node["budget"].where(),
                 "add `data: calibration`, an entry of the recipe's data");
  if (options.budget &&
      options.budget->bits_per_weight.has_value() == options.budget->bytes.has_value())
    problems.add("a budget is either bits_per_weight or bytes", node["budget"].where());
  if (*options.correction > 0 && (options.method != "gptq" || !options.propagate_error))
    problems.add("correction needs method gptq and propagate_error", node["correction"].where());
  if (*options.refine > 0 && options.method != "gptq")
    problems.add("refine needs method gptq", node["refine"].where());
}

void check_layouts(const QuantPlan& plan, const QuantFormat& format, const std::string& where) {
  for (const QuantModule& module : plan.modules) {
    const std::string objection =
        format.objection(module.linear.out, module.linear.in, module.layout);
    if (!objection.empty())
      throw bad_input(fmt::format("{} cannot hold {}: {}", format.name, module.name, objection),
                      where, "choose another format, group_size or scheme, or ignore the layer");
  }
}

}  // namespace attar
