#include "compress/base/process.h"

#include <gtest/gtest.h>

#include <csignal>
#include <vector>

#include "compress/base/error.h"

namespace attar {
namespace {

TEST(Process, InterruptIsSeenAtTheNextCheck) {
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        check_interrupted();  // nothing yet
        std::raise(SIGINT);
        try {
          check_interrupted();
        } catch (const Error& error) {
          std::exit(static_cast<int>(error.code()));
        }
        std::exit(0);
      },
      ::testing::ExitedWithCode(130), "");
}

TEST(Process, PeakMemoryGrowsWithUse) {
  reset_peak_rss();
  const uint64_t before = peak_rss_bytes();
  std::vector<char> block(64 << 20, 1);
  EXPECT_GE(peak_rss_bytes(), before + (48u << 20)) << block[5];
}

}  // namespace
}  // namespace attar
