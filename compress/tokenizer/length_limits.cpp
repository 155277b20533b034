#include "compress/tokenizer/length_limits.h"

#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/tokenizer/vocabulary.h"

namespace attar {
namespace {

constexpr int64_t kLongest = int64_t{1} << 32;

bool is_left(Fields& fields) {
  const std::string direction = fields.text("direction", "Right");
  if (direction != "Left" && direction != "Right")
    throw bad_input(fmt::format("\"{}\" is neither Left nor Right", direction),
                    fields.where("direction"));
  return direction == "Left";
}

int64_t length(Fields& fields, const std::string& key, int64_t value) {
  if (value < 1 || value > kLongest)
    throw bad_input(fmt::format("{} is no length", value), fields.where(key));
  return value;
}

}  // namespace

Truncation::Truncation(Fields fields)
    : limit_(length(fields, "max_length", fields.integer("max_length"))), left_(is_left(fields)) {
  fields.find("stride");  // about the parts that are cut off
  if (fields.text("strategy", "LongestFirst") == "OnlySecond")
    throw bad_input("there is never a second sequence to truncate", fields.where("strategy"));
  fields.finish();
}

void Truncation::apply(std::vector<int32_t>& ids, int64_t added) const {
  if (limit_ == 0) return;
  const auto most = static_cast<size_t>(std::max<int64_t>(limit_ - added, 0));
  if (ids.size() <= most) return;
  if (left_)
    ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(most));
  else
    ids.resize(most);
}

Padding::Padding(Fields fields) : left_(is_left(fields)) {
  if (const auto* strategy = fields.find("strategy"); strategy && strategy->is_object()) {
    Fields fixed =
        fields.child("strategy");  // {"Fixed": n}; else "BatchLongest": one text is the longest
    length_ = length(fixed, "Fixed", fixed.integer("Fixed"));
    fixed.finish();
  }
  if (fields.find("pad_to_multiple_of"))
    multiple_ = length(fields, "pad_to_multiple_of", fields.integer("pad_to_multiple_of"));
  const int64_t id = fields.integer("pad_id");
  if (id < 0 || id > Vocabulary::kLargestId)
    throw bad_input("a token id is expected here", fields.where("pad_id"));
  id_ = static_cast<int32_t>(id);
  fields.find("pad_type_id");
  fields.find("pad_token");
  fields.finish();
}

void Padding::apply(std::vector<int32_t>& ids) const {
  const auto multiple = static_cast<size_t>(multiple_);
  size_t target = length_ ? static_cast<size_t>(length_) : ids.size();
  target = (target + multiple - 1) / multiple * multiple;
  if (ids.size() >= target) return;
  ids.insert(left_ ? ids.begin() : ids.end(), target - ids.size(), id_);
}

}  // namespace attar
