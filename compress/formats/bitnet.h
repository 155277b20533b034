// The weights of BitNet b1.58 as Transformers publishes them (quant_method "bitnet"): ternary, four
// values in a byte, or float masters that are rounded when they are read.
#pragma once

#include "compress/formats/checkpoint.h"
#include "compress/formats/weights.h"

namespace attar {

constexpr const char* kBitnetMethod = "bitnet";

/// The weights behind a `quantization_config` of that method; `where` is its place for messages.
///
/// Offline: `weight` uint8 [out / 4, in], of which bits 2j, 2j + 1 of row r hold 1 + the value of
/// row r + j · out/4, with `weight_scale` [1]; W = scale · ternary for linear_class
/// "autobitlinear", and ternary / scale for "bitlinear" (huggingface/transformers,
/// integrations/bitnet.py). Online: float masters, W = s · clamp(round(W / s), −1, 1) with s the
/// mean of |W| (Ma et al.: The Era of 1-bit LLMs, 2024, §2). Both are given as float32. Throws
/// bad_input for what is neither.
std::shared_ptr<const WeightSource> open_bitnet(const nlohmann::ordered_json& quantization,
                                                Checkpoint checkpoint, const std::string& where);

}  // namespace attar
