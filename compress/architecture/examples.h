// A configuration of each family, as it is published: what `attar smoke --family` shrinks to a
// random model.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace attar {

/// A config.json of the family (a row of families()), with its dimensions as published but a
/// vocabulary of 512 and few positions. Throws failure when there is none.
nlohmann::ordered_json example_config(std::string_view family);

}  // namespace attar
