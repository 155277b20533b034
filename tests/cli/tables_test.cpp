// list, schema, doctor: what they print is complete and fits together.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/run_command.h"

namespace {

using attar::testing::attar;
using Json = nlohmann::ordered_json;

TEST(List, EveryTableHasRowsWithNamesAndSummaries) {
  const Json all = Json::parse(attar({"list", "--json"}).out);
  for (const char* table :
       {"stages", "schemes", "losses", "criteria", "metrics", "architectures", "formats"}) {
    ASSERT_TRUE(all.contains(table)) << table;
    EXPECT_GE(all[table].size(), 3u) << table;
    std::set<std::string> names;
    for (const auto& row : all[table]) {
      EXPECT_TRUE(names.insert(row["name"]).second) << row["name"];
      EXPECT_GT(row["summary"].get<std::string>().size(), 5u) << row["name"];
    }
    EXPECT_EQ(Json::parse(attar({"list", table, "--json"}).out)[table], all[table]);
    const auto text = attar({"list", table});
    EXPECT_EQ(text.exit_code, 0);
    for (const auto& name : names) EXPECT_NE(text.out.find("  " + name), std::string::npos) << name;
  }
}

TEST(List, EveryOptionOfEveryStageIsDescribed) {
  const Json stages = Json::parse(attar({"list", "stages", "--json"}).out)["stages"];
  std::set<std::string> names;
  for (const auto& stage : stages) {
    names.insert(stage["name"]);
    ASSERT_FALSE(stage["options"].empty()) << stage["name"];
    for (const auto& option : stage["options"]) {
      EXPECT_NE(option["help"], "") << stage["name"] << "." << option["name"];
      EXPECT_NE(option["type"], "") << stage["name"] << "." << option["name"];
    }
  }
  for (const char* name : {"train", "distill", "lora", "merge", "prune", "quantize"})
    EXPECT_TRUE(names.contains(name)) << name;
}

/// Follows properties and oneOf to the schema of a stage type.
Json stage_schema(const Json& schema, const std::string& type) {
  for (const auto& stage : schema["properties"]["stages"]["items"]["oneOf"])
    if (stage["properties"]["type"]["const"] == type) return stage;
  return {};
}

TEST(Schema, HasWhatListHasAndNothingElse) {
  const auto printed = attar({"schema"});
  ASSERT_EQ(printed.exit_code, 0);
  const Json schema = Json::parse(printed.out);
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema["additionalProperties"], false);
  for (const char* key : {"attar", "name", "seed", "output", "model", "budget", "data", "stages",
                          "evaluate", "gates", "include"})
    EXPECT_TRUE(schema["properties"].contains(key)) << key;
  EXPECT_EQ(schema["properties"]["data"]["additionalProperties"]["additionalProperties"], false);
  for (const auto& stage : Json::parse(attar({"list", "stages", "--json"}).out)["stages"]) {
    const Json one = stage_schema(schema, stage["name"]);
    ASSERT_TRUE(one.is_object()) << stage["name"];
    EXPECT_EQ(one["additionalProperties"], false);
    EXPECT_EQ(one["properties"].size(), stage["options"].size() + 3);
    for (const auto& option : stage["options"])
      EXPECT_TRUE(one["properties"].contains(option["name"]))
          << stage["name"] << "." << option["name"];
  }
}

TEST(Doctor, KnowsThisMachine) {
  const auto text = attar({"doctor"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const char* part : {"processor", "kernels", "threads", "memory", "LibTorch", "BLAS"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part;
  const Json facts = Json::parse(attar({"doctor", "--json", "--threads", "1"}).out);
  EXPECT_EQ(facts["threads"], 1);
  EXPECT_GT(facts["memory_bytes"].get<uint64_t>(), 0u);
  EXPECT_TRUE(facts["slow_here"].is_array());
}

TEST(Doctor, WarnsOfAForcedCore) {
  ::setenv("OPENBLAS_CORETYPE", "Haswell", 1);
  const auto text = attar({"doctor"});
  ::unsetenv("OPENBLAS_CORETYPE");
  EXPECT_NE(text.out.find("OPENBLAS_CORETYPE=Haswell"), std::string::npos) << text.out;
}

}  // namespace
