#include "compress/cli/smoke_steps.h"

#include <algorithm>
#include <cmath>

#include "compress/pipeline/gguf/metadata.h"
#include "compress/runtime/encoder.h"
#include "compress/runtime/model.h"
#include "export/export.h"

namespace attar::cli {
namespace {

/// Loads a model that writes text and reads some ids, in one go and one by one.
std::vector<float> runtime_logits(const Model& opened, int64_t count) {
  const auto model = RuntimeModel::load(opened);
  const int64_t vocab = model->spec().vocab;
  const auto ids = smoke_ids(vocab, count);
  std::vector<float> together(static_cast<size_t>(count * vocab)), single(together.size());
  Session(model).advance_all(ids, together.data());
  Session session(model);
  for (int64_t i = 0; i < count; ++i)
    session.advance_all(std::span(ids).subspan(static_cast<size_t>(i), 1),
                        single.data() + i * vocab);
  if (together != single)
    throw failure("one by one, the ids give other logits than read in one go",
                  opened.path.string());
  return together;
}

/// Loads an encoder and reads a text, alone and beside another.
std::vector<float> encoder_result(const Model& opened, int64_t count) {
  const auto model = EncoderModel::load(opened);
  const auto ids = smoke_ids(model->spec().vocab, count);
  const TextIds text{ids, {}}, other{std::span(ids).first(ids.size() / 3 + 1), {}};
  const auto alone = model->run(std::span(&text, 1));
  const TextIds both[] = {other, text};
  const auto beside = model->run(both);
  if (!std::equal(alone.begin(), alone.end(), beside.end() - static_cast<long>(alone.size())))
    throw failure("beside another, a text gives another result", opened.path.string());
  return alone;
}

}  // namespace

std::vector<int32_t> smoke_ids(int64_t vocab, int64_t count) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((i * i * 37 + 5) % vocab));
  return ids;
}

std::vector<float> results_of(const Model& model, int64_t count) {
  return model.spec.task == Task::causal_lm ? runtime_logits(model, count)
                                            : encoder_result(model, count);
}

std::string difference(std::span<const float> found, std::span<const float> expected) {
  constexpr float kTolerance = 1e-3f;
  if (found.size() != expected.size())
    throw failure(fmt::format("{} values where the runtime has {}", found.size(), expected.size()));
  float worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const float one = std::abs(expected[i] - found[i]);
    if (!(one <= worst)) worst = one;  // NaN too
  }
  const std::string text = fmt::format("largest difference to the runtime {:.2g}", worst);
  if (!(worst <= kTolerance)) throw failure(text);
  return text;
}

void check_gguf(const std::filesystem::path& directory, std::span<const float> expected,
                Outcome& outcome) {
  const std::filesystem::path file = directory / "model.gguf";
  ExportOptions options;
  options.format = "gguf:f32";
  if (const std::string why = gguf_export::why_not(open_model(directory / "model")); !why.empty()) {
    outcome.leave_out("gguf out", "export", why);
    return outcome.leave_out("gguf in", "import", why);
  }
  const bool written = outcome.step("gguf out", "export", [&] {
    StageReport report;
    export_model(open_model(directory / "model"), options, {}, file, report);
    for (const Check& check : report.checks)
      if (!check.passed) throw failure(check.name + ": " + check.detail);
    return fmt::format("{} tensors", report.layers.size());
  });
  if (!written) return outcome.skip("gguf in", "import", "needs gguf out");
  outcome.step("gguf in", "import", [&] {
    const Model opened = open_model(file);
    const int64_t count = std::min(kSmokeIds, opened.spec.max_positions);
    const bool writes = opened.spec.task == Task::causal_lm;
    return difference(
        results_of(opened, count),
        writes ? expected.first(static_cast<size_t>(count * opened.spec.vocab)) : expected);
  });
}

}  // namespace attar::cli
