#include <ctime>
#include <map>

#include "compress/base/error.h"
#include "compress/tokenizer/jinja/syntax.h"
#include "compress/tokenizer/jinja/value.h"

namespace attar::jinja {
namespace {

constexpr size_t kMostText = 64u << 20;  // what a template may write
constexpr int kMostDepth = 100;          // of nested macro calls

/// Variables by name; inner scopes hide outer ones.
struct Scope {
  Scope* outer = nullptr;
  std::map<std::string, Item> variables;
  std::map<std::string, const Statement*> macros;

  Item* find(const std::string& name) {
    for (Scope* s = this; s; s = s->outer)
      if (const auto found = s->variables.find(name); found != s->variables.end())
        return &found->second;
    return nullptr;
  }
  const Statement* macro(const std::string& name) {
    for (Scope* s = this; s; s = s->outer)
      if (const auto found = s->macros.find(name); found != s->macros.end()) return found->second;
    return nullptr;
  }
};

enum class Flow { go_on, stop, next };

class Evaluator {
 public:
  explicit Evaluator(const std::string& name) : name_(name) {}

  std::string render(const Block& root, const Value& variables) {
    Scope scope;
    for (const auto& [key, value] : variables.items()) scope.variables[key] = {value};
    std::string out;
    block(root, scope, out);
    return out;
  }

 private:
  // ---- statements ----
  Flow block(const Block& b, Scope& scope, std::string& out) {
    for (const auto& statement : b.statements) {
      const Flow flow = execute(statement, scope, out);
      if (flow != Flow::go_on) return flow;
      if (out.size() > kMostText) fail("writes too much text", name_, statement.line);
    }
    return Flow::go_on;
  }

  Flow execute(const Statement& s, Scope& scope, std::string& out) {
    switch (s.kind) {
      case Statement::Kind::text:
        out += s.name;
        break;
      case Statement::Kind::print:
        out += to_text(evaluate(*s.exprs[0], scope));
        break;
      case Statement::Kind::branch:
        return branch(s, scope, out);
      case Statement::Kind::loop:
        loop(s, scope, out);
        break;
      case Statement::Kind::set:
        set(s, scope);
        break;
      case Statement::Kind::set_block: {
        std::string text;
        block(s.blocks[0], scope, text);
        scope.variables[s.names[0]] = {text};
        break;
      }
      case Statement::Kind::macro:
        scope.macros[s.name] = &s;
        break;
      case Statement::Kind::scope:
        return block(s.blocks[0], scope, out);
      case Statement::Kind::stop:
        return Flow::stop;
      case Statement::Kind::next:
        return Flow::next;
    }
    return Flow::go_on;
  }

  Flow branch(const Statement& s, Scope& scope, std::string& out) {
    for (size_t i = 0; i < s.exprs.size(); ++i)
      if (truthy(evaluate(*s.exprs[i], scope))) return block(s.blocks[i], scope, out);
    if (s.blocks.size() > s.exprs.size()) return block(s.blocks.back(), scope, out);
    return Flow::go_on;
  }

  void bind(const std::vector<std::string>& names, const Value& value, Scope& scope, int line) {
    if (names.size() == 1) {
      scope.variables[names[0]] = {value};
      return;
    }
    if (!value.is_array() || value.size() != names.size())
      fail("cannot unpack a value into several names", name_, line);
    for (size_t i = 0; i < names.size(); ++i) scope.variables[names[i]] = {value[i]};
  }

  void loop(const Statement& s, Scope& scope, std::string& out) {
    auto items = guarded(s.line, [&] { return items_of(evaluate(*s.exprs[0], scope)); });
    if (s.exprs[1]) {
      std::vector<Value> kept;
      for (const auto& item : items) {
        Scope inner{&scope, {}, {}};
        bind(s.names, item, inner, s.line);
        if (truthy(evaluate(*s.exprs[1], inner))) kept.push_back(item);
      }
      items = std::move(kept);
    }
    if (items.empty() && s.blocks.size() > 1) block(s.blocks[1], scope, out);
    const auto n = std::ssize(items);
    for (int64_t i = 0; i < n; ++i) {
      Scope inner{&scope, {}, {}};
      bind(s.names, items[static_cast<size_t>(i)], inner, s.line);
      Value facts = {{"index", i + 1},        {"index0", i}, {"first", i == 0},
                     {"last", i + 1 == n},    {"length", n}, {"revindex", n - i},
                     {"revindex0", n - i - 1}};
      if (i > 0) facts["previtem"] = items[static_cast<size_t>(i - 1)];
      if (i + 1 < n) facts["nextitem"] = items[static_cast<size_t>(i + 1)];
      inner.variables["loop"] = {std::move(facts)};
      if (block(s.blocks[0], inner, out) == Flow::stop) break;
    }
  }

