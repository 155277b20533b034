// What options of the quantize stage only make sense together: what their visitor cannot say.
#pragma once

#include "compress/formats/quant_format.h"
#include "compress/recipe/options.h"
#include "quantize/modules.h"
#include "quantize/options.h"

namespace attar {

/// Adds a problem for every option that contradicts another; `node` is the stage's map, `options`
/// what with_preset() makes of it.
void check_options(const QuantizeOptions& options, const Node& node, Problems& problems);

/// bad_input for the first planned layer that the files' layout cannot hold; `where` is the place
/// of the option `format`.
void check_layouts(const QuantPlan& plan, const QuantFormat& format, const std::string& where);

}  // namespace attar
