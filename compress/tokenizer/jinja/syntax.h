// Tokens and syntax tree of a template; internal to jinja/.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compress/tokenizer/jinja/jinja.h"

namespace attar::jinja {

struct Token {
  enum class Kind {
    text,
    open_print,
    close_print,
    open_tag,
    close_tag,
    name,
    number,
    string,
    symbol,
    end
  };
  Kind kind = Kind::end;
  std::string text;
  int line = 1;
};

std::vector<Token> lex(std::string_view source, const std::string& name);

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

/// One node of an expression; which fields count depends on the kind.
struct Expr {
  enum class Kind {
    literal,     // value
    variable,    // name
    list,        // args
    dictionary,  // args: key, value, key, value …
    attribute,   // args[0].name
    index,       // args[0][args[1]]
    slice,       // args[0][args[1]:args[2]:args[3]], absent parts are null pointers
    call,        // args[0](args[1..], named)
    filter,      // args[0] | name(args[1..], named)
    test,        // args[0] is name(args[1..])
    unary,       // name args[0]: "-", "+", "not"
    binary,      // args[0] name args[1]: arithmetic, comparison, "~", "in", "not in"
    logical_and,
    logical_or,
    conditional,  // args[1] if args[0] else args[2] (which may be a null pointer)
  };
  Kind kind;
  int line;
  std::string name;
  Value value;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> named;
};

struct Statement;

struct Block {
  std::vector<Statement> statements;
};

struct Statement {
  enum class Kind {
    text,       // name: the text
    print,      // expr
    branch,     // exprs[i] guards blocks[i]; a further block is the else
    loop,       // for names in exprs[0] (if exprs[1]): blocks[0], else blocks[1]
    set,        // names = expr, or name.attribute (names {name, attribute}, attribute_set)
    set_block,  // names[0] = text of blocks[0]
    macro,      // name(names = exprs): blocks[0]
    scope,      // blocks[0] as it stands (generation)
    stop,
    next  // break, continue
  };
  Kind kind;
  int line = 1;
  std::string name{};
  std::vector<std::string> names{};
  bool attribute_set = false;
  std::vector<ExprPtr> exprs{};  // may hold null pointers
  std::vector<Block> blocks{};
};

Block parse_tokens(const std::vector<Token>& tokens, const std::string& name);

/// bad_input "… in a chat template" at name:line.
[[noreturn]] void fail(const std::string& what, const std::string& name, int line);

}  // namespace attar::jinja
