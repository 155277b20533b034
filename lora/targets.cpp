#include "lora/targets.h"

#include <string_view>

#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/nearest.h"

namespace attar::lora {
namespace {

/// `*` stands for any text.
bool matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() != '*')
    return !text.empty() && pattern.front() == text.front() &&
           matches(pattern.substr(1), text.substr(1));
  for (size_t skip = 0; skip <= text.size(); ++skip)
    if (matches(pattern.substr(1), text.substr(skip))) return true;
  return false;
}

/// A pattern is for a module's whole name or for its last part.
bool names(std::string_view pattern, std::string_view module) {
  return matches(pattern, module) || matches(pattern, module.substr(module.rfind('.') + 1));
}

}  // namespace

std::vector<const LinearSpec*> select_targets(const ModelSpec& spec,
                                              const std::vector<std::string>& patterns) {
  std::vector<const LinearSpec*> selected;
  std::vector<bool> used(patterns.size(), false);
  std::vector<std::string> known;
  const Storage storage(spec);
  for (const auto& block : spec.blocks)
    for (const auto& [name, linear] : block.linears()) {
      bool wanted = patterns.empty();
      for (size_t i = 0; i < patterns.size(); ++i)
        if (names(patterns[i], linear->module()) ||
            names(patterns[i], storage.stored_module(*linear)))
          wanted = used[i] = true;
      if (wanted) selected.push_back(linear);
      if (&block == &spec.blocks.front()) known.push_back(name);
    }
  for (size_t i = 0; i < patterns.size(); ++i)
    if (!used[i])
      throw bad_input("'" + patterns[i] + "' matches no linear layer of the model", "targets",
                      suggest(patterns[i], known));
  return selected;
}

int64_t adapter_parameters(const std::vector<const LinearSpec*>& targets, int64_t rank) {
  int64_t count = 0;
  for (const auto* linear : targets) count += rank * (linear->in + linear->out);
  return count;
}

}  // namespace attar::lora
