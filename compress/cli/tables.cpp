#include "compress/cli/tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "compress/architecture/family.h"
#include "compress/cli/command.h"
#include "distill/losses.h"
#include "eval/metric.h"
#include "export/export.h"
#include "prune/criteria.h"
#include "quantize/schemes.h"

namespace attar::cli {
namespace {

template <class Items>
std::vector<TableRow> names_and_summaries(const Items& items) {
  std::vector<TableRow> rows;
  for (const auto& item : items)
    rows.push_back({std::string(item.name), std::string(item.summary), {}});
  return rows;
}

std::vector<TableRow> stage_rows() {
  std::vector<TableRow> rows;
  for (const auto& type : toolbox().stages)
    rows.push_back({std::string(type.name), std::string(type.summary), type.describe()});
  return rows;
}

std::vector<TableRow> scheme_rows() {
  return names_and_summaries(schemes());
}
std::vector<TableRow> criterion_rows() {
  return names_and_summaries(criteria());
}
std::vector<TableRow> loss_rows() {
  return names_and_summaries(distill::losses());
}
std::vector<TableRow> metric_rows() {
  return names_and_summaries(eval::metrics());
}
std::vector<TableRow> architecture_rows() {
  return names_and_summaries(families());
}

std::string gguf_types() {
  std::vector<std::string> names;
  for (const ExportFormat& row : export_formats())
    if (row.name.starts_with("gguf:")) names.push_back(row.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<TableRow> format_rows() {
  return {
      {"huggingface",
       "config.json + safetensors, one file or sharded; F32, F16, BF16: in and out",
       {}},
      {"compressed-tensors",
       "the same with int weights (pack-quantized), or with int8 inputs (int-quantized): in and "
       "out",
       {}},
      {"gptq", "the same as GPTQModel stores int weights, v1 and v2: in and out", {}},
      {"awq", "the same as AutoAWQ's GEMM kernels store int4 weights: in and out", {}},
      {"bitsandbytes",
       "the same as bitsandbytes stores NF4 and FP4 weights: in (with double quantization, and "
       "LLM.int8) and out",
       {}},
      {"gguf", "llama.cpp's files: in; out as " + gguf_types(), {}},
      {"peft", "LoRA adapters, adapter_config.json + safetensors: in and out", {}},
      {"tokenizer.json",
       "BPE (byte-level, SentencePiece-like), WordPiece, Unigram: in; byte-level BPE: out",
       {}},
      {"data", "text, JSONL, CSV, TSV, token ids in safetensors: in", {}},
  };
}

}  // namespace

std::span<const Table> tables() {
  static const std::array rows = {
      Table{"stages", "types of stages and their options", stage_rows},
      Table{"schemes", "how quantized weights are kept (quantize: scheme)", scheme_rows},
      Table{"losses", "what distillation minimizes (distill: loss)", loss_rows},
      Table{"criteria", "what tells important units from others (prune)", criterion_rows},
      Table{"metrics", "what an evaluation measures", metric_rows},
      Table{"architectures", "model families that are read", architecture_rows},
      Table{"formats", "files that are read and written", format_rows},
  };
  return rows;
}

}  // namespace attar::cli
