#include "compress/hub/address.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "compress/base/error.h"

namespace attar {
namespace {

/// A part of a path that can't lead out of its place.
bool is_name(std::string_view text, std::string_view also = {}) {
  return !text.empty() && text.size() <= 200 && !text.starts_with('.') && !text.starts_with('/') &&
         !text.ends_with('/') && text.find("..") == std::string_view::npos &&
         text.find("--") == std::string_view::npos && text.find("//") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ||
                  also.find(c) != std::string_view::npos;
         });
}

}  // namespace

HubAddress parse_hub_address(std::string_view text, const std::string& where) {
  const auto complain = [&](const std::string& what) {
    return bad_input(fmt::format("{} in \"{}\"", what, text), where,
                     "an address is hf://owner/name or hf://owner/name@revision");
  };
  if (!is_hub_address(text)) throw complain("no hub address");
  std::string_view rest = text.substr(5);
  HubAddress address;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    address.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_name(address.revision, "/")) throw complain("no revision");
  }
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) throw complain("no owner/name");
  address.owner = rest.substr(0, slash);
  address.name = rest.substr(slash + 1);
  if (!is_name(address.owner)) throw complain("no owner");
  if (!is_name(address.name)) throw complain("no name");
  return address;
}

}  // namespace attar
