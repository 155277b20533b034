// Regular expressions as the field's configuration files use them (Python's `re`, read by PCRE2).
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace attar {

class Pattern {
 public:
  /// Throws bad_input when `expression` is no regular expression; `where` is the key it stands at.
  Pattern(std::string_view expression, const std::string& where);

  /// Python's re.match: at the beginning of `text`.
  bool matches_start(std::string_view text) const;
  /// Python's re.fullmatch.
  bool matches_all(std::string_view text) const;
  /// Python's re.search.
  bool found_in(std::string_view text) const;

 private:
  bool match(std::string_view text, uint32_t options) const;

  std::shared_ptr<void> code_;
  std::string expression_, where_;
};

}  // namespace attar
