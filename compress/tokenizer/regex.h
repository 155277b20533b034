// Regular expressions as tokenizer.json writes them (Oniguruma, Ruby syntax), run by PCRE2's JIT
// compiler.
//
// Where the two engines read an expression differently it is rewritten (\s, \w, \b, script names,
// nested classes); what can't be rewritten is refused, so that a text is never split differently in
// silence.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace attar {

/// The PCRE2 spelling of an Oniguruma expression; bad_input for what has none.
std::string translate_oniguruma(std::string_view expression, const std::string& where);

class Regex {
 public:
  /// bad_input when `expression` is none; `where` is the key it stands at.
  Regex(std::string_view expression, const std::string& where);

  struct Match {
    size_t begin, end;
  };

  /// Walks the matches of one text after the other. One thread at a time.
  class Scanner {
   public:
    explicit Scanner(const Regex& regex);
    ~Scanner();
    Scanner(const Scanner&) = delete;
    Scanner& operator=(const Scanner&) = delete;

    /// Calls found(begin, end) for all matches in `text` from left to right, none overlapping.
    /// `text` is well-formed UTF-8.
    template <class Found>
    void each(std::string_view text, Found&& found) {
      Match match{kNowhere, kNowhere};
      for (size_t from = 0; next(text, from, match); from = match.end)
        found(match.begin, match.end);
    }

   private:
    static constexpr size_t kNowhere = ~size_t{0};
    /// The first match at or after `from`; an empty one right at the end of the last does not
    /// count.
    bool next(std::string_view text, size_t from, Match& match);

    const Regex& regex_;
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  std::shared_ptr<void> code_;
  std::string expression_, where_;
};

}  // namespace attar
