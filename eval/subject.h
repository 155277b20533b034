// A model as an evaluation sees it before its weights are loaded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/pipeline/evaluation.h"
#include "compress/runtime/model.h"
#include "compress/tokenizer/tokenizer.h"
#include "eval/metric.h"

namespace attar::eval {

struct Subject {
  std::string name;
  std::filesystem::path adapter;  // folded into `model`; "" = none
  bool packed_cache = false;      // see EvaluationModel
  Model model;
  ModelSize size;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: none, or not needed and not readable
  std::string tokenizer_note;                  // its hash, or why there is none

  uint64_t memory_estimate() const;  // of the loaded model, bytes
  RuntimeOptions runtime(Activations activations) const;
};

/// Reads configuration, headers and tokenizer. With `text`, a tokenizer that is missing or can't be
/// read is bad_input; for ready-made ids it is a note.
Subject open_subject(const EvaluationModel& model, bool text);

/// How inputs enter the model's products: "exact" or "int8" as chosen, and "int8 a row" where its
/// quantized weights are made for that (W8A8).
std::string activations_of(const Model& model, Activations chosen);

/// bad_input unless KL and top-1 of `model` to `reference` mean something: the same tokens by id.
/// That texts become the same ids is for their material to show (require_same_ids).
void require_comparable(const Subject& model, const Subject& reference);

}  // namespace attar::eval
