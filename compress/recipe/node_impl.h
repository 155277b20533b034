// The tree behind Node; for node.cpp and yaml_reader.cpp only.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compress/recipe/node.h"

namespace attar {

struct Node::Impl {
  enum class Kind { absent, null, scalar, list, map };

  Kind kind = Kind::absent;
  std::string scalar;
  std::vector<std::pair<std::string, std::shared_ptr<Impl>>> entries;  // of a map, in file order
  std::vector<std::shared_ptr<Impl>> items;                            // of a list
  std::string file, path;
  int line = 0;  // of the key, for a map's value; 0 = no line (--set)

  Impl* find(std::string_view key) const {
    for (const auto& [name, value] : entries)
      if (name == key) return value.get();
    return nullptr;
  }
};

/// How many nodes a document may unfold to: aliases of aliases grow without bound otherwise.
inline constexpr size_t kMaxNodes = 100'000;

/// Thrown by copies that would exceed it.
struct TooManyNodes {};

}  // namespace attar
