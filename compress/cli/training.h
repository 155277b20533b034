// What needs LibTorch lives in a second program, `attar-train`, beside `attar`: loading LibTorch
// takes 0.3 s, which commands that do not train should not pay. Both are built from the same
// sources; only the object file that defines training_backend() differs (training_absent.cpp,
// training_present.cpp).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compress/pipeline/stage.h"

namespace attar::cli {

struct TrainingBackend {
  void (*train)(StageContext& context);
  void (*distill)(StageContext& context);
  void (*lora)(StageContext& context);
  /// `attar logits --backend torch`: see contract of the command.
  void (*logits)(const std::filesystem::path& model, const std::filesystem::path& adapter,
                 const std::filesystem::path& input, const std::filesystem::path& output);
  std::string (*version)();  // LibTorch's version, BLAS, CPU capability: for `doctor`
};

/// Null in `attar`.
const TrainingBackend* training_backend();

/// `attar-train` beside this program, or in ../libexec/attar; empty when it is in neither place.
std::filesystem::path training_program();

/// Sets the environment variables that LibTorch runs best with; read when attar-train starts.
void prepare_training_environment();

/// In `attar`: becomes `attar-train` with the same arguments (and the environment that LibTorch
/// runs best with); returns at once in `attar-train`. bad_input when attar-train is not beside this
/// program.
void require_training();

/// The process's own arguments, kept by main().
std::vector<std::string>& process_arguments();

}  // namespace attar::cli
