#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "compress/tokenizer/jinja/syntax.h"

namespace attar::jinja {
namespace {

using Kind = Token::Kind;

class Parser {
 public:
  Parser(const std::vector<Token>& tokens, const std::string& name)
      : tokens_(tokens), name_(name) {}

  Block run() {
    Block block = statements({});
    if (peek().kind != Kind::end) error("unexpected '" + peek().text + "'");
    return block;
  }

 private:
  // ---- tokens ----
  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token take() { return tokens_[std::min(at_++, tokens_.size() - 1)]; }
  bool is(Kind kind, std::string_view text) const {
    return peek().kind == kind && peek().text == text;
  }
  bool is_symbol(std::string_view text) const { return is(Kind::symbol, text); }
  bool is_word(std::string_view text) const { return is(Kind::name, text); }
  bool accept_symbol(std::string_view text) { return is_symbol(text) && (++at_, true); }
  bool accept_word(std::string_view text) { return is_word(text) && (++at_, true); }
  void expect_symbol(std::string_view text) {
    if (!accept_symbol(text))
      error("expected '" + std::string(text) + "' before '" + peek().text + "'");
  }
  std::string expect_name() {
    if (peek().kind != Kind::name) error("expected a name before '" + peek().text + "'");
    return take().text;
  }
  void close_tag() {
    if (peek().kind != Kind::close_tag) error("expected '%}' before '" + peek().text + "'");
    ++at_;
  }
  [[noreturn]] void error(const std::string& what) const { fail(what, name_, peek().line); }

  // ---- statements ----
  /// Up to a tag whose word is one of `ends` (its word is the next token then) or the end of the
  /// template.
  Block statements(std::initializer_list<std::string_view> ends) {
    Block block;
    for (;;) {
      const Token& token = peek();
      if (token.kind == Kind::end) return block;
      if (token.kind == Kind::text) {
        block.statements.push_back(
            {.kind = Statement::Kind::text, .line = token.line, .name = token.text});
        ++at_;
      } else if (token.kind == Kind::open_print) {
        ++at_;
        Statement s{.kind = Statement::Kind::print, .line = token.line};
        s.exprs.push_back(expression());
        if (peek().kind != Kind::close_print) error("expected '}}' before '" + peek().text + "'");
        ++at_;
        block.statements.push_back(std::move(s));
      } else {
        ++at_;  // open_tag
        if (std::find(ends.begin(), ends.end(), peek().text) != ends.end()) return block;
        block.statements.push_back(statement());
      }
    }
  }

  /// Consumes the word that ended `statements` and the rest of its tag.
  void end_of(std::string_view word) {
    if (!accept_word(word)) error("missing {% " + std::string(word) + " %}");
    close_tag();
  }

  Statement statement() {
    const Token word = take();
    if (word.kind != Kind::name) error("a tag starts with a word");
    if (word.text == "if") return branch(word.line);
    if (word.text == "for") return loop(word.line);
    if (word.text == "set") return set(word.line);
    if (word.text == "macro") return macro(word.line);
    if (word.text == "break" || word.text == "continue") {
      close_tag();
      return {.kind = word.text == "break" ? Statement::Kind::stop : Statement::Kind::next,
              .line = word.line};
    }
    if (word.text == "generation") {  // marks what an assistant wrote; changes no text
      close_tag();
      Statement s{.kind = Statement::Kind::scope, .line = word.line};
      s.blocks.push_back(statements({"endgeneration"}));
      end_of("endgeneration");
      return s;
    }
    fail("tag '" + word.text + "' is not supported", name_, word.line);
  }

  Statement branch(int line) {
    Statement s{.kind = Statement::Kind::branch, .line = line};
    s.exprs.push_back(expression());
    close_tag();
    for (;;) {
      s.blocks.push_back(statements({"elif", "else", "endif"}));
      if (accept_word("elif")) {
        s.exprs.push_back(expression());
        close_tag();
      } else if (accept_word("else")) {
        close_tag();
        s.blocks.push_back(statements({"endif"}));
        end_of("endif");
        return s;
      } else {
        end_of("endif");
        return s;
      }
    }
  }

  Statement loop(int line) {
    Statement s{.kind = Statement::Kind::loop, .line = line};
    do s.names.push_back(expect_name());
    while (accept_symbol(","));
    if (!accept_word("in")) error("expected 'in'");
    s.exprs.push_back(or_expression());
    s.exprs.push_back(accept_word("if") ? expression() : nullptr);
    close_tag();
    s.blocks.push_back(statements({"else", "endfor"}));
    if (accept_word("else")) {
      close_tag();
      s.blocks.push_back(statements({"endfor"}));
    }
    end_of("endfor");
    return s;
  }

