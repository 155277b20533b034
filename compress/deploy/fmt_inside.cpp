// fmt's own code, for programs that shall need no libfmt beside them (Debian has it as a shared
// library only): the sources that were compiled against the library find here what they call.
#include <fmt/format.h>

#include <cstdio>
#include <string>

namespace attar {

// Whatever this uses, the compiler emits.
std::string format_with_everything(const std::string& text, double number, int64_t count);
std::string format_with_everything(const std::string& text, double number, int64_t count) {
  fmt::print(stderr, "{}", text);
  fmt::print("{}", text);
  return fmt::format("{:>8} {:?} {:L} {:.3f} {:L}", text, text, number, number, count);
}

}  // namespace attar
