#include "compress/recipe/node.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "compress/base/error.h"
#include "tests/recipe/example.h"

namespace attar::testing {
namespace {

Node read(const std::string& text) {
  Problems problems;
  const Node node = Node::parse(text, "f.yaml", problems);
  EXPECT_TRUE(problems.empty()) << listed(problems);
  return node;
}

std::string complaints(const std::string& text) {
  Problems problems;
  Node::parse(text, "f.yaml", problems);
  return listed(problems);
}

TEST(Node, KnowsItsPlace) {
  const Node root =
      read("a: 1\nb:\n  c: [x, y]\nstages:\n  - name: slim\n    keep: 2\n  - {k: 1}\n");
  EXPECT_EQ(root["a"].where(), "f.yaml:1: a");
  EXPECT_EQ(root["b"]["c"].where(), "f.yaml:3: b.c");
  EXPECT_EQ(root["b"]["c"].at(1).where(), "f.yaml:3: b.c.1");
  EXPECT_EQ(root["stages"].at(0)["keep"].where(), "f.yaml:6: stages.slim.keep");
  EXPECT_EQ(root["stages"].at(1)["k"].where(), "f.yaml:7: stages.1.k");
  const Node absent = root["b"]["d"]["e"];
  EXPECT_FALSE(absent.defined());
  EXPECT_EQ(absent.where(), "f.yaml:2: b.d.e");
}

TEST(Node, ReadsTypesStrictly) {
  const Node root =
      read("i: -3\nd: 2.5e-3\nb: true\ns: text\nn: ~\nbig: 9223372036854775808\nm: {}\n");
  Problems problems;
  EXPECT_EQ(root["i"].integer(problems), -3);
  EXPECT_EQ(root["d"].number(problems), 2.5e-3);
  EXPECT_EQ(root["b"].boolean(problems), true);
  EXPECT_EQ(root["i"].string(problems), "-3");
  EXPECT_TRUE(problems.empty());
  root["d"].integer(problems);
  root["big"].integer(problems);
  root["s"].number(problems);
  root["n"].string(problems);
  root["m"].boolean(problems);
  root["x"].integer(problems);
  EXPECT_EQ(listed(problems),
            "f.yaml:2: d | 'd' must be a whole number (64 bits), not '2.5e-3' | \n"
            "f.yaml:6: big | 'big' must be a whole number (64 bits), not '9223372036854775808' | \n"
            "f.yaml:4: s | 's' must be a finite number, not 'text' | \n"
            "f.yaml:5: n | 'n' must be text, but nothing is given | \n"
            "f.yaml:7: m | 'm' must be true or false, not a map | \n"
            "f.yaml:1: x | 'x' must be a whole number (64 bits), it is missing | \n");
}

TEST(Node, RefusesWhatIsNotANumber) {
  for (const char* text :
       {"nan", ".nan", "inf", "-.inf", "1e999", "0x10", "1_000", "'1 '", "--1", "1,5"}) {
    Problems problems;
    EXPECT_FALSE(read(std::string("a: ") + text)["a"].number(problems)) << text;
    EXPECT_EQ(problems.list().size(), 1u) << text;
  }
  for (const char* text : {"yes", "True", "on", "1"}) {
    Problems problems;
    EXPECT_FALSE(read(std::string("a: ") + text)["a"].boolean(problems)) << text;
  }
}

TEST(Node, DuplicateKeysAreMistakes) {
  EXPECT_EQ(complaints("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\n"),
            "f.yaml:2: b.c | duplicate key 'c' | first given on line 2\n"
            "f.yaml:3: a | duplicate key 'a' | first given on line 1\n");
  EXPECT_EQ(complaints("s:\n  - name: x\n    k: 1\n    k: 2\n"),
            "f.yaml:4: s.x.k | duplicate key 'k' | first given on line 3\n");
}

TEST(Node, SyntaxErrorsNameTheLine) {
  EXPECT_EQ(complaints("a: [1, 2\nb: 3\n").substr(0, 9), "f.yaml:2 ");
  EXPECT_NE(complaints("a: 1\n\tb: 2\n").find("f.yaml:2"), std::string::npos);
  EXPECT_NE(complaints("a: *nobody\n").find("f.yaml:1"), std::string::npos);
  EXPECT_NE(complaints("a: 1\n---\nb: 1\n").find("second YAML document"), std::string::npos);
  EXPECT_NE(complaints("a: 1\nb: \xff\n").find("f.yaml:2 | the text is not valid UTF-8"),
            std::string::npos);
  EXPECT_NE(complaints(std::string("a: 1\nb: \x04\nc: 2\n")).find("f.yaml:2 | control char"),
            std::string::npos);
  EXPECT_NE(complaints("[a, b]: 1\n").find("a key must be a plain word"), std::string::npos);
}

TEST(Node, AnchorsAndMergeKeys) {
  const Node root = read("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\ncopy: *b\n");
  EXPECT_EQ(root["use"]["x"].text(), "1");
  EXPECT_EQ(root["use"]["y"].text(), "3");
  EXPECT_EQ(root["use"]["x"].path(), "use.x");
  EXPECT_EQ(root["copy"]["y"].text(), "2");
  EXPECT_EQ(root["copy"]["y"].where(), "f.yaml:1: copy.y");
  EXPECT_NE(complaints("a: &a [*a]\n"), "");
}

TEST(Node, AliasesCannotGrowWithoutBound) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    text += fmt::format("a{0}: &a{0} [*a{1}", i, i - 1);
    for (int k = 1; k < 10; ++k) text += fmt::format(", *a{}", i - 1);
    text += "]\n";
  }
  EXPECT_NE(complaints(text).find("aliases unfold without end"), std::string::npos);
  EXPECT_NE(complaints(std::string(100'000, '[')), "");
}

TEST(Node, DumpReadsBackTheSame) {
  const Node root = read(
      "plain: word\n"
      "quoted: 'a: b # no comment'\n"
      "\"odd key: \": \"line\\nbreak \\u00e9 \\\"q\\\"\"\n"
      "empty: ''\nnothing: ~\ntext_null: 'null'\nnone: {}\nno_items: []\n"
      "numbers: [-1, .5, 1e-3, -, --- , '- x', '?', ' lead']\n"
      "nested:\n  - [[1, 2], [], {}]\n  - {a: {b: [{c: 1, d: 2}, e]}}\n"
      "block: |\n  two\n  lines\n");
  const std::string once = root.dump();
  EXPECT_EQ(read(once).dump(), once);
  const Node again = read(once);
  EXPECT_EQ(again["odd key: "].text(), "line\nbreak é \"q\"");
  EXPECT_EQ(again["text_null"].text(), "null");
  EXPECT_FALSE(again["nothing"].is_scalar());
  EXPECT_EQ(again["numbers"].at(4).text(), "---");
  EXPECT_EQ(again["nested"].at(1)["a"]["b"].at(0)["d"].text(), "2");
  EXPECT_EQ(again["block"].text(), "two\nlines\n");
}

TEST(Node, SetReplacesAddsAndComplains) {
  Node root = read("a: {b: 1}\nstages:\n  - {name: slim, keep: 1}\n  - {name: '0'}\n");
  Problems problems;
  root.set("a.b", "2.5", problems);
  root.set("a.c.d", "{e: [1, 2]}", problems);
  root.set("stages.slim.keep", "{ffn: 0.5}", problems);
  root.set("stages.0.x", "by name first", problems);
  EXPECT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(root["a"]["b"].text(), "2.5");
  EXPECT_EQ(root["a"]["c"]["d"]["e"].at(1).where(), "--set: a.c.d.e.1");
  EXPECT_EQ(root["stages"].at(0)["keep"]["ffn"].text(), "0.5");
  EXPECT_EQ(root["stages"].at(1)["x"].text(), "by name first");
  root.set("stages.slam.keep", "1", problems);
  root.set("a.b.c", "1", problems);
  root.set("a..c", "1", problems);
  root.set("a.b", "[1", problems);
  const std::string text = listed(problems);
  EXPECT_NE(
      text.find("--set: stages.slam.keep | 'stages' has no entry 'slam' | did you mean 'slim'?"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("--set: a.b.c | 'a.b' has no entry 'c' | it is a single value"),
            std::string::npos);
  EXPECT_NE(text.find("--set: a..c | the key path has an empty name"), std::string::npos);
  EXPECT_NE(text.find("--set: a.b | not valid YAML"), std::string::npos);
  EXPECT_EQ(problems.list().size(), 4u) << text;
}

TEST(Problems, SeveralBecomeOneErrorInTheOrderOfTheLines) {
  Problems problems;
  problems.throw_if_any();
  problems.add("late", "f.yaml:12: z", "hint");
  problems.add("early", "f.yaml:2: a");
  problems.add("elsewhere", "--set: x");
  try {
    problems.throw_if_any();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_EQ(error.block(),
              "error: 3 mistakes\n"
              "  1. early\n     where: f.yaml:2: a\n"
              "  2. late\n     where: f.yaml:12: z\n     hint:  hint\n"
              "  3. elsewhere\n     where: --set: x\n");
  }
}

}  // namespace
}  // namespace attar::testing