  Statement set(int line) {
    Statement s{.kind = Statement::Kind::set, .line = line};
    s.names.push_back(expect_name());
    if (accept_symbol(".")) {
      s.names.push_back(expect_name());
      s.attribute_set = true;
    } else {
      while (accept_symbol(",")) s.names.push_back(expect_name());
    }
    if (accept_symbol("=")) {
      s.exprs.push_back(expression());
      if (is_symbol(",")) {  // set a, b = x, y
        auto list = make(Expr::Kind::list);
        list->args.push_back(std::move(s.exprs[0]));
        while (accept_symbol(",")) list->args.push_back(expression());
        s.exprs[0] = std::move(list);
      }
      close_tag();
      return s;
    }
    close_tag();
    if (s.names.size() != 1) error("a set block names one variable");
    s.kind = Statement::Kind::set_block;
    s.blocks.push_back(statements({"endset"}));
    end_of("endset");
    return s;
  }

  Statement macro(int line) {
    Statement s{.kind = Statement::Kind::macro, .line = line, .name = expect_name()};
    expect_symbol("(");
    while (!is_symbol(")")) {
      s.names.push_back(expect_name());
      s.exprs.push_back(accept_symbol("=") ? expression() : nullptr);
      if (!accept_symbol(",")) break;
    }
    expect_symbol(")");
    close_tag();
    s.blocks.push_back(statements({"endmacro"}));
    end_of("endmacro");
    return s;
  }

  // ---- expressions, loosest binding first ----
  ExprPtr make(Expr::Kind kind, std::string name = {}) const {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->line = peek().line;
    e->name = std::move(name);
    return e;
  }

  ExprPtr binary(Expr::Kind kind, std::string name, ExprPtr left, ExprPtr right) const {
    auto e = make(kind, std::move(name));
    e->args.push_back(std::move(left));
    e->args.push_back(std::move(right));
    return e;
  }

  ExprPtr expression() {
    if (++depth_ > 200) error("expressions are nested too deeply");
    auto e = or_expression();
    while (accept_word("if")) {
      auto conditional = make(Expr::Kind::conditional);
      conditional->args.push_back(or_expression());
      conditional->args.push_back(std::move(e));
      conditional->args.push_back(accept_word("else") ? expression() : nullptr);
      e = std::move(conditional);
    }
    --depth_;
    return e;
  }

  ExprPtr or_expression() {
    auto e = and_expression();
    while (accept_word("or"))
      e = binary(Expr::Kind::logical_or, "or", std::move(e), and_expression());
    return e;
  }

  ExprPtr and_expression() {
    auto e = not_expression();
    while (accept_word("and"))
      e = binary(Expr::Kind::logical_and, "and", std::move(e), not_expression());
    return e;
  }

  ExprPtr not_expression() {
    if (!is_word("not")) return comparison();
    auto e = make(Expr::Kind::unary, take().text);
    if (++depth_ > 200) error("expressions are nested too deeply");
    e->args.push_back(not_expression());
    --depth_;
    return e;
  }

  ExprPtr comparison() {
    auto e = sum();
    for (;;) {
      if (peek().kind == Kind::symbol && (is_symbol("==") || is_symbol("!=") || is_symbol("<") ||
                                          is_symbol(">") || is_symbol("<=") || is_symbol(">="))) {
        const auto op = take().text;
        e = binary(Expr::Kind::binary, op, std::move(e), sum());
      } else if (accept_word("in")) {
        e = binary(Expr::Kind::binary, "in", std::move(e), sum());
      } else if (is_word("not") && peek(1).kind == Kind::name && peek(1).text == "in") {
        at_ += 2;
        e = binary(Expr::Kind::binary, "not in", std::move(e), sum());
      } else {
        return e;
      }
    }
  }

  ExprPtr sum() {
    auto e = concatenation();
    while (is_symbol("+") || is_symbol("-")) {
      const auto op = take().text;
      e = binary(Expr::Kind::binary, op, std::move(e), concatenation());
    }
    return e;
  }

  ExprPtr concatenation() {
    auto e = product();
    while (accept_symbol("~")) e = binary(Expr::Kind::binary, "~", std::move(e), product());
    return e;
  }

  ExprPtr product() {
    auto e = unary();
    while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
      const auto op = take().text;
      e = binary(Expr::Kind::binary, op, std::move(e), unary());
    }
    return e;
  }

  ExprPtr unary() {
    if (!is_symbol("-") && !is_symbol("+")) return filtered(postfix(primary()));
    auto e = make(Expr::Kind::unary, take().text);
    if (++depth_ > 200) error("expressions are nested too deeply");
    e->args.push_back(unary());
    --depth_;
    return e;
  }

