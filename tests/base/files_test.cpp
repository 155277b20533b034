#include "compress/base/files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "compress/base/error.h"

namespace attar {
namespace {

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("attar-files-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_;
};

TEST_F(Files, WriteFileReplacesWholeAndLeavesNothingElse) {
  write_file(root_ / "a.json", "first");
  write_file(root_ / "a.json", "second");
  EXPECT_EQ(read_text(root_ / "a.json"), "second");
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1);
}

TEST_F(Files, WriteFileNamesThePathWhenItFails) {
  try {
    write_file(root_ / "absent" / "a.json", "x");
    FAIL() << "a missing directory was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::failed);
    EXPECT_NE(error.where().find("absent"), std::string::npos);
  }
}

TEST_F(Files, FailedWriteKeepsTheOldFile) {
  write_file(root_ / "kept", "old");
  // A limit on file sizes makes write() fail half-way, as a full disk does.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(write_file(root_ / "kept", std::string(1 << 16, 'x')), Error);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(read_text(root_ / "kept"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1);
}

TEST_F(Files, MappedFileRefusesWhatIsNoFile) {
  EXPECT_THROW(MappedFile::open(root_), Error);
  EXPECT_THROW(MappedFile::open(root_ / "absent"), Error);
  std::ofstream(root_ / "empty");
  EXPECT_EQ(MappedFile::open(root_ / "empty").bytes().size(), 0u);
}

TEST_F(Files, StagedDirectoryAppearsOnlyOnCommit) {
  {
    StagedDirectory staged(root_ / "out");
    std::ofstream(staged.path() / "f") << "x";
    EXPECT_FALSE(fs::exists(root_ / "out"));
    staged.commit();
  }
  EXPECT_EQ(read_text(root_ / "out" / "f"), "x");
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1);
}

TEST_F(Files, StagedDirectoryWithoutCommitLeavesNothing) {
  {
    StagedDirectory staged(root_ / "out");
    std::ofstream(staged.path() / "f") << "x";
  }
  EXPECT_TRUE(fs::is_empty(root_));
}

TEST_F(Files, StagedDirectoryNeverReplacesUnasked) {
  fs::create_directories(root_ / "out");
  std::ofstream(root_ / "out" / "mine") << "precious";
  {
    StagedDirectory staged(root_ / "out");
    EXPECT_THROW(staged.commit(), Error);
  }
  EXPECT_EQ(read_text(root_ / "out" / "mine"), "precious");
  StagedDirectory staged(root_ / "out", true);
  staged.commit();
  EXPECT_TRUE(fs::is_empty(root_ / "out"));
}

TEST_F(Files, BytesOnDiskSumsFiles) {
  fs::create_directories(root_ / "d");
  std::ofstream(root_ / "d" / "a") << "12345";
  std::ofstream(root_ / "b") << "678";
  EXPECT_EQ(bytes_on_disk(root_), 8u);
  EXPECT_EQ(bytes_on_disk(root_ / "b"), 3u);
}

}  // namespace
}  // namespace attar
