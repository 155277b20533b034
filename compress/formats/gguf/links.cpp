#include "compress/formats/gguf/links.h"

#include <cmath>
#include <numeric>

#include "compress/formats/dtype.h"

namespace attar::gguf {

int64_t Link::rows() const {
  if (!published_rows.empty()) return std::ssize(published_rows);
  return element_count(published_shape) / cols;
}

float published_value(const Link& link, float file_value, float norm_offset) {
  return link.minus_exp ? std::log(-file_value) : file_value - norm_offset;
}

float file_value(const Link& link, float published_value, float norm_offset) {
  return link.minus_exp ? -std::exp(published_value) : published_value + norm_offset;
}

std::vector<int64_t> consecutive(int64_t first, int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

}  // namespace attar::gguf
