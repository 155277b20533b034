// attar doctor: what this machine offers, and what would be slow on it and why.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/threads.h"
#include "compress/cli/command.h"
#include "compress/cli/training.h"
#include "compress/kernels/matmul.h"
#include "compress/pipeline/plan.h"
#include "compress/pipeline/report.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

/// "MemAvailable" of /proc/meminfo in bytes; 0 when the system does not say.
uint64_t memory_info(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::stoull(line.substr(key.size() + 1)) * 1024;
  return 0;
}

/// Where Debian's alternatives lead libblas to; "" when there is none.
std::string blas_library() {
  for (const char* folder :
       {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"}) {
    std::error_code code;
    const fs::path library = fs::canonical(fs::path(folder) / "libblas.so.3", code);
    if (!code) return library.string();
  }
  return {};
}

/// Processors that the control group grants, 0 = no limit.
double processor_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && period > 0 ? quota / period : 0;
}

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

/// What attar-train says about its LibTorch: {program, version} or {program, error}; {} without the
/// program.
Json libtorch() {
  if (const auto* backend = training_backend()) return {{"version", backend->version()}};
  const fs::path program = training_program();
  if (program.empty()) return Json::object();
  prepare_training_environment();
  Json result = {{"program", program.string()}};
  std::string output;
  const std::string command = quoted(program.string()) + " doctor --json --quiet 2>&1";
  if (FILE* pipe = ::popen(command.c_str(), "r")) {
    std::array<char, 4096> buffer{};
    while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
      output.append(buffer.data(), count);
    ::pclose(pipe);
  }
  const Json answer = Json::parse(output, nullptr, false);
  if (answer.is_object() && answer.contains("libtorch") && answer["libtorch"].contains("version"))
    result["version"] = answer["libtorch"]["version"];
  else
    result["error"] = output.substr(0, output.find('\n'));
  return result;
}

bool has_feature(const Json& host, const std::string& name) {
  const Json& features = host["features"];
  return std::find(features.begin(), features.end(), name) != features.end();
}

/// What is slow here, one sentence each: why, and what helps.
std::vector<std::string> advice(const Json& facts) {
  std::vector<std::string> notes;
  const Json& host = facts["host"];
  if (const char* forced = std::getenv("ATTAR_CPU"))
    notes.push_back(
        fmt::format("ATTAR_CPU={} chooses the kernels; unset it for the fastest", forced));
  else if (kernel_name() == "portable")
    notes.push_back("matrix products run on the portable kernels: this processor has no AVX2");
  else if (kernel_name() == "avx2")
    notes.push_back("matrix products use AVX2: this processor has no AVX-512 with VNNI");
  else if (kernel_name() == "neon")
    notes.push_back("matrix products use plain NEON: this processor has no int8 dot products");
  if (!has_feature(host, "avx512_bf16") && !has_feature(host, "amx_bf16") &&
      !has_feature(host, "bf16"))
    notes.push_back("bf16 training is no faster than fp32: the processor has no bf16 instructions");
  const std::string blas = facts["blas"];
  if (facts["libtorch"].empty())
    notes.push_back("train, distill and lora can't run: the program attar-train is not there");
  else if (facts["libtorch"].contains("error"))
    notes.push_back("attar-train does not start: " + facts["libtorch"]["error"].get<std::string>());
  else if (blas.find("openblas-openmp") == std::string::npos)
    notes.push_back(
        "fp32 training takes about twice as long with this BLAS: install libopenblas0-openmp");
  if (const Json& core = facts["openblas_coretype"]; core.is_string())
    notes.push_back(
        fmt::format("OPENBLAS_CORETYPE={} can halve fp32 matrix products; attar unsets it for "
                    "its own training",
                    core.get<std::string>()));
  if (const double quota = processor_quota(); quota > 0 && quota + 0.5 < thread_count())
    notes.push_back(
        fmt::format("{} threads share {:.1f} processors (control group limit): use --threads {}",
                    thread_count(), quota, std::max(1, static_cast<int>(quota))));
  if (facts["memory_available_bytes"].get<uint64_t>() < (uint64_t{1} << 30))
    notes.push_back("less than 1 GiB of memory is free: use small models and windows");
  if (facts["disk_free_bytes"].get<uint64_t>() < (uint64_t{1} << 30))
    notes.push_back("less than 1 GiB is free on the disk of this directory");
#ifndef NDEBUG
  notes.push_back("this attar is a debug build: everything takes many times longer");
#endif
  return notes;
}

Json examine() {
  Json facts;
  facts["version"] = ATTAR_VERSION;
  facts["host"] = describe_host();
  facts["kernel"] = kernel_name();
  facts["threads"] = thread_count();
  facts["memory_bytes"] = memory_info("MemTotal");
  facts["memory_available_bytes"] = memory_info("MemAvailable");
  facts["disk_free_bytes"] = fs::space(fs::current_path()).available;
  facts["blas"] = blas_library();
  const char* core = std::getenv("OPENBLAS_CORETYPE");  // gone after libtorch()
  facts["openblas_coretype"] = core ? Json(core) : Json();
  facts["libtorch"] = libtorch();
  facts["slow_here"] = advice(facts);
  return facts;
}

std::string libtorch_text(const Json& torch) {
  if (torch.contains("version")) return torch["version"];
  return torch.contains("error") ? "attar-train does not start"
                                 : "not there (no program attar-train)";
}

std::string features_text(const Json& host) {
  std::string text;
  for (const auto& feature : host["features"]) text += feature.get<std::string>() + " ";
  return text;
}

void print(const Json& facts) {
  const auto line = [](const char* what, const std::string& value) {
    fmt::print("{:<10} {}\n", what, value);
  };
  const auto bytes = [&](const char* key) { return human_bytes(facts[key].get<uint64_t>()); };
  const Json& host = facts["host"];
  line("attar", facts["version"]);
  line("processor", host.value("cpu", "unknown"));
  line("features", features_text(host));
  line("kernels", facts["kernel"]);
  line("threads", std::to_string(facts["threads"].get<int>()));
  line("memory", bytes("memory_available_bytes") + " free of " + bytes("memory_bytes"));
  line("disk", bytes("disk_free_bytes") + " free here");
  line("LibTorch", libtorch_text(facts["libtorch"]));
  line("BLAS", facts["blas"].get<std::string>().empty() ? "none" : facts["blas"]);
  fmt::print("\n");
  if (facts["slow_here"].empty()) fmt::print("Nothing here makes attar slow.\n");
  for (const auto& note : facts["slow_here"]) fmt::print("slow: {}\n", note.get<std::string>());
}

int run(const Command& self, const std::vector<std::string>& args) {
  const auto parsed = parse(self, args, po::options_description("Options"), {});
  if (parsed.help_shown) return 0;
  const Json facts = examine();
  if (parsed.json)
    fmt::print("{}\n", facts.dump(2));
  else
    print(facts);
  return 0;
}

}  // namespace

Command doctor_command() {
  return {"doctor", "", "what this machine offers, what would be slow on it and why",
          "attar doctor\n"
          "attar doctor --json",
          run};
}

}  // namespace attar::cli
