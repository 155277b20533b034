// attar export: a model in another format, read back and compared before it appears.
#include "export/export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compress/base/error.h"
#include "compress/base/progress.h"
#include "compress/cli/command.h"

namespace attar::cli {
namespace {

/// Where the artifact is made: in a directory beside its place, whose contents or only file then
/// move there.
void export_to(const Model& model, const ExportOptions& options, const fs::path& output,
               StageReport& report) {
  const bool file = writes_one_file(options.format, "--format");
  fs::path final_path = fs::absolute(output).lexically_normal();
  if (!final_path.has_filename()) final_path = final_path.parent_path();
  if (file && fs::is_directory(final_path)) final_path /= "model.gguf";
  if (fs::exists(final_path))
    throw bad_input("the output exists already", final_path.string(),
                    "choose another place, or remove it");
  fs::path workplace = final_path;
  if (file) workplace += ".export";
  StagedDirectory staged(workplace);
  const fs::path made = file ? staged.path() / final_path.filename() : staged.path();
  export_model(model, options, {}, made, report);
  for (const Check& check : report.checks)
    if (!check.passed)
      throw Error(ExitCode::gate, fmt::format("{}: {}", check.name, check.detail),
                  final_path.string(), "nothing was written");
  if (!file) return staged.commit();
  std::error_code code;
  fs::rename(made, final_path, code);
  if (code) throw failure("cannot put the file in place: " + code.message(), final_path.string());
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  ExportOptions chosen;
  std::string model, output;
  std::vector<std::string> names;
  for (const ExportFormat& row : export_formats()) names.push_back(row.name);
  const std::string format_help = fmt::format("{}", fmt::join(names, ", "));
  options.add_options()                                                              //
      ("model", po::value(&model)->required(), "model directory or GGUF file")       //
      ("format", po::value(&chosen.format)->required(), format_help.c_str())         //
      ("output", po::value(&output)->required(), "directory to make, or GGUF file")  //
      ("dtype", po::value(&chosen.dtype)->default_value("keep"),
       "of dense weights in directories: keep, float32, float16, bfloat16")  //
      ("max-kl", po::value(&chosen.max_kl)->default_value(chosen.max_kl),
       "fail (exit 3) when the KL divergence on a short probe exceeds this");
  po::positional_options_description positional;
  positional.add("model", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  if (chosen.dtype != "keep" &&
      !(dtype_from_torch_name(chosen.dtype) && is_float(*dtype_from_torch_name(chosen.dtype))))
    throw bad_input("unknown dtype '" + chosen.dtype + "'", "--dtype",
                    "known: keep, float32, float16, bfloat16");
  writes_one_file(chosen.format, "--format");

  const Model opened = open_model(model);
  StageReport report;
  export_to(opened, chosen, output, report);
  for (const Fallback& row : report.fallbacks)
    say(fmt::format("note: {}: {} ({})", row.where, row.what, row.why));
  auto checks = nlohmann::ordered_json::array();
  for (const Check& check : report.checks) {
    say(fmt::format("{}: {}", check.name, check.detail));
    checks.push_back({{"name", check.name}, {"detail", check.detail}});
  }
  if (parsed.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"output", output},
                                              {"format", chosen.format},
                                              {"bytes", bytes_on_disk(output)},
                                              {"checks", std::move(checks)}}
                           .dump(2));
  else
    fmt::print("{}\n", output);
  return 0;
}

}  // namespace

Command export_command() {
  return {"export", "MODEL --format F --output DIR_OR_FILE [options]",
          "writes a model in another format, reads it back and compares",
          "attar export models/teacher --format gguf:q4_k_m --output teacher.gguf\n"
          "attar export runs/chat/int4/model --format gptq --output int4-gptq\n"
          "attar export model.gguf --format hf --output model-hf --dtype bfloat16",
          run};
}

}  // namespace attar::cli
