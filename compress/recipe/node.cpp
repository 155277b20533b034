#include "compress/recipe/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "compress/base/nearest.h"
#include "compress/recipe/node_impl.h"

namespace attar {
namespace {

std::string join(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

template <class Number>
std::optional<Number> whole_text(const std::string& text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end) return std::nullopt;
  return value;
}

}  // namespace

bool Node::defined() const {
  return impl_ && impl_->kind != Impl::Kind::absent;
}
bool Node::is_map() const {
  return impl_ && impl_->kind == Impl::Kind::map;
}
bool Node::is_list() const {
  return impl_ && impl_->kind == Impl::Kind::list;
}
bool Node::is_scalar() const {
  return impl_ && impl_->kind == Impl::Kind::scalar;
}

const std::string& Node::path() const {
  static const std::string none;
  return impl_ ? impl_->path : none;
}

std::string Node::key() const {
  const size_t dot = path().rfind('.');
  if (dot == std::string::npos) return path();
  const bool index = path().find_first_not_of("0123456789", dot + 1) == std::string::npos;
  const size_t begin = index ? path().rfind('.', dot - 1) : dot;
  return path().substr(begin == std::string::npos ? 0 : begin + 1);
}

const std::string& Node::file() const {
  static const std::string none;
  return impl_ ? impl_->file : none;
}

int Node::line() const {
  return impl_ ? impl_->line : 0;
}

std::string Node::where() const {
  std::string place = file();
  if (line()) place += fmt::format(":{}", line());
  if (path().empty()) return place;
  return place.empty() ? path() : fmt::format("{}: {}", place, path());
}

Node Node::operator[](std::string_view key) const {
  if (is_map())
    for (const auto& [name, value] : impl_->entries)
      if (name == key) return Node(value);
  auto absent = std::make_shared<Impl>();
  absent->file = file();
  absent->line = line();
  absent->path = join(path(), key);
  return Node(std::move(absent));
}

std::vector<std::string> Node::keys() const {
  std::vector<std::string> names;
  if (is_map())
    for (const auto& [name, value] : impl_->entries) names.push_back(name);
  return names;
}

size_t Node::size() const {
  return is_list() ? impl_->items.size() : 0;
}
Node Node::at(size_t index) const {
  return Node(impl_->items.at(index));
}

std::optional<std::string> Node::text() const {
  if (!is_scalar()) return std::nullopt;
  return impl_->scalar;
}

void Node::must_be(const char* what, Problems& problems) const {
  std::string got = "it is missing";
  if (is_scalar()) got = fmt::format("not '{}'", impl_->scalar);
  if (is_list()) got = "not a list";
  if (is_map()) got = "not a map";
  if (defined() && impl_->kind == Impl::Kind::null) got = "but nothing is given";
  const std::string name = path().empty() ? "the document" : fmt::format("'{}'", key());
  problems.add(fmt::format("{} must be {}, {}", name, what, got), where());
}

std::optional<std::string> Node::string(Problems& problems) const {
  if (!is_scalar()) must_be("text", problems);
  return text();
}

std::optional<int64_t> Node::integer(Problems& problems) const {
  std::optional<int64_t> value;
  if (is_scalar()) value = whole_text<int64_t>(impl_->scalar);
  if (!value) must_be("a whole number (64 bits)", problems);
  return value;
}

std::optional<double> Node::number(Problems& problems) const {
  std::optional<double> value;
  if (is_scalar()) value = whole_text<double>(impl_->scalar);
  if (value && !std::isfinite(*value)) value.reset();
  if (!value) must_be("a finite number", problems);
  return value;
}

std::optional<bool> Node::boolean(Problems& problems) const {
  if (is_scalar() && impl_->scalar == "true") return true;
  if (is_scalar() && impl_->scalar == "false") return false;
  must_be("true or false", problems);
  return std::nullopt;
}

void Node::reject_unknown(const std::vector<std::string>& known, Problems& problems) const {
  for (const auto& key : keys())
    if (std::find(known.begin(), known.end(), key) == known.end())
      problems.add("unknown key '" + key + "'", (*this)[key].where(), suggest(key, known));
}

void Node::assign_paths(Impl& node, std::string path) {
  for (auto& [key, value] : node.entries) assign_paths(*value, join(path, key));
  for (size_t i = 0; i < node.items.size(); ++i) {
    const Impl* name = node.items[i]->find("name");
    const bool named = name && name->kind == Impl::Kind::scalar && !name->scalar.empty();
    assign_paths(*node.items[i], join(path, named ? name->scalar : std::to_string(i)));
  }
  node.path = std::move(path);
}

std::shared_ptr<Node::Impl> Node::copy(const Impl& node, size_t& budget) {
  if (budget == 0) throw TooManyNodes();
  --budget;
  auto twin = std::make_shared<Impl>(node);
  for (auto& [key, value] : twin->entries) value = copy(*value, budget);
  for (auto& item : twin->items) item = copy(*item, budget);
  return twin;
}

void Node::merge(Impl& map, const Impl& below, bool deep, size_t& budget) {
  for (const auto& [key, value] : below.entries) {
    Impl* own = map.find(key);
    if (!own)
      map.entries.emplace_back(key, copy(*value, budget));
    else if (deep && own->kind == Impl::Kind::map && value->kind == Impl::Kind::map)
      merge(*own, *value, true, budget);
  }
}

void Node::merge_below(const Node& below) {
  size_t budget = kMaxNodes;  // both trees are within it: this never throws
  if (is_map() && below.is_map()) merge(*impl_, *below.impl_, true, budget);
}

Node Node::clone() const {
  if (!impl_) return {};
  size_t budget = kMaxNodes;
  return Node(copy(*impl_, budget));
}

void Node::set_items(std::vector<Node> items) const {
  if (!impl_) return;
  impl_->kind = Impl::Kind::list;
  impl_->entries.clear();
  impl_->items.clear();
  for (auto& item : items) impl_->items.push_back(std::move(item.impl_));
}

void Node::remove(std::string_view key) {
  if (is_map())
    std::erase_if(impl_->entries, [&](const auto& entry) { return entry.first == key; });
}

void Node::set_text(std::string text) {
  impl_->kind = Impl::Kind::scalar;
  impl_->scalar = std::move(text);
}

void Node::for_each_scalar(const std::function<void(Node&)>& visit) const {
  if (!impl_) return;
  if (Node self(impl_); is_scalar()) visit(self);
  for (const auto& [key, value] : impl_->entries) Node(value).for_each_scalar(visit);
  for (const auto& item : impl_->items) Node(item).for_each_scalar(visit);
}

}  // namespace attar
