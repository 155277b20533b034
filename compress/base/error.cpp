#include "compress/base/error.h"

#include <utility>

namespace attar {

Error::Error(ExitCode code, const std::string& what, std::string where, std::string hint)
    : std::runtime_error(what), code_(code), where_(std::move(where)), hint_(std::move(hint)) {}

std::string Error::block() const {
  std::string text = std::string("error: ") + what() + "\n";
  if (!where_.empty()) text += "  where: " + where_ + "\n";
  if (!hint_.empty()) text += "  hint:  " + hint_ + "\n";
  return text;
}

Error bad_input(const std::string& what, std::string where, std::string hint) {
  return {ExitCode::bad_input, what, std::move(where), std::move(hint)};
}

Error failure(const std::string& what, std::string where, std::string hint) {
  return {ExitCode::failed, what, std::move(where), std::move(hint)};
}

}  // namespace attar
