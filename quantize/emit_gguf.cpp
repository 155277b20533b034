#include "quantize/emit_gguf.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <map>
#include <optional>

#include "compress/architecture/storage.h"

namespace attar {
namespace {

/// The rows of stored tensors out of the checkpoint's parts, the last of which is kept at hand.
class RowsOfParts {
 public:
  RowsOfParts(const ModelSpec& spec, const std::vector<QuantModule>& modules,
              const QuantizeCheckpoint& checkpoint)
      : storage_(spec), modules_(modules), checkpoint_(checkpoint) {
    for (const QuantModule& module : modules)
      by_stored_.emplace(storage_.stored_name(module.linear.weight), &module);
  }

  std::vector<std::byte> operator()(const std::string& stored) {
    const auto [first, last] = by_stored_.equal_range(stored);
    std::vector<std::byte> rows;
    for (auto row = first; row != last; ++row) place(*row->second, rows);
    return rows;
  }

 private:
  const BlockMatrix& load(const QuantModule& module) {
    if (!part_ || index_ != module.block) {
      part_ = checkpoint_.load(module.block, modules_);
      index_ = module.block;
    }
    return part_->blocks.at(module.name);
  }

  void place(const QuantModule& module, std::vector<std::byte>& rows) {
    const BlockMatrix& matrix = load(module);
    const auto* place = storage_.find(module.linear.weight);
    if (place == nullptr) {
      rows = matrix.bytes;
      return;
    }
    const auto row_bytes = static_cast<size_t>(matrix.type->row_bytes(matrix.cols));
    rows.resize(static_cast<size_t>(place->whole->units * place->unit_rows) * row_bytes);
    place->for_runs([&](int64_t from, int64_t to, int64_t count) {
      std::memcpy(rows.data() + static_cast<size_t>(to) * row_bytes,
                  matrix.bytes.data() + static_cast<size_t>(from) * row_bytes,
                  static_cast<size_t>(count) * row_bytes);
    });
  }

  Storage storage_;
  const std::vector<QuantModule>& modules_;
  const QuantizeCheckpoint& checkpoint_;
  std::multimap<std::string, const QuantModule*> by_stored_;
  std::optional<QuantizedModules> part_;
  int64_t index_ = -1;
};

Check compare(const std::vector<QuantModule>& modules, const QuantizeCheckpoint& checkpoint,
              const std::filesystem::path& path) {
  const Model written = open_model(path);
  std::map<std::string_view, const QuantModule*> by_name;
  for (const QuantModule& module : modules) by_name.emplace(module.name, &module);
  std::vector<std::string> wrong;
  for (int64_t part = 0; part < checkpoint.finished(); ++part)
    for (const auto& [name, matrix] : checkpoint.load(part, modules).blocks)
      if (written.weights->floats(by_name.at(name)->linear.weight) != dequantize(matrix))
        wrong.push_back(name);
  return {"matrices of the file", wrong.empty(),
          wrong.empty() ? fmt::format("{} matrices are exactly what was computed", modules.size())
                        : fmt::format("differ: {}", fmt::join(wrong, ", "))};
}

}  // namespace

void emit_gguf(const Model& model, const gguf_export::Mixture& mixture,
               const gguf_export::Importance& importance, const std::vector<QuantModule>& modules,
               const QuantizeCheckpoint& checkpoint, const std::filesystem::path& path,
               StageReport& report) {
  RowsOfParts rows(model.spec, modules, checkpoint);
  gguf_export::write(model, mixture, importance, path, report,
                     [&](const std::string& stored) { return rows(stored); });
  report.checks.push_back(compare(modules, checkpoint, path));
}

}  // namespace attar
