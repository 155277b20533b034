// A directory for files that a test makes, and safetensors files written by hand.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "tests/support/run_command.h"

namespace attar::testing {

inline const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden";

class ScratchTest : public ::testing::Test {
 protected:
  ScratchTest()
      : directory_(
            make_test_directory(::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~ScratchTest() override { fs::remove_all(directory_); }

  fs::path put(const std::string& name, const std::string& content) const {
    fs::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name, std::ios::binary) << content;
    return directory_ / name;
  }

  fs::path directory_;
};

/// The bytes of a safetensors file with this header and data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

/// The Error that `action` must throw.
template <class Action>
Error error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {ExitCode::ok, ""};
}

/// Expects a bad_input whose block holds all `parts`.
template <class Action>
void expect_bad_input(Action action, std::initializer_list<const char*> parts) {
  const Error error = error_of(action);
  EXPECT_EQ(error.code(), ExitCode::bad_input) << error.block();
  for (const char* part : parts)
    EXPECT_NE(error.block().find(part), std::string::npos) << part << " in:\n" << error.block();
}

}  // namespace attar::testing
