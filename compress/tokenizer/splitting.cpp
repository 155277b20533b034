#include "compress/tokenizer/splitting.h"

#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/nearest.h"

namespace attar {
namespace {

/// A match joins the stretch before it, unless that one is a match too.
void merge_with_neighbour(std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;
  bool last_matched = false;
  for (const Stretch& stretch : stretches) {
    if (stretch.match && !last_matched && !merged.empty()) {
      merged.back().begin = std::min(merged.back().begin, stretch.begin);
      merged.back().end = std::max(merged.back().end, stretch.end);
    } else {
      merged.push_back(stretch);
    }
    last_matched = stretch.match;
  }
  stretches = std::move(merged);
}

void merge_equal(std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;
  for (const Stretch& stretch : stretches) {
    if (!merged.empty() && merged.back().match == stretch.match)
      merged.back().end = stretch.end;
    else
      merged.push_back(stretch);
  }
  stretches = std::move(merged);
}

}  // namespace

SplitBehavior split_behavior(const std::string& name, const std::string& where) {
  const std::vector<std::string> names = {"Removed", "Isolated", "MergedWithPrevious",
                                          "MergedWithNext", "Contiguous"};
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw bad_input(fmt::format("\"{}\" is no way to split", name), where, suggest(name, names));
  return static_cast<SplitBehavior>(found - names.begin());
}

void append_split(const Piece& piece, std::vector<Stretch>& stretches, SplitBehavior behavior,
                  std::vector<Piece>& list) {
  switch (behavior) {
    case SplitBehavior::removed:
      std::erase_if(stretches, [](const Stretch& stretch) { return stretch.match; });
      break;
    case SplitBehavior::isolated:
      break;
    case SplitBehavior::merged_with_previous:
      merge_with_neighbour(stretches);
      break;
    case SplitBehavior::merged_with_next:  // the same, seen from the end
      std::reverse(stretches.begin(), stretches.end());
      merge_with_neighbour(stretches);
      std::reverse(stretches.begin(), stretches.end());
      break;
    case SplitBehavior::contiguous:
      merge_equal(stretches);
      break;
  }
  for (const Stretch& stretch : stretches)
    if (stretch.begin < stretch.end)
      list.push_back({piece.begin + stretch.begin, piece.begin + stretch.end,
                      piece.at_start && stretch.begin == 0});
}

}  // namespace attar
