#include "export/stage.h"

#include "compress/base/error.h"
#include "compress/pipeline/calibration.h"
#include "export/export.h"
#include "export/importance.h"

namespace attar {
namespace {

nlohmann::ordered_json resolve(const Node& node, Problems& problems) {
  const auto options = parse_options<ExportOptions>(node, problems, kStageKeys);
  try {
    const bool gguf = writes_one_file(options.format, node["format"].where());
    if (!gguf && !options.data.empty())
      problems.add("data weighs the errors of GGUF formats only", node["data"].where());
  } catch (const Error& error) {
    problems.add(error.what(), error.where(), error.hint());
  }
  return dump_options(options);
}

void references(const Node& node, std::vector<std::string>& data, std::vector<std::string>&) {
  if (const auto name = node["data"].text()) data.push_back(*name);
}

StageEstimate estimate(const StageSpec&, const Recipe&, const EstimateInput& input) {
  StageEstimate result;
  result.config = input.config;
  result.parameters = input.parameters;
  result.bytes = input.bytes;  // at most: no format is larger than what is read
  result.peak_bytes = input.bytes * 2;
  result.seconds = static_cast<double>(input.bytes) / 50e6;
  return result;
}

void run(StageContext& context) {
  const auto options = context.options<ExportOptions>();
  const Model model = open_model(context.input);
  gguf_export::Importance importance;
  if (!options.data.empty()) {
    const TokenWindows windows = calibration_windows(context, options.data, model.spec);
    context.report.facts["calibration"] = audited_facts(context, windows, model.spec);
    importance = gguf_export::measure_importance(model, windows);
  }
  const std::filesystem::path directory = context.output / "model";
  std::filesystem::create_directories(directory);
  const bool file = writes_one_file(options.format, "format");
  export_model(model, options, importance, file ? directory / "model.gguf" : directory,
               context.report);
}

}  // namespace

StageType export_stage() {
  StageType type;
  type.name = "export";
  type.summary = "writes the model in another format: dense, GPTQ, AWQ, compressed-tensors, GGUF";
  type.describe = describe_options<ExportOptions>;
  type.resolve = resolve;
  type.references = references;
  type.estimate = estimate;
  type.run = run;
  return type;
}

}  // namespace attar
