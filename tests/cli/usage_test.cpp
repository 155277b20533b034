// The command line itself: help, unknown names, global options, exit codes, closed pipes.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <sstream>

#include "tests/support/run_command.h"

namespace {

using attar::testing::attar;
using attar::testing::run_command;

const std::string kProgram = std::string(ATTAR_BINARY_DIR) + "/attar";

/// The first words of the overview's command lines.
std::vector<std::string> command_names() {
  std::istringstream lines(attar({"--help"}).out);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line) && line != "Examples:";)
    if (line.starts_with("  ") && !line.starts_with("  attar"))
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
  return names;
}

TEST(Usage, OverviewAndVersion) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--help"}, {"help"}, {"-h"}}) {
    const auto result = attar(arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_NE(result.out.find("validate"), std::string::npos);
    EXPECT_EQ(result.err, "");
  }
  EXPECT_EQ(attar({}).exit_code, 2);
  EXPECT_EQ(attar({"--version"}).out.substr(0, 6), "attar ");
}

TEST(Usage, EveryCommandHelpsWithExamples) {
  const auto names = command_names();
  ASSERT_GE(names.size(), 9u);
  for (const auto& name : names) {
    const auto result = attar({name, "--help"});
    EXPECT_EQ(result.exit_code, 0) << name;
    for (const char* part :
         {"usage: attar ", "Options", "--threads", "--quiet", "Examples:\n  attar "})
      EXPECT_NE(result.out.find(part), std::string::npos) << name << ": " << part;
    EXPECT_EQ(attar({"help", name}).out, result.out) << name;
  }
}

TEST(Usage, MisspeltNamesAreCorrected) {
  const auto command = attar({"validat"});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_EQ(command.err, "error: unknown command 'validat'\n  hint:  did you mean 'validate'?\n");
  const auto option = attar({"list", "--jsno"});
  EXPECT_EQ(option.exit_code, 2);
  EXPECT_EQ(option.err, "error: unknown option '--jsno'\n  hint:  did you mean '--json'?\n");
  EXPECT_EQ(attar({"help", "lst"}).exit_code, 2);
  EXPECT_EQ(attar({"--jsn"}).exit_code, 2);
}

TEST(Usage, WrongArguments) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"validate"},                      // the recipe is missing
           {"validate", "a.yaml", "b.yaml"},  // too many
           {"list", "--threads", "0"},        //
           {"list", "--threads", "many"},     //
           {"list", "--threads"},             // no value
           {"list", "--thr", "2"},            // no abbreviations
           {"list", "no_such_table"},         //
           {"schema", "surplus"},             //
           {"--quiet"},                       // no command
       }) {
    const auto result = attar(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments.back();
    EXPECT_EQ(result.out.find("usage"),
              arguments[0] == "--quiet" ? result.out.find("usage") : std::string::npos);
    if (arguments[0] != "--quiet") {
      EXPECT_TRUE(result.err.starts_with("error: ")) << result.err;
      EXPECT_EQ(result.out, "");
    }
  }
}

TEST(Usage, GlobalOptionsBeforeTheCommand) {
  const auto plain = attar({"list", "losses", "--json"});
  EXPECT_EQ(attar({"--json", "--threads", "1", "list", "losses"}).out, plain.out);
  EXPECT_EQ(attar({"--quiet", "--threads=2", "list", "losses", "--json"}).out, plain.out);
}

TEST(Usage, OutputThatCannotBeWrittenIsAFailure) {
  const auto full = run_command({"/bin/sh", "-c", "'" + kProgram + "' list > /dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_TRUE(full.err.starts_with("error: ")) << full.err;
  const auto closed =
      run_command({"/bin/bash", "-c", "'" + kProgram + "' list | true; exit ${PIPESTATUS[0]}"});
  EXPECT_TRUE(closed.exit_code == 1 || closed.exit_code == 0)
      << closed.exit_code;  // a race with `true`
}

TEST(Usage, HelpIsThereAtOnce) {
  double best = 1e9;
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    attar({"--help"});
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
#ifdef NDEBUG
  EXPECT_LT(best, 0.05) << "seconds";
#else
  EXPECT_LT(best, 0.5) << "seconds";
#endif
}

}  // namespace
