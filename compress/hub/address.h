// Addresses of models on a hub: hf://owner/name[@revision].
#pragma once

#include <string>
#include <string_view>

namespace attar {

struct HubAddress {
  std::string owner, name;
  std::string revision = "main";  // a branch, a tag, or a commit

  std::string repository() const { return owner + "/" + name; }
};

/// Whether this is meant as such an address, right or wrong.
inline bool is_hub_address(std::string_view text) {
  return text.starts_with("hf://");
}
/// bad_input at `where` for one that is no address.
HubAddress parse_hub_address(std::string_view text, const std::string& where = {});

}  // namespace attar
