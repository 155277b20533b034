// The tiny models of tests/golden that the families are tested with.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "compress/architecture/family.h"
#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "tests/support/fixtures.h"

namespace attar::testing {

inline const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden";

inline nlohmann::ordered_json golden_config(const std::string& model,
                                            const std::string& file = "config.json") {
  const fs::path path = kGolden / model / file;  // also of models whose weights are not there
  return parse_json<nlohmann::ordered_json>(read_text(path), path.string());
}

inline ModelSpec golden_spec(const std::string& model) {
  return read_model_spec(golden_config(model), model);
}

/// The bad_input that `action` must throw, as the block that a user sees.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input) << error.block();
    return error.block();
  }
  ADD_FAILURE() << "no error";
  return {};
}

inline void expect_parts(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << part << " in:\n" << text;
}

}  // namespace attar::testing
