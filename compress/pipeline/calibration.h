// Calibration data as stages that stream blocks need it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/pipeline/stage.h"
#include "compress/runtime/hidden_stream.h"

namespace attar {

/// How many ids a window of this entry has when it doesn't say: 512, or the model's maximum.
int64_t calibration_window(const DataSpec& data, int64_t max_positions);

/// How many windows the entry gives at most when it doesn't say.
inline constexpr int64_t kCalibrationWindows = 128;

/// How many single texts an encoder is calibrated with when the entry doesn't say.
inline constexpr int64_t kCalibrationTexts = 1024;

/// The windows of data entry `name` for the stage's input model, tokenized with its tokenizer
/// unless they are ids; for an encoder single texts (text_windows).
TokenWindows calibration_windows(const StageContext& context, const std::string& name,
                                 const ModelSpec& spec);

/// The first `count` of the windows before a model's first block. `spec` must outlive the stream.
HiddenStream calibration_stream(const ModelSpec& spec, const WeightSource& weights,
                                const TokenWindows& windows, int64_t count);

/// What a model gives for the first `count` windows, a block at a time: logits of every position,
/// [positions, vocab]; of an encoder a result a text (see EncoderHead). With `blocks`, only those
/// blocks are passed.
std::vector<float> streamed_results(const ModelSpec& spec, const WeightSource& weights,
                                    const TokenWindows& windows, int64_t count,
                                    const std::vector<int64_t>& blocks = {});

/// What a report says about them.
nlohmann::ordered_json calibration_facts(const TokenWindows& windows);

/// The same, and how much of them the recipe's evaluation data holds too: from 1 % of the tokens on
/// a fallback, because results then flatter. Windows that repeat are counted.
nlohmann::ordered_json audited_facts(const StageContext& context, const TokenWindows& windows,
                                     const ModelSpec& spec);

/// The float type that a config.json says the weights have; float32 when it says nothing.
DType stored_dtype(const nlohmann::ordered_json& config);

}  // namespace attar
