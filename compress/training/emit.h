// Writing a trained model as a Hugging Face directory, and proof that what was written is what was
// trained.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "compress/formats/dtype.h"
#include "compress/model/trainable_model.h"

namespace attar {

struct ReadBack {
  bool passed = false;
  std::string detail;
};

/// Rounds the model's weights to `dtype`, writes `directory` (created; side files from
/// `side_files_from` unless that is empty), reads it again and compares the outputs for `input`:
/// equal to the bit, or not passed.
ReadBack emit(TrainableModel& model, nlohmann::ordered_json config, DType dtype,
              const std::filesystem::path& directory, const std::filesystem::path& side_files_from,
              const ModelInput& input);

}  // namespace attar
