// What the sources of the C interface share. Applications include attar.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "compress/deploy/attar.h"
#include "compress/deploy/text_encoder.h"
#include "compress/deploy/text_model.h"

struct attar_model {
  attar::ModelSpec spec;
  std::string where, notes;
  std::shared_ptr<const attar::Tokenizer> tokenizer;  // null: none is there
  std::shared_ptr<const attar::TextModel> text;       // of a model that writes
  std::optional<attar::TextEncoder> encoder;          // of another
};

struct attar_session {
  attar::TextSession session;
};

namespace attar::c_api {

/// Keeps what is being thrown for attar_last_error(); the status that it stands for.
attar_status remember_exception() noexcept;

/// Runs body() -> attar_status; what it throws stays here.
template <class Body>
attar_status guarded(Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    return remember_exception();
  }
}

/// bad_input for a pointer that is NULL.
void require(const void* pointer, const char* name);

}  // namespace attar::c_api
