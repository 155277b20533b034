#include "compress/formats/json.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "compress/base/error.h"

namespace attar {
namespace {

constexpr int kDeepest = 64;  // no file that we read nests deeper than 10

std::string place(std::string_view text, size_t byte, const std::string& where) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
  return fmt::format("{}:{}", where, 1 + std::count(text.begin(), end, '\n'));
}

}  // namespace

template <class Json>
Json parse_json(std::string_view text, const std::string& where) {
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, typename Json::parse_event_t event, Json& parsed) {
    using Event = typename Json::parse_event_t;
    if (depth > kDeepest)
      throw bad_input(fmt::format("JSON nested deeper than {} levels", kDeepest), where);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& name = parsed.template get_ref<const std::string&>();
      if (!keys.back().insert(name).second)
        throw bad_input(fmt::format("the key \"{}\" appears twice in one object", name), where);
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const typename Json::parse_error& mistake) {
    const std::string_view message = mistake.what();
    const size_t colon = message.find(": ");
    throw bad_input(
        fmt::format("not valid JSON: {}",
                    colon == std::string_view::npos ? message : message.substr(colon + 2)),
        place(text, mistake.byte, where));
  } catch (const typename Json::exception& mistake) {  // a number too large for a double
    throw bad_input(fmt::format("not valid JSON: {}", mistake.what()), where);
  }
}

template nlohmann::json parse_json(std::string_view, const std::string&);
template nlohmann::ordered_json parse_json(std::string_view, const std::string&);

}  // namespace attar
