#include "compress/recipe/recipe.h"

#include <gtest/gtest.h>

#include <set>

#include "compress/base/hash.h"
#include "tests/recipe/example.h"

namespace attar::testing {
namespace {

TEST(Recipe, ReadsEveryPart) {
  Problems problems;
  const Recipe r = parsed(kExample, problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(r.name, "stories");
  EXPECT_EQ(r.seed, 7u);
  EXPECT_EQ(r.output, "/recipes/runs/stories");
  EXPECT_EQ(r.model, "/recipes/models/teacher");
  EXPECT_EQ(r.model_where, "recipe.yaml:5: model");
  EXPECT_EQ(r.ram_budget, uint64_t{8} << 30);
  ASSERT_EQ(r.data.size(), 3u);
  const DataSpec& held = *r.find_data("validation");
  EXPECT_EQ(held.path, "/recipes/held.jsonl");
  EXPECT_EQ(held.field, "story");
  EXPECT_EQ(held.skip, 0.1);
  EXPECT_EQ(held.take, 0.5);
  const DataSpec& calibration = *r.find_data("calibration");
  EXPECT_EQ(calibration.path, "/recipes/stories.txt");
  EXPECT_EQ(calibration.format, "text");
  EXPECT_EQ(calibration.from, "train");
  EXPECT_EQ(calibration.samples, 128);
  EXPECT_EQ(calibration.where, "recipe.yaml:10: data.calibration");
  ASSERT_EQ(r.stages.size(), 3u);
  EXPECT_EQ(r.stages[0].from, "model");
  EXPECT_EQ(r.stages[1].from, "slim");
  EXPECT_EQ(r.stages[2].from, "student");
  EXPECT_EQ(r.stages[2].type, "quantize");
  EXPECT_EQ(r.stages[2].options["scheme"].text(), "W4A16");
  EXPECT_EQ(r.stages[2].where, "recipe.yaml:14: stages.int4");
  ASSERT_TRUE(r.evaluate);
  EXPECT_EQ(r.evaluate->metrics, (std::vector<std::string>{"perplexity", "kl"}));
  EXPECT_EQ(r.evaluate->window, 256);
  ASSERT_EQ(r.gates.size(), 2u);
  EXPECT_EQ(r.gates[1].metric, "kl_mean_max");
  EXPECT_EQ(r.gates[1].bound, 0.1);
  EXPECT_EQ(r.find_stage("nobody"), nullptr);
}

TEST(Recipe, ResolvedTextIsTheSameRecipeAnywhere) {
  Problems problems;
  const Recipe r = parsed(kExample, problems, {"stages.int4.scheme=W8A16"});
  const Recipe again =
      parse_recipe(r.resolved_yaml, "recipe.yaml", "/elsewhere", {}, std::nullopt, problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(again.resolved_yaml, r.resolved_yaml);
  EXPECT_EQ(again.sha256, r.sha256);
  EXPECT_EQ(r.sha256, sha256(r.resolved_yaml));
  EXPECT_EQ(again.output, r.output);
  EXPECT_EQ(again.model, r.model);
  EXPECT_EQ(again.find_data("calibration")->path, "/recipes/stories.txt");
  EXPECT_EQ(again.stages[2].options["scheme"].text(), "W8A16");
}

TEST(Recipe, FiveMistakesAtOnce) {
  std::string text = kExample;
  text = with(text, "seed: 7", "sed: 7");
  text = with(text, "ram: 8G", "ram: lots");
  text = with(text, "from: train", "from: trian");
  text = with(text, "name: int4", "name: slim");
  text = with(text, "recovery: 0.95", "recovery: high");
  EXPECT_EQ(
      mistakes(text),
      "recipe.yaml:3: sed | unknown key 'sed' | did you mean 'seed'?\n"
      "recipe.yaml:6: budget.ram | 'lots' is no amount of memory | "
      "write 8G, 512M or a number of bytes\n"
      "recipe.yaml:10: data.calibration.from | no data entry is called 'trian' | "
      "did you mean 'train'?\n"
      "recipe.yaml:14: stages.slim.name | two stages are called 'slim' | "
      "the other: recipe.yaml:12: stages.slim\n"
      "recipe.yaml:21: evaluate.models.2 | 'int4': 'models' names stages or model | "
      "known: model, slim, student\n"
      "recipe.yaml:24: gates.int4 | 'int4': gates are for stages or model | "
      "known: model, slim, student\n"
      "recipe.yaml:24: gates.int4.recovery | 'recovery' must be a finite number, not 'high' | \n");
}

TEST(Recipe, FiveOtherMistakesAtOnce) {
  std::string text = kExample;
  text = with(text, "seed: 7", "seed: -1");
  text = with(text, "format: jsonl, field: story, skip: 0.1", "format: josnl, skip: 1.5");
  text = with(text, "name: student, type: distill, from: slim",
              "name: a/b, type: distill, from: int4");
  text = with(text, "  - name: int4\n    type: quantize", "  - name: int4\n    type: [quantize]");
  text = with(text, "metrics: [perplexity, kl]", "metrics: [perplexity, perplexity]");
  EXPECT_EQ(
      mistakes(text),
      "recipe.yaml:3: seed | 'seed' must be at least 0, not -1 | \n"
      "recipe.yaml:9: data.validation.format | 'format' cannot be 'josnl' | did you mean 'jsonl'?\n"
      "recipe.yaml:9: data.validation.skip | 'skip' must be between 0 and 1, not 1.5 | \n"
      "recipe.yaml:13: stages.a/b.name | 'a/b' cannot be a name | "
      "use letters, digits, '-' and '_', 100 at most\n"
      "recipe.yaml:13: stages.a/b.from | 'int4': must name an earlier stage or model | "
      "known: model, slim\n"
      "recipe.yaml:15: stages.int4.type | 'type' must be text, not a list | \n"
      "recipe.yaml:20: evaluate.metrics.1 | 'perplexity' is listed twice | \n");
}

TEST(Recipe, TopLevelKeysThatAreMissing) {
  EXPECT_EQ(mistakes("seed: 1\n"),
            "recipe.yaml:1 | missing key 'attar' | \n"
            "recipe.yaml:1 | missing key 'name' | \n"
            "recipe.yaml:1 | missing key 'output' | name a run directory, or give --output DIR\n"
            "recipe.yaml:1: stages | 'stages' must be a list of at least one stage | \n");
}

TEST(Recipe, OtherFormatsAndNoRecipeAtAll) {
  EXPECT_EQ(mistakes("attar: 2\nnew_key: 1\n"),
            "recipe.yaml:1: attar | recipe format 2 is not known | this attar (" ATTAR_VERSION
            ") reads format 1\n");
  for (const char* text : {"", "# nothing\n", "- a\n- b\n", "just words"})
    EXPECT_EQ(mistakes(text),
              "recipe.yaml | a recipe must be a map of keys | begin with 'attar: 1'\n")
        << text;
  Problems problems;
  load_recipe("/no/such/recipe.yaml", {}, std::nullopt, problems);
  EXPECT_NE(listed(problems).find("/no/such/recipe.yaml | cannot read the recipe"),
            std::string::npos);
}

TEST(Recipe, NamesThatCannotBe) {
  for (const char* name : {"model", "a b", "../x", ".", "''", "ä"})
    EXPECT_NE(mistakes(with(kExample, "name: student", std::string("name: ") + name)), "") << name;
  EXPECT_NE(mistakes(with(kExample, "  train:", "  'tr ain':")), "");
}

TEST(Recipe, DataEntriesInherit) {
  const auto entry = [](const std::string& lines) {
    return with(kExample, "  calibration: {from: train, samples: 128, length: 512}\n", lines);
  };
  EXPECT_NE(mistakes(entry("  calibration: {from: calibration}\n")).find("inherits from itself"),
            std::string::npos);
  EXPECT_NE(mistakes(entry("  calibration: {from: b}\n  b: {from: calibration}\n"))
                .find("inherits from itself"),
            std::string::npos);
  EXPECT_NE(mistakes(entry("  calibration: {samples: 3}\n")).find("missing key 'path'"),
            std::string::npos);
  EXPECT_NE(mistakes(entry("  calibration: text.txt\n")).find("a data entry must be a map"),
            std::string::npos);
  Problems problems;
  const Recipe r = parsed(
      entry("  calibration: {from: b, length: 4}\n  b: {from: validation, take: 0.1}\n"), problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(r.find_data("calibration")->take, 0.1);
  EXPECT_EQ(r.find_data("calibration")->skip, 0.1);
  EXPECT_EQ(r.find_data("calibration")->field, "story");
}

TEST(Recipe, ReferenceNone) {
  Problems problems;
  EXPECT_EQ(
      parsed(with(kExample, "reference: model", "reference: none"), problems).evaluate->reference,
      "");
  EXPECT_TRUE(problems.empty()) << listed(problems);
}

/// Places of all keys in `text`: [begin, end).
std::vector<std::pair<size_t, size_t>> keys_of(const std::string& text) {
  std::vector<std::pair<size_t, size_t>> keys;
  for (size_t colon = text.find(": "); colon != std::string::npos;
       colon = text.find(": ", colon + 1)) {
    const size_t begin = text.find_last_of(" {\n", colon - 1);
    keys.emplace_back(begin == std::string::npos ? 0 : begin + 1, colon);
  }
  return keys;
}

TEST(Recipe, EveryKeyMisspeltByOneLetterIsCaught) {
  // A stage's options and what they refer to are the stage table's to judge; names of metrics too.
  const std::set<std::string> judged_elsewhere = {"method",      "keep",       "ffn",    "heads",
                                                  "teacher",     "steps",      "scheme", "recovery",
                                                  "kl_mean_max", "calibration"};
  const auto keys = keys_of(kExample);
  ASSERT_GT(keys.size(), 40u);
  size_t caught = 0;
  for (const auto& [begin, end] : keys) {
    const std::string key = kExample.substr(begin, end - begin);
    const bool of_stage = (key == "data" || key == "from") &&
                          kExample.rfind("type:", begin) > kExample.rfind('\n', begin);
    if (judged_elsewhere.contains(key) || of_stage) continue;
    for (size_t i = 0; i <= key.size(); ++i) {
      std::string longer = key, other = key;
      longer.insert(longer.begin() + static_cast<long>(i), 'x');
      if (i < key.size()) other[i] = other[i] == 'q' ? 'z' : 'q';
      for (const auto& misspelt : {longer, other}) {
        if (misspelt == key) continue;
        std::string text = kExample;
        text.replace(begin, end - begin, misspelt);
        EXPECT_NE(mistakes(text), "") << key << " -> " << misspelt;
        ++caught;
      }
    }
  }
  EXPECT_GT(caught, 300u);
}

TEST(ParseBytes, AmountsAndNonsense) {
  EXPECT_EQ(parse_bytes("8G"), uint64_t{8} << 30);
  EXPECT_EQ(parse_bytes("1.5k"), 1536u);
  EXPECT_EQ(parse_bytes("64K"), 65536u);
  EXPECT_EQ(parse_bytes("512M"), uint64_t{512} << 20);
  EXPECT_EQ(parse_bytes("1073741824"), uint64_t{1} << 30);
  for (const char* text :
       {"", "G", "8Q", "8 G", "-1G", "nan", "inf", "1e3G", "0.1", "99999999T", "8GG"})
    EXPECT_FALSE(parse_bytes(text)) << text;
}

}  // namespace
}  // namespace attar::testing
