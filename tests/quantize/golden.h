// Reference values of the quantization methods, from tests/golden/methods.
#pragma once

#include <string>
#include <vector>

#include "compress/formats/safetensors.h"

namespace attar {

class Golden {
 public:
  explicit Golden(const std::string& method)
      : file_(Safetensors::open(fs::path(ATTAR_SOURCE_DIR) / "tests/golden/methods" / method /
                                "golden.safetensors")) {}
  std::vector<float> floats(const std::string& name) const { return file_.at(name).floats(); }
  std::vector<int64_t> integers(const std::string& name) const { return file_.at(name).integers(); }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

 private:
  Safetensors file_;
};

}  // namespace attar
