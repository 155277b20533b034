#include "compress/formats/gguf/metadata.h"

#include <fmt/core.h>

#include <array>
#include <limits>
#include <type_traits>

#include "compress/base/nearest.h"

namespace attar::gguf {
namespace {

template <class T>
constexpr bool kIsArray = false;
template <class T>
constexpr bool kIsArray<std::vector<T>> = true;

/// Names in the order of Value's alternatives; arrays follow in the same order.
constexpr std::array<const char*, 12> kNames = {"u8",  "i8",   "u16",    "i16", "u32", "i32",
                                                "f32", "bool", "string", "u64", "i64", "f64"};
static_assert(std::variant_size_v<Value> == 2 * kNames.size());

template <class T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
std::optional<int64_t> as_integer(T value) {
  if constexpr (std::is_same_v<T, uint64_t>)
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return {};
  return static_cast<int64_t>(value);
}

}  // namespace

std::string describe(const Value& value) {
  const std::string name = kNames[value.index() % kNames.size()];
  return std::visit(
      [&]<class T>(const T& v) {
        if constexpr (kIsArray<T>)
          return fmt::format("{}[{}]", name, v.size());
        else
          return fmt::format("{} {}", name, v);
      },
      value);
}

const Value* Metadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

void Metadata::set(std::string_view key, Value value) {
  const auto found = index_.find(key);
  if (found != index_.end()) {
    entries_[found->second].second = std::move(value);
    return;
  }
  index_.emplace(key, entries_.size());
  entries_.emplace_back(key, std::move(value));
}

std::optional<int64_t> Metadata::integer(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  const auto result = std::visit(
      []<class T>(const T& v) -> std::optional<int64_t> {
        if constexpr (kIsInteger<T>) return as_integer(v);
        return {};
      },
      *value);
  if (!result) throw wrong(key, *value, "an integer");
  return result;
}

std::optional<double> Metadata::number(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  const auto result = std::visit(
      []<class T>(const T& v) -> std::optional<double> {
        if constexpr (kIsInteger<T> || std::is_floating_point_v<T>) return static_cast<double>(v);
        return {};
      },
      *value);
  if (!result) throw wrong(key, *value, "a number");
  return result;
}

std::optional<bool> Metadata::flag(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  throw wrong(key, *value, "true or false");
}

const std::string* Metadata::text(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return nullptr;
  if (const auto* text = std::get_if<std::string>(value)) return text;
  throw wrong(key, *value, "a text");
}

const std::vector<std::string>* Metadata::texts(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return nullptr;
  if (const auto* texts = std::get_if<std::vector<std::string>>(value)) return texts;
  throw wrong(key, *value, "an array of texts");
}

std::optional<std::vector<int64_t>> Metadata::integers(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  auto result = std::visit(
      []<class T>(const T& v) -> std::optional<std::vector<int64_t>> {
        if constexpr (kIsArray<T>)
          if constexpr (kIsInteger<typename T::value_type>) {
            std::vector<int64_t> integers;
            for (const auto element : v) {
              const auto one = as_integer(element);
              if (!one) return {};
              integers.push_back(*one);
            }
            return integers;
          }
        return {};
      },
      *value);
  if (!result) throw wrong(key, *value, "an array of integers");
  return result;
}

std::optional<std::vector<float>> Metadata::floats(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (const auto* floats = std::get_if<std::vector<float>>(value)) return *floats;
  if (const auto* doubles = std::get_if<std::vector<double>>(value))
    return std::vector<float>(doubles->begin(), doubles->end());
  throw wrong(key, *value, "an array of floats");
}

std::optional<std::vector<bool>> Metadata::flags(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (const auto* flags = std::get_if<std::vector<bool>>(value)) return *flags;
  throw wrong(key, *value, "an array of true and false");
}

int64_t Metadata::required_integer(std::string_view key) const {
  if (const auto value = integer(key)) return *value;
  throw missing(key);
}

double Metadata::required_number(std::string_view key) const {
  if (const auto value = number(key)) return *value;
  throw missing(key);
}

const std::string& Metadata::required_text(std::string_view key) const {
  if (const auto* value = text(key)) return *value;
  throw missing(key);
}

Error Metadata::error(std::string_view key, const std::string& what,
                      const std::string& hint) const {
  return bad_input(what, fmt::format("{}: {}", where_, key), hint);
}

Error Metadata::wrong(std::string_view key, const Value& value, const char* expected) const {
  return error(key, fmt::format("is {}, expected {}", describe(value), expected));
}

Error Metadata::missing(std::string_view key) const {
  std::vector<std::string> names;
  for (const auto& [name, value] : entries_) names.push_back(name);
  const std::string close = nearest(key, names);
  return error(key, "the metadata has no such key",
               close.empty() ? "" : fmt::format("there is \"{}\"", close));
}

}  // namespace attar::gguf
