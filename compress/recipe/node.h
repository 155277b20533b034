// A recipe's YAML with its places: every value knows its file, line and key path, and every mistake
// is collected, so that a user sees all of them at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attar {

/// One mistake in a recipe.
struct Problem {
  std::string what, where, hint;  // where = "file:line: key.path"
};

/// Collects mistakes; throw_if_any() reports them all as one bad_input error.
class Problems {
 public:
  void add(std::string what, std::string where, std::string hint = {});
  bool empty() const { return list_.empty(); }
  const std::vector<Problem>& list() const { return list_; }
  /// One mistake becomes the error itself; several become a numbered list, in the order of their
  /// lines.
  void throw_if_any() const;

 private:
  std::vector<Problem> list_;
};

/// A place in a parsed YAML tree: a scalar, a list, a map, or absent. Cheap to copy.
class Node {
 public:
  Node() = default;

  /// Parses YAML text (one document; anchors, aliases and `<<` merging included); `file` is for
  /// messages. Syntax errors, duplicate keys and text that is not UTF-8 go to `problems`.
  static Node parse(const std::string& text, const std::string& file, Problems& problems);

  bool defined() const;
  bool is_map() const;
  bool is_list() const;
  bool is_scalar() const;

  /// "file:line: key.path"
  std::string where() const;
  const std::string& path() const;  // "stages.slim.keep"
  /// The last part of the path, for sentences: "keep"; of a list's item "shares.1".
  std::string key() const;
  const std::string& file() const;
  int line() const;

  /// Map access; an absent child is an undefined node that still knows its place.
  Node operator[](std::string_view key) const;
  /// Keys in file order; empty unless a map.
  std::vector<std::string> keys() const;
  /// List access. A list item that has a `name` goes by it in paths, others by their index.
  size_t size() const;
  Node at(size_t index) const;

  /// The scalar as text; empty optional when it is no scalar.
  std::optional<std::string> text() const;
  /// Typed reads; on the wrong type they add to `problems` and return nothing.
  std::optional<std::string> string(Problems& problems) const;
  std::optional<int64_t> integer(Problems& problems) const;
  std::optional<double> number(Problems& problems) const;
  std::optional<bool> boolean(Problems& problems) const;

  /// Reports every key of this map that is not in `known`, with the nearest known name.
  void reject_unknown(const std::vector<std::string>& known, Problems& problems) const;

  /// Sets `key.path` to a YAML scalar, list or map given as text (for --set); creates maps on the
  /// way. List items are addressed by their `name:` or by index. `origin` stands for the file in
  /// messages about the new value.
  void set(std::string_view key_path, const std::string& yaml_value, Problems& problems,
           const std::string& origin = "--set");
  /// Makes this scalar another text.
  void set_text(std::string text);
  /// Adds what `below` has and this map has not; maps that both have are merged likewise.
  void merge_below(const Node& below);
  /// A tree of its own with the same places.
  Node clone() const;
  /// Makes this a list of these items.
  void set_items(std::vector<Node> items) const;
  /// Removes a key from a map.
  void remove(std::string_view key);
  /// Calls `visit` with every scalar of this tree, in file order (keys are no scalars).
  void for_each_scalar(const std::function<void(Node&)>& visit) const;

  /// The tree as YAML text again: parsing it gives the same tree.
  std::string dump() const;

  struct Impl;  // of node_impl.h; nobody else's business

 private:
  friend class TreeBuilder;
  explicit Node(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  static void assign_paths(Impl& node, std::string path);
  static std::shared_ptr<Impl> copy(const Impl& node, size_t& budget);
  static void merge(Impl& map, const Impl& below, bool deep, size_t& budget);
  void must_be(const char* what, Problems& problems) const;

  std::shared_ptr<Impl> impl_;
};

}  // namespace attar
