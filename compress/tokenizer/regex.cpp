#include "compress/tokenizer/regex.h"

#include <fmt/core.h>

#include <cstdint>
#include <utility>

#include "compress/base/error.h"
#include "compress/tokenizer/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace attar {
namespace {

constexpr size_t kJitStack = size_t{256} << 20;  // reserved, not touched, until a text needs it

std::string message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

Regex::Regex(std::string_view expression, const std::string& where)
    : expression_(expression), where_(where) {
  const std::string translated = translate_oniguruma(expression, where);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get());
  if (!code)
    throw bad_input(fmt::format("not a regular expression: {} (in {})", message(error), expression),
                    where);
  code_ =
      std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
  // Without a JIT compiler on this processor the interpreter does the same, slower.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

struct Regex::Scanner::State {
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;

  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  void grow_stack() {
    stack = pcre2_jit_stack_create(64 << 10, kJitStack, nullptr);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
};

Regex::Scanner::Scanner(const Regex& regex) : regex_(regex), state_(std::make_unique<State>()) {
  state_->data = pcre2_match_data_create(1, nullptr);
  state_->context = pcre2_match_context_create(nullptr);
}

Regex::Scanner::~Scanner() = default;

bool Regex::Scanner::next(std::string_view text, size_t from, Match& match) {
  const auto* code = static_cast<const pcre2_code*>(regex_.code_.get());
  const size_t last_end = match.end;
  while (from <= text.size()) {
    int result = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                             PCRE2_NO_UTF_CHECK, state_->data, state_->context);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && !state_->stack) {
      state_->grow_stack();
      continue;
    }
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result < 0)
      throw failure(fmt::format("splitting a text of {} bytes by {} failed at byte {}: {}",
                                text.size(), regex_.expression_, from, message(result)),
                    regex_.where_);
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state_->data);
    match = {bounds[0], bounds[1]};
    if (match.end > match.begin || match.begin != last_end) return true;
    // An empty match where the last one ended: look again one character further on.
    if (match.begin >= text.size()) return false;
    from = match.begin + utf8_length(text[match.begin]);
  }
  return false;
}

}  // namespace attar
