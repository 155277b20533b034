#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "compress/base/threads.h"
#include "compress/kernels/matmul.h"
#include "compress/pipeline/report.h"

namespace attar {
namespace {

/// The value of the first "key : value" line of /proc/cpuinfo; "" when there is none.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos && colon + 2 <= line.size())
      return line.substr(colon + 2);
  }
  return "";
}

/// The processor's features that change how fast models run, in a fixed order.
nlohmann::ordered_json features() {
  static constexpr const char* kRelevant[] = {
      "sse4_2",   "avx",      "f16c",        "fma",         "avx2",     "avx512f",  "avx512bw",
      "avx512vl", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd",
      "asimddp",  "i8mm",     "bf16",        "sve",         "sve2"};
  std::istringstream words(cpuinfo("flags") + cpuinfo("Features"));  // x86, ARM
  const std::vector<std::string> present{std::istream_iterator<std::string>(words), {}};
  auto list = nlohmann::ordered_json::array();
  for (const char* name : kRelevant)
    if (std::find(present.begin(), present.end(), name) != present.end()) list.push_back(name);
  return list;
}

}  // namespace

nlohmann::ordered_json describe_host() {
  const auto pages = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES));
  return {{"cpu", cpuinfo("model name")},
          {"features", features()},
          {"kernel", kernel_name()},
          {"threads", thread_count()},
          {"memory_bytes", pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE))}};
}

}  // namespace attar
