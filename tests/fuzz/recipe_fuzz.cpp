// Any text: the recipe reader reports or reads, and what it reads survives being written.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "compress/recipe/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace attar;
  const std::string text(reinterpret_cast<const char*>(data), size);
  Problems problems;
  const Node node = Node::parse(text, "fuzz.yaml", problems);
  if (problems.empty() && node.defined()) {
    const std::string once = node.dump();
    const Node again = Node::parse(once, "again.yaml", problems);
    if (!problems.empty() || again.dump() != once) std::abort();
  }
  Problems mistakes;
  const Recipe recipe =
      parse_recipe(text, "fuzz.yaml", "/recipes", {"stages.0.x=1"}, std::nullopt, mistakes);
  if (!mistakes.empty()) return 0;
  const Recipe again =
      parse_recipe(recipe.resolved_yaml, "again.yaml", "/elsewhere", {}, std::nullopt, mistakes);
  if (!mistakes.empty() || again.sha256 != recipe.sha256) std::abort();
  return 0;
}
