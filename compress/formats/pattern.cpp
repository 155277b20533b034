#define PCRE2_CODE_UNIT_WIDTH 8
#include "compress/formats/pattern.h"

#include <fmt/core.h>
#include <pcre2.h>

#include <array>

#include "compress/base/error.h"

namespace attar {
namespace {

constexpr uint32_t kMatchLimit = 1'000'000;  // steps: an expression from a file must not hang us

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

Pattern::Pattern(std::string_view expression, const std::string& where)
    : expression_(expression), where_(where) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                 PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr);
  if (compiled == nullptr)
    throw bad_input(fmt::format("\"{}\" is no regular expression: {} at character {}", expression,
                                message_of(code), offset),
                    where);
  code_ = std::shared_ptr<void>(compiled,
                                [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
}

bool Pattern::match(std::string_view text, uint32_t options) const {
  using Context = std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)>;
  using Data = std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)>;
  auto* code = static_cast<pcre2_code*>(code_.get());
  const Context context(pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMatchLimit);
  const Data data(pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                options, data.get(), context.get());
  if (found >= 0) return true;
  if (found == PCRE2_ERROR_NOMATCH) return false;
  throw bad_input(fmt::format("the regular expression \"{}\" cannot be matched against \"{}\": {}",
                              expression_, text, message_of(found)),
                  where_);
}

bool Pattern::matches_start(std::string_view text) const {
  return match(text, PCRE2_ANCHORED);
}
bool Pattern::matches_all(std::string_view text) const {
  return match(text, PCRE2_ANCHORED | PCRE2_ENDANCHORED);
}
bool Pattern::found_in(std::string_view text) const {
  return match(text, 0);
}

}  // namespace attar