  void set(const Statement& s, Scope& scope) {
    const Item value = evaluate(*s.exprs[0], scope);
    if (s.attribute_set) {  // of a namespace, wherever it was made
      Item* target = scope.find(s.names[0]);
      if (!target || target->undefined || !target->value.is_object())
        fail("'" + s.names[0] + "' is no namespace", name_, s.line);
      target->value[s.names[1]] = value.value;
    } else if (s.names.size() == 1) {
      scope.variables[s.names[0]] = value;
    } else {
      bind(s.names, value.value, scope, s.line);
    }
  }

  // ---- expressions ----
  /// Adds the place to what goes wrong inside.
  template <class F>
  auto guarded(int line, F f) -> decltype(f()) {
    try {
      return f();
    } catch (const Problem& problem) {
      fail(problem.what, name_, line);
    }
  }

  Item evaluate(const Expr& e, Scope& scope) {
    return guarded(e.line, [&] { return compute(e, scope); });
  }

  Item compute(const Expr& e, Scope& scope) {
    const auto arg = [&](size_t i) { return evaluate(*e.args[i], scope); };
    switch (e.kind) {
      case Expr::Kind::literal:
        return {e.value};
      case Expr::Kind::variable: {
        const Item* found = scope.find(e.name);
        return found ? *found : Item{{}, true};
      }
      case Expr::Kind::list: {
        Value list = Value::array();
        for (size_t i = 0; i < e.args.size(); ++i) list.push_back(arg(i).value);
        return {list};
      }
      case Expr::Kind::dictionary: {
        Value map = Value::object();
        for (size_t i = 0; i < e.args.size(); i += 2) map[to_text(arg(i))] = arg(i + 1).value;
        return {map};
      }
      case Expr::Kind::attribute:
        return member(arg(0), {e.name});
      case Expr::Kind::index:
        return member(arg(0), arg(1));
      case Expr::Kind::slice:
        return slice_of(e, scope);
      case Expr::Kind::call:
        return call(e, scope);
      case Expr::Kind::filter:
        return apply_filter(e.name, arg(0), arguments(e, scope, 1));
      case Expr::Kind::test:
        return {apply_test(e.name, arg(0), arguments(e, scope, 1))};
      case Expr::Kind::unary:
        return unary(e, arg(0));
      case Expr::Kind::binary:
        return binary_operation(e.name, arg(0), arg(1));
      case Expr::Kind::logical_and: {
        const Item left = arg(0);
        return truthy(left) ? arg(1) : left;
      }
      case Expr::Kind::logical_or: {
        const Item left = arg(0);
        return truthy(left) ? left : arg(1);
      }
      case Expr::Kind::conditional:
        if (truthy(arg(0))) return arg(1);
        return e.args[2] ? arg(2) : Item{{}, true};
    }
    return {{}, true};
  }

  static Item unary(const Expr& e, const Item& value) {
    if (e.name == "not") return {!truthy(value)};
    if (value.undefined || !value.value.is_number())
      throw Problem{"'" + e.name + "' needs a number"};
    return e.name == "-" ? binary_operation("-", {0}, value) : value;
  }

  static Item member(const Item& of, const Item& key) {
    if (of.undefined) throw Problem{"an undefined value has no members"};
    if (of.value.is_object()) {
      if (key.undefined || !key.value.is_string()) return {{}, true};
      const auto& name = key.value.get_ref<const std::string&>();
      if (!of.value.contains(name)) return {{}, true};
      return {Value(of.value[name])};
    }
    if (key.undefined || !key.value.is_number_integer()) return {{}, true};
    if (!of.value.is_array() && !of.value.is_string()) return {{}, true};
    const auto n = length_of(of);
    auto i = key.value.get<int64_t>();
    if (i < 0) i += n;
    if (i < 0 || i >= n) return {{}, true};
    return {items_of(of)[static_cast<size_t>(i)]};
  }

