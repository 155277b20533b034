// A directory for a test's files, gone afterwards.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/recipe/recipe.h"

namespace attar::testing_data {

class Scratch : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("attar-data-" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  /// Writes a file and gives the data entry for it.
  DataSpec file(const std::string& name, std::string_view content) {
    fs::create_directories((directory_ / name).parent_path());
    write_file(directory_ / name, content);
    DataSpec spec;
    spec.path = directory_ / name;
    spec.where = "recipe.yaml:3: data.train";
    return spec;
  }

  fs::path directory_;
};

/// The error that `action` throws: its block, or "" when it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    return error.block();
  }
  return "";
}

}  // namespace attar::testing_data
