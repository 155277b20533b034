// How many units stay, and which.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace attar {

/// Turns `keep` (a fraction up to 1, or a count above 1) of `units` into a count: rounded to the
/// nearest multiple of `multiple_of` (up when halfway), at least one multiple, at most `units`;
/// keep = 1 keeps all as they are. Throws bad_input, with `where` as its place, when nothing would
/// stay, for counts above `units` and for fractional counts.
int64_t kept_count(double keep, int64_t units, int64_t multiple_of, const std::string& where);

/// The `count` units with the highest scores, ascending; of equal scores the first stay.
std::vector<int64_t> highest(std::span<const double> scores, int64_t count);

}  // namespace attar
