// Node::set (--set key.path=value) and Node::dump (the tree as YAML again).
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "compress/base/nearest.h"
#include "compress/recipe/node.h"
#include "compress/recipe/node_impl.h"

namespace attar {
namespace {

using Kind = Node::Impl::Kind;

/// Where a map (a new key is added) or a list (by name or index) keeps its child `key`; null when
/// it has none.
std::shared_ptr<Node::Impl>* child(Node::Impl& parent, const std::string& key) {
  if (parent.kind == Kind::map) {
    for (auto& [name, value] : parent.entries)
      if (name == key) return &value;
    return &parent.entries.emplace_back(key, nullptr).second;
  }
  for (auto& item : parent.items)
    if (const auto* name = item->find("name"); name && name->scalar == key) return &item;
  size_t index = 0;
  const char* end = key.data() + key.size();
  const auto [rest, error] = std::from_chars(key.data(), end, index);
  const bool valid = error == std::errc() && rest == end && index < parent.items.size();
  return valid ? &parent.items[index] : nullptr;
}

std::shared_ptr<Node::Impl> make_node(Kind kind, const std::string& file, std::string path) {
  auto node = std::make_shared<Node::Impl>();
  node->kind = kind;
  node->file = file;
  node->path = std::move(path);
  return node;
}

void forget_lines(Node::Impl& node) {
  node.line = 0;
  for (auto& [key, value] : node.entries) forget_lines(*value);
  for (auto& item : node.items) forget_lines(*item);
}

std::vector<std::string> item_names(const Node::Impl& list) {
  std::vector<std::string> names;
  for (size_t i = 0; i < list.items.size(); ++i) {
    const auto* name = list.items[i]->find("name");
    names.push_back(name ? name->scalar : std::to_string(i));
  }
  return names;
}

/// True when YAML reads these characters back as the same text without quotes, wherever they stand.
bool is_plain(const std::string& text) {
  const auto harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == '+' || c == '-';
  };
  if (text.empty() || text[0] == '-' || text[0] == '.') {  // "- x", "---", "..."
    double number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (text.empty() || error != std::errc() || rest != end) return false;
  }
  return std::all_of(text.begin(), text.end(), harmless) && text != "null" && text != "Null" &&
         text != "NULL";
}

std::string yaml_text(const std::string& text) {
  return is_plain(text) ? text : nlohmann::json(text).dump();
}

void dump_block(const Node::Impl& node, size_t indent, bool in_line, std::string& out);

/// What follows "key:" or "-".
void dump_value(const Node::Impl& node, size_t indent, bool of_list, std::string& out) {
  if (node.kind == Kind::scalar) {
    out += " " + yaml_text(node.scalar) + "\n";
  } else if (node.kind == Kind::map && !node.entries.empty()) {
    out += of_list ? " " : "\n";
    dump_block(node, indent, of_list, out);
  } else if (node.kind == Kind::list && !node.items.empty()) {
    out += "\n";
    dump_block(node, indent, false, out);
  } else {
    out += node.kind == Kind::map ? " {}\n" : node.kind == Kind::list ? " []\n" : " ~\n";
  }
}

/// A map or list, one entry a line; with `in_line` the first entry needs no indentation.
void dump_block(const Node::Impl& node, size_t indent, bool in_line, std::string& out) {
  for (const auto& [key, value] : node.entries) {
    out += std::string(std::exchange(in_line, false) ? 0 : indent, ' ') + yaml_text(key) + ":";
    dump_value(*value, indent + 2, false, out);
  }
  for (const auto& item : node.items) {
    out += std::string(indent, ' ') + "-";
    dump_value(*item, indent + 2, true, out);
  }
}

}  // namespace

void Node::set(std::string_view key_path, const std::string& yaml_value, Problems& problems,
               const std::string& origin) {
  const std::string where = origin + ": " + std::string(key_path);
  Problems syntax;
  const Node value = parse(yaml_value, origin, syntax);
  for (const auto& problem : syntax.list()) problems.add(problem.what, where, problem.hint);
  if (!syntax.empty()) return;

  const auto place = value.impl_ ? value.impl_ : make_node(Kind::null, origin, {});
  forget_lines(*place);
  assign_paths(*place, std::string(key_path));

  std::shared_ptr<Impl>* target = &impl_;
  std::string parent;  // the path of *target
  for (size_t begin = 0; begin <= key_path.size();) {
    const size_t end = std::min(key_path.find('.', begin), key_path.size());
    const std::string key(key_path.substr(begin, end - begin));
    if (key.empty())
      return problems.add("the key path has an empty name", where, "write a.b.c=value");
    if (!*target || (*target)->kind == Kind::absent || (*target)->kind == Kind::null)
      *target = make_node(Kind::map, origin, parent);
    const std::shared_ptr<Impl> map_or_list = *target;
    target = child(*map_or_list, key);
    if (!target)
      return problems.add("'" + parent + "' has no entry '" + key + "'", where,
                          map_or_list->kind == Kind::list ? suggest(key, item_names(*map_or_list))
                                                          : "it is a single value");
    parent = key_path.substr(0, end);
    begin = end + 1;
  }
  *target = place;
}

std::string Node::dump() const {
  if (!impl_ || impl_->kind == Kind::absent) return "";
  if (impl_->kind == Kind::scalar) return yaml_text(impl_->scalar) + "\n";
  std::string out;
  if (impl_->entries.empty() && impl_->items.empty())
    out = impl_->kind == Kind::map ? "{}\n" : impl_->kind == Kind::list ? "[]\n" : "~\n";
  else
    dump_block(*impl_, 0, true, out);
  return out;
}

}  // namespace attar
