// The keys "truncation" and "padding" of tokenizer.json.
#pragma once

#include <cstdint>
#include <vector>

#include "compress/tokenizer/fields.h"

namespace attar {

class Truncation {
 public:
  Truncation() = default;  // none
  explicit Truncation(Fields fields);
  /// The most ids that encoding gives; 0: no limit.
  int64_t limit() const { return limit_; }
  /// Shortens `ids` so that `added` more still fit.
  void apply(std::vector<int32_t>& ids, int64_t added) const;

 private:
  int64_t limit_ = 0;
  bool left_ = false;
};

class Padding {
 public:
  Padding() = default;  // none
  explicit Padding(Fields fields);
  void apply(std::vector<int32_t>& ids) const;

 private:
  int64_t length_ = 0, multiple_ = 1;
  int32_t id_ = 0;
  bool left_ = false;
};

}  // namespace attar
