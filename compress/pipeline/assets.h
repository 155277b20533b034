// Files of assets/ inside the program (attar_embed in cmake/AttarTargets.cmake).
#pragma once

#include <string_view>

namespace attar::assets {

std::string_view report_css();
std::string_view report_js();

}  // namespace attar::assets