  Item slice_of(const Expr& e, Scope& scope) {
    std::optional<int64_t> parts[3];
    for (size_t i = 0; i < 3; ++i) {
      if (!e.args[i + 1]) continue;
      const Item part = evaluate(*e.args[i + 1], scope);
      if (part.undefined || part.value.is_null()) continue;
      if (!part.value.is_number_integer()) throw Problem{"a slice needs integers"};
      parts[i] = part.value.get<int64_t>();
    }
    const Item of = evaluate(*e.args[0], scope);
    if (of.undefined) throw Problem{"an undefined value cannot be sliced"};
    return slice(of.value, parts[0], parts[1], parts[2].value_or(1));
  }

  Arguments arguments(const Expr& e, Scope& scope, size_t first) {
    Arguments list;
    for (size_t i = first; i < e.args.size(); ++i)
      list.positional.push_back(evaluate(*e.args[i], scope));
    for (const auto& [name, value] : e.named)
      list.named.emplace_back(name, evaluate(*value, scope));
    return list;
  }

  Item call(const Expr& e, Scope& scope) {
    const Expr& callee = *e.args[0];
    const Arguments list = arguments(e, scope, 1);
    if (callee.kind == Expr::Kind::attribute)
      return call_method(callee.name, evaluate(*callee.args[0], scope), list);
    if (callee.kind != Expr::Kind::variable) throw Problem{"this cannot be called"};
    if (const Statement* macro = scope.macro(callee.name)) return call_macro(*macro, list, scope);
    return call_function(callee.name, list);
  }

  Item call_macro(const Statement& macro, const Arguments& list, Scope& scope) {
    if (++depth_ > kMostDepth) throw Problem{"macros call each other without end"};
    Scope* global = &scope;
    while (global->outer) global = global->outer;
    Scope inner{global, {}, {}};
    for (size_t i = 0; i < macro.names.size(); ++i) {
      if (const Item* given = list.get(i, macro.names[i].c_str()))
        inner.variables[macro.names[i]] = *given;
      else
        inner.variables[macro.names[i]] =
            macro.exprs[i] ? evaluate(*macro.exprs[i], inner) : Item{{}, true};
    }
    std::string out;
    block(macro.blocks[0], inner, out);
    --depth_;
    return {out};
  }

  Item call_function(const std::string& name, const Arguments& list) {
    if (name == "raise_exception")
      throw Problem{"the template refuses this: " +
                    (list.positional.empty() ? "" : to_text(list.positional[0]))};
    if (name == "namespace" || name == "dict") {
      Value map = Value::object();
      for (const auto& [key, item] : list.named) map[key] = item.value;
      return {map};
    }
    if (name == "range") return range(list);
    if (name == "strftime_now") {
      char text[128] = "";
      const std::time_t now = std::time(nullptr);
      std::tm parts{};
      ::localtime_r(&now, &parts);
      const Item* format = list.get(0, "format");
      if (!format) throw Problem{"strftime_now needs a format"};
      std::strftime(text, sizeof text, to_text(*format).c_str(), &parts);
      return {text};
    }
    throw Problem{"unknown function '" + name + "'"};
  }

  static Item range(const Arguments& list) {
    int64_t bounds[3] = {0, 0, 1};
    if (list.positional.empty() || list.positional.size() > 3)
      throw Problem{"range takes one to three integers"};
    for (size_t i = 0; i < list.positional.size(); ++i) {
      const Item& item = list.positional[i];
      if (item.undefined || !item.value.is_number_integer()) throw Problem{"range takes integers"};
      bounds[i] = item.value.get<int64_t>();
    }
    if (list.positional.size() == 1) std::swap(bounds[0], bounds[1]);
    if (bounds[2] == 0) throw Problem{"a range's step is not 0"};
    Value out = Value::array();
    for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1]; i += bounds[2]) {
      if (out.size() >= 1000000) throw Problem{"the range is too long"};
      out.push_back(i);
    }
    return {out};
  }

  const std::string& name_;
  int depth_ = 0;
};

}  // namespace

Template Template::parse(std::string_view source, const std::string& name) {
  Template result;
  result.name_ = name;
  result.root_ = std::make_shared<const Block>(parse_tokens(lex(source, name), name));
  return result;
}

std::string Template::render(const Value& variables) const {
  return Evaluator(name_).render(*root_, variables);
}

}  // namespace attar::jinja
