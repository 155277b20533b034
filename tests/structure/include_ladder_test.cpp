// The architecture as a test: who may include whom. The ladder in CONTRIBUTING.md, read from the
// code.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kLadder = {
    "base",   "recipe",        "formats", "tokenizer", "architecture", "kernels",  "runtime",
    "deploy", "distributions", "data",    "hub",       "model",        "training", "pipeline"};
const std::vector<std::string> kAreas = {"distill", "prune", "quantize", "lora", "eval", "export"};
// The deployable part: an application embeds it without YAML, datasets or LibTorch.
const std::vector<std::string> kDeployable = {"base",    "formats", "tokenizer", "architecture",
                                              "kernels", "runtime", "deploy"};
const std::vector<std::string> kMayUseTorch = {"model", "training", "cli", "distill", "lora"};

struct Include {
  fs::path file;  // relative to the source root
  int line;
  std::string target;
};

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

long rung(const std::string& name) {
  return std::find(kLadder.begin(), kLadder.end(), name) - kLadder.begin();
}

/// "compress/formats/x.h" -> "formats"; "quantize/gptq.h" -> "quantize"; anything else -> "".
std::string place(const fs::path& path) {
  auto part = path.begin();
  if (part == path.end()) return "";
  if (*part == "compress" && ++part != path.end()) return part->string();
  return contains(kAreas, part->string()) ? part->string() : "";
}

std::vector<Include> all_includes() {
  std::vector<Include> found;
  const fs::path root = ATTAR_SOURCE_DIR;
  const std::regex pattern(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::vector<fs::path> tops = {root / "compress"};
  for (const auto& area : kAreas) tops.push_back(root / area);
  for (const auto& top : tops)
    for (const auto& entry : fs::recursive_directory_iterator(top)) {
      const auto extension = entry.path().extension();
      if (extension != ".cpp" && extension != ".h" && extension != ".inc") continue;
      std::ifstream file(entry.path());
      int number = 0;
      for (std::string line; std::getline(file, line);) {
        ++number;
        if (std::smatch match; std::regex_search(line, match, pattern))
          found.push_back({fs::relative(entry.path(), root), number, match[1]});
      }
    }
  return found;
}

/// Why this include is a wrong arrow; "" when it is fine.
std::string objection(const Include& include) {
  const std::string from = place(include.file), to = place(include.target);
  if (include.target.starts_with("torch/") || include.target.starts_with("ATen/")) {
    if (!contains(kMayUseTorch, from)) return "LibTorch is for model/ and above";
    return "";
  }
  if (to.empty() || to == from || from == "cli") return "";
  if (to == "cli") return "nothing includes the command line";
  if (contains(kAreas, to)) return "areas meet through artifacts, not through includes";
  if (contains(kAreas, from)) return "";
  if (rung(to) > rung(from)) return "a rung includes only the rungs above it in the list";
  if (contains(kDeployable, from) && !contains(kDeployable, to))
    return "the deployable runtime stays free of recipes and data";
  return "";
}

TEST(IncludeLadder, EveryArrowPointsUpTheLadder) {
  const auto includes = all_includes();
  ASSERT_GT(includes.size(), 200u) << "the scan found too little to be right";
  for (const auto& include : includes)
    EXPECT_EQ(objection(include), "")
        << include.file << ":" << include.line << " includes " << include.target;
}

TEST(IncludeLadder, TorchHeaderStandsOnlyInSources) {
  for (const auto& include : all_includes()) {
    const bool in_header = include.file.extension() == ".h" && include.target == "torch/torch.h";
    EXPECT_FALSE(in_header) << include.file << ":" << include.line;
  }
}

TEST(IncludeLadder, ObjectsToWrongArrows) {
  EXPECT_NE(objection({"compress/base/x.h", 1, "compress/recipe/recipe.h"}), "");
  EXPECT_NE(objection({"compress/runtime/x.h", 1, "compress/recipe/recipe.h"}), "");
  EXPECT_NE(objection({"quantize/x.h", 1, "eval/evaluate.h"}), "");
  EXPECT_NE(objection({"compress/pipeline/x.h", 1, "compress/cli/command.h"}), "");
  EXPECT_NE(objection({"compress/formats/x.h", 1, "torch/torch.h"}), "");
  EXPECT_EQ(objection({"compress/pipeline/x.h", 1, "compress/recipe/recipe.h"}), "");
  EXPECT_EQ(objection({"eval/x.h", 1, "compress/runtime/model.h"}), "");
}

TEST(SourceFiles, StayReadable) {
  const fs::path root = ATTAR_SOURCE_DIR;
  std::vector<fs::path> tops = {root / "compress"};
  for (const auto& area : kAreas) tops.push_back(root / area);
  for (const auto& top : tops)
    for (const auto& entry : fs::recursive_directory_iterator(top)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path());
      const auto lines = std::count(std::istreambuf_iterator<char>(file), {}, '\n');
      EXPECT_LE(lines, 600) << entry.path() << ": split it along what it does";
    }
}

}  // namespace