  ExprPtr primary() {
    const Token token = take();
    auto literal = make(Expr::Kind::literal);
    if (token.kind == Kind::string) {
      literal->value = token.text;
      while (peek().kind == Kind::string)  // neighbouring strings join
        literal->value = literal->value.get<std::string>() + take().text;
      return literal;
    }
    if (token.kind == Kind::number) {
      literal->value = number(token.text);
      return literal;
    }
    if (token.kind == Kind::name) {
      if (token.text == "true" || token.text == "True")
        return literal->value = true, std::move(literal);
      if (token.text == "false" || token.text == "False")
        return literal->value = false, std::move(literal);
      if (token.text == "none" || token.text == "None") return literal;
      return make(Expr::Kind::variable, token.text);
    }
    if (token.kind == Kind::symbol && token.text == "(") {
      auto e = expression();
      if (is_symbol(",")) {  // a tuple is a list here
        auto list = make(Expr::Kind::list);
        list->args.push_back(std::move(e));
        while (accept_symbol(",") && !is_symbol(")")) list->args.push_back(expression());
        e = std::move(list);
      }
      expect_symbol(")");
      return e;
    }
    if (token.kind == Kind::symbol && token.text == "[") {
      auto list = make(Expr::Kind::list);
      while (!is_symbol("]")) {
        list->args.push_back(expression());
        if (!accept_symbol(",")) break;
      }
      expect_symbol("]");
      return list;
    }
    if (token.kind == Kind::symbol && token.text == "{") {
      auto map = make(Expr::Kind::dictionary);
      while (!is_symbol("}")) {
        map->args.push_back(expression());
        expect_symbol(":");
        map->args.push_back(expression());
        if (!accept_symbol(",")) break;
      }
      expect_symbol("}");
      return map;
    }
    fail("unexpected '" + token.text + "'", name_, token.line);
  }

  Value number(std::string text) const {
    std::erase(text, '_');
    if (text.find('.') == std::string::npos) {
      int64_t value = 0;
      const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (code == std::errc() && end == text.data() + text.size()) return value;
    } else {
      double value = 0;
      const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (code == std::errc() && end == text.data() + text.size()) return value;
    }
    error("'" + text + "' is no number");
  }

  /// .name  [index]  [a:b:c]  (arguments)
  ExprPtr postfix(ExprPtr e) {
    for (;;) {
      if (accept_symbol(".")) {
        auto attribute = make(Expr::Kind::attribute, peek().text);
        if (peek().kind != Kind::name && peek().kind != Kind::number)
          error("expected a name after '.'");
        ++at_;
        attribute->args.push_back(std::move(e));
        e = std::move(attribute);
      } else if (accept_symbol("[")) {
        e = subscript(std::move(e));
      } else if (is_symbol("(")) {
        auto call = make(Expr::Kind::call);
        call->args.push_back(std::move(e));
        arguments(*call);
        e = std::move(call);
      } else {
        return e;
      }
    }
  }

  ExprPtr subscript(ExprPtr e) {
    ExprPtr first = is_symbol(":") ? nullptr : expression();
    if (!is_symbol(":")) {
      expect_symbol("]");
      return binary(Expr::Kind::index, "", std::move(e), std::move(first));
    }
    auto slice = make(Expr::Kind::slice);
    slice->args.push_back(std::move(e));
    slice->args.push_back(std::move(first));
    for (int part = 0; part < 2; ++part) {
      const bool present = accept_symbol(":") && !is_symbol(":") && !is_symbol("]");
      slice->args.push_back(present ? expression() : nullptr);
    }
    expect_symbol("]");
    return slice;
  }

  void arguments(Expr& e) {
    expect_symbol("(");
    while (!is_symbol(")")) {
      if (peek().kind == Kind::name && peek(1).kind == Kind::symbol && peek(1).text == "=") {
        auto name = take().text;
        ++at_;
        e.named.emplace_back(std::move(name), expression());
      } else {
        e.args.push_back(expression());
      }
      if (!accept_symbol(",")) break;
    }
    expect_symbol(")");
  }

  /// e | filter(…)  and  e is [not] test …
  ExprPtr filtered(ExprPtr e) {
    for (;;) {
      if (accept_symbol("|")) {
        auto filter = make(Expr::Kind::filter, expect_name());
        filter->args.push_back(std::move(e));
        if (is_symbol("(")) arguments(*filter);
        e = postfix(std::move(filter));
      } else if (accept_word("is")) {
        const bool negated = accept_word("not");
        auto test = make(Expr::Kind::test, expect_name());
        test->args.push_back(std::move(e));
        if (is_symbol("("))
          arguments(*test);
        else if (takes_argument(test->name))
          test->args.push_back(postfix(primary()));
        if (negated) {
          auto inverse = make(Expr::Kind::unary, "not");
          inverse->args.push_back(std::move(test));
          test = std::move(inverse);
        }
        e = std::move(test);
      } else {
        return e;
      }
    }
  }

  /// Tests that may be written with a bare argument: x is divisibleby 3.
  static bool takes_argument(const std::string& test) {
    return test == "divisibleby" || test == "equalto" || test == "eq" || test == "ne" ||
           test == "in" || test == "sameas";
  }

  const std::vector<Token>& tokens_;
  const std::string& name_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Block parse_tokens(const std::vector<Token>& tokens, const std::string& name) {
  return Parser(tokens, name).run();
}

}  // namespace attar::jinja
