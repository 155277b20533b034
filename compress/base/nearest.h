// "Did you mean …?": the known name closest to a misspelt one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace attar {

/// The candidate with the smallest edit distance (insert, delete, replace, swap neighbours), or "" when
/// none is close (more than a third of the letters differ, and more than two).
std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// "did you mean 'x'?", or "known: a, b, c" when nothing is close; "" without candidates.
std::string suggest(std::string_view word, std::span<const std::string> candidates);

}  // namespace attar
