// Node::parse: yaml-cpp's events become a tree that knows its lines. (yaml-cpp's own tree keeps the
// last of two equal keys without a word.)
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "compress/recipe/node.h"
#include "compress/recipe/node_impl.h"

namespace attar {

class TreeBuilder : public YAML::EventHandler {
 public:
  using Impl = Node::Impl;
  using Kind = Node::Impl::Kind;

  TreeBuilder(const std::string& file, Problems& problems) : file_(file), problems_(problems) {}

  /// The finished tree; null when the document is empty.
  std::shared_ptr<Impl> finish() {
    if (root_) Node::assign_paths(*root_, "");
    for (const auto& duplicate : duplicates_) {
      const std::string& parent = duplicate.map->path;
      problems_.add("duplicate key '" + duplicate.key + "'",
                    place(duplicate.line) + (parent.empty() ? "" : parent + ".") + duplicate.key,
                    "first given on line " + std::to_string(duplicate.first_line));
    }
    return root_;
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    attach(make(Kind::null, mark, anchor));
  }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = make(Kind::scalar, mark, anchor);
    node->scalar = value;
    attach(node);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto& target = anchors_[anchor];
    const bool open = std::any_of(stack_.begin(), stack_.end(),
                                  [&](const Frame& frame) { return frame.node == target; });
    if (open) {
      problems_.add("an alias refers to what it stands in", place(mark.line + 1));
      attach(make(Kind::null, mark, 0));
    } else {
      attach(Node::copy(*target, budget_));
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(Kind::list, mark, anchor));
  }
  void OnSequenceEnd() override { stack_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(Kind::map, mark, anchor));
  }
  void OnMapEnd() override {
    const auto map = stack_.back().node;
    stack_.pop_back();
    merge_defaults(*map);
  }

 private:
  struct Frame {
    std::shared_ptr<Impl> node;
    std::optional<std::string> key;  // of a map, once read
    int key_line = 0;
  };
  struct Duplicate {
    std::shared_ptr<Impl> map;
    std::string key;
    int line, first_line;
  };

  std::string place(int line) const { return file_ + ":" + std::to_string(line) + ": "; }

  std::shared_ptr<Impl> make(Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (budget_-- == 0) throw TooManyNodes();
    auto node = std::make_shared<Impl>();
    node->kind = kind;
    node->file = file_;
    node->line = mark.line + 1;
    if (anchor) anchors_[anchor] = node;
    return node;
  }

  void open(const std::shared_ptr<Impl>& node) {
    attach(node);
    stack_.push_back({node, {}, 0});
  }

  void attach(const std::shared_ptr<Impl>& node) {
    if (stack_.empty()) {
      root_ = node;
      return;
    }
    Frame& top = stack_.back();
    if (top.node->kind == Kind::list) {
      top.node->items.push_back(node);
    } else if (!top.key) {
      if (node->kind != Kind::scalar)
        problems_.add("a key must be a plain word", place(node->line));
      top.key = node->scalar;
      top.key_line = node->line;
    } else {
      node->line = top.key_line;
      if (const Impl* first = top.node->find(*top.key))
        duplicates_.push_back({top.node, *top.key, top.key_line, first->line});
      else
        top.node->entries.emplace_back(*top.key, node);
      top.key.reset();
    }
  }

  /// `<<: *defaults` (or a list of such): keys that the map has not itself.
  void merge_defaults(Impl& map) {
    const auto entry = std::find_if(map.entries.begin(), map.entries.end(),
                                    [](const auto& e) { return e.first == "<<"; });
    if (entry == map.entries.end()) return;
    const std::shared_ptr<Impl> value = entry->second;
    map.entries.erase(entry);
    auto sources = value->items;
    if (value->kind != Kind::list) sources = {value};
    for (const auto& source : sources) {
      if (source->kind == Kind::map)
        Node::merge(map, *source, false, budget_);
      else
        problems_.add("'<<' takes a map or a list of maps", place(value->line));
    }
  }

  const std::string file_;
  Problems& problems_;
  std::shared_ptr<Impl> root_;
  std::vector<Frame> stack_;
  std::vector<Duplicate> duplicates_;
  std::map<YAML::anchor_t, std::shared_ptr<Impl>> anchors_;
  size_t budget_ = kMaxNodes;
};

namespace {

/// The first line that YAML does not allow, and why; line 0 = none. (yaml-cpp would take a control
/// character for the end of the text.)
std::pair<int, std::string> forbidden_text(const std::string& text) {
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    for (const char c : line)
      if (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r')
        return {number, "control characters have no place in YAML"};
    try {
      (void)nlohmann::json(line).dump();
    } catch (const nlohmann::json::type_error&) {
      return {number, "the text is not valid UTF-8"};
    }
  }
  return {0, {}};
}

}  // namespace

Node Node::parse(const std::string& text, const std::string& file, Problems& problems) {
  const auto place = [&](int line) { return file + ":" + std::to_string(line); };
  if (const auto [line, why] = forbidden_text(text); line) {
    problems.add(why, place(line));
    return {};
  }
  Problems found;  // moot where the syntax itself is broken
  TreeBuilder builder(file, found);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    if (TreeBuilder rest(file, found); parser.HandleNextDocument(rest))
      found.add("a second YAML document begins", place(rest.finish()->line),
                "remove the '---' and what follows");
    Node root(builder.finish());
    for (const auto& problem : found.list())
      problems.add(problem.what, problem.where, problem.hint);
    return root;
  } catch (const YAML::Exception& error) {
    problems.add("not valid YAML: " + error.msg, place(error.mark.line + 1),
                 "check indentation, quotes and brackets up to this line");
  } catch (const TooManyNodes&) {
    problems.add("more than " + std::to_string(kMaxNodes) + " values (aliases unfold without end?)",
                 file);
  }
  return {};
}

}  // namespace attar
