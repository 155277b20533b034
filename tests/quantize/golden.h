// Reference values of the quantization methods, from tests/golden/methods.
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "compress/formats/safetensors.h"

namespace attar {

class Golden {
 public:
  explicit Golden(const std::string& method)
      : file_(Safetensors::open(fs::path(ATTAR_SOURCE_DIR) / "tests/golden/methods" / method /
                                "golden.safetensors")) {}
  /// A fixture beside the checkout, too large to be part of it; nullopt when it is not there.
  static std::optional<Golden> shared(const std::string& method) {
    const fs::path path =
        fs::path(ATTAR_SOURCE_DIR) / "../shared/fixtures/methods" / method / "golden.safetensors";
    if (!fs::exists(path)) return std::nullopt;
    return Golden(Safetensors::open(path));
  }

  std::vector<float> floats(const std::string& name) const { return file_.at(name).floats(); }
  std::vector<int64_t> integers(const std::string& name) const { return file_.at(name).integers(); }
  std::vector<double> doubles(const std::string& name) const {
    const TensorView& tensor = file_.at(name);
    std::vector<double> values(tensor.bytes.size() / sizeof(double));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

 private:
  explicit Golden(Safetensors file) : file_(std::move(file)) {}
  Safetensors file_;
};

}  // namespace attar
