#include "compress/recipe/options.h"

#include <gtest/gtest.h>

#include "tests/recipe/example.h"

namespace attar::testing {
namespace {

struct Keep {
  double ffn = 1, heads = 1;
  template <class Visitor>
  void fields(Visitor& v) {
    v("ffn", ffn, "share of neurons", above(0, 1));
    v("heads", heads, "share of heads", above(0, 1));
  }
};

struct Sample {
  std::string method = "width", data;
  int64_t layers = 4;
  double rate = 1e-3;
  bool tied = true;
  std::optional<int64_t> rank;
  std::vector<std::string> targets = {"q_proj"};
  std::vector<double> shares;
  Keep keep;
  std::optional<Keep> late;

  template <class Visitor>
  void fields(Visitor& v) {
    v("method", method, "what to cut", one_of("width", "depth"));
    v("data", data, "entry", required());
    v("layers", layers, "how many stay", between(1, 100));
    v("rate", rate, "step", above(0));
    v("tied", tied, "shared");
    v("rank", rank, "rank", at_least(1));
    v("targets", targets, "names");
    v("shares", shares, "of each", between(0, 1));
    v("keep", keep, "shares");
    v("late", late, "shares later");
  }
};

Sample read(const std::string& yaml, Problems& problems) {
  const Node node = Node::parse(yaml, "f.yaml", problems);
  return parse_options<Sample>(node, problems, {"name"});
}

TEST(Options, ParseThenDumpGivesEveryField) {
  Problems problems;
  const Sample sample = read(
      "{name: x, data: d, layers: 2, rank: 8, targets: [a, b], shares: 0.5, keep: {ffn: 0.25}}",
      problems);
  EXPECT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(dump_options(sample).dump(),
            R"({"method":"width","data":"d","layers":2,"rate":0.001,"tied":true,"rank":8,)"
            R"("targets":["a","b"],"shares":[0.5],"keep":{"ffn":0.25,"heads":1.0},"late":null})");
}

TEST(Options, DumpParsesToTheSameOptions) {
  Problems problems;
  const Sample sample =
      read("{data: d, tied: false, rate: 0.1, late: {heads: 0.5}, rank: 3}", problems);
  const auto dumped = dump_options(sample);
  EXPECT_EQ(dump_options(read(dumped.dump(), problems)), dumped);  // JSON is YAML
  EXPECT_TRUE(problems.empty()) << listed(problems);
}

TEST(Options, EveryMistakeWithItsPlace) {
  Problems problems;
  read(
      "method: widht\n"
      "layers: 0\n"
      "rate: 0\n"
      "tied: yes\n"
      "rank: 1.5\n"
      "shares: [0.5, 2]\n"
      "keep: {ffn: nan, hats: 1}\n"
      "late: 3\n"
      "tragets: x\n",
      problems);
  EXPECT_EQ(listed(problems),
            "f.yaml:1: method | 'method' cannot be 'widht' | did you mean 'width'?\n"
            "f.yaml:1 | missing key 'data' | \n"
            "f.yaml:2: layers | 'layers' must be between 1 and 100, not 0 | \n"
            "f.yaml:3: rate | 'rate' must be above 0, not 0 | \n"
            "f.yaml:4: tied | 'tied' must be true or false, not 'yes' | \n"
            "f.yaml:5: rank | 'rank' must be a whole number (64 bits), not '1.5' | \n"
            "f.yaml:6: shares.1 | 'shares.1' must be between 0 and 1, not 2 | \n"
            "f.yaml:7: keep.ffn | 'ffn' must be a finite number, not 'nan' | \n"
            "f.yaml:7: keep.hats | unknown key 'hats' | did you mean 'heads'?\n"
            "f.yaml:8: late | 'late' must be a map of options | \n"
            "f.yaml:9: tragets | unknown key 'tragets' | did you mean 'targets'?\n");
}

TEST(Options, DescribeNamesTypeDefaultRange) {
  const auto rows = describe_options<Sample>();
  ASSERT_EQ(rows.size(), 10u);
  EXPECT_EQ(rows[0].type, "text");
  EXPECT_EQ(rows[0].default_value, "\"width\"");
  EXPECT_EQ(rows[0].range, "width | depth");
  EXPECT_EQ(rows[1].default_value, "");
  EXPECT_EQ(rows[2].range, "between 1 and 100");
  EXPECT_EQ(rows[3].range, "above 0");
  EXPECT_EQ(rows[5].type, "integer");
  EXPECT_EQ(rows[5].default_value, "");
  EXPECT_EQ(rows[5].range, "at least 1");
  EXPECT_EQ(rows[6].type, "list of text");
  EXPECT_EQ(rows[6].default_value, "[\"q_proj\"]");
  EXPECT_EQ(rows[8].type, "map");
  EXPECT_EQ(rows[8].fields.at(0).range, "above 0 and at most 1");
  EXPECT_EQ(rows[9].type, "map");
}

}  // namespace
}  // namespace attar::testing
