// Where the tiny reference models lie: in tests/golden, the larger part of them beside the
// checkout.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace attar {

inline std::filesystem::path fixture(const std::string& name) {
  const std::filesystem::path root = ATTAR_SOURCE_DIR;
  const std::filesystem::path own = root / "tests/golden" / name;
  return std::filesystem::exists(own / "model.safetensors") ? own
                                                            : root / "../shared/fixtures" / name;
}

inline bool has_fixture(const std::string& name) {
  return std::filesystem::exists(fixture(name) / "model.safetensors");
}

}  // namespace attar

/// Skips a test, visibly, where the reference model is not there.
#define ATTAR_NEEDS_FIXTURE(name)  \
  if (!::attar::has_fixture(name)) \
  GTEST_SKIP() << "no reference model at " << ::attar::fixture(name)
