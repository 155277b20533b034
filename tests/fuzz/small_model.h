// Models of a few small tensors in a directory in memory, for readers of quantized layouts.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>
#include <stdlib.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "compress/base/files.h"
#include "compress/formats/weights.h"

namespace attar::fuzzing {

/// A directory in memory for this process.
struct Scratch {
  Scratch() {
    char name[] = "/dev/shm/attar-fuzz-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    directory = name;
  }
  ~Scratch() { fs::remove_all(directory); }
  fs::path directory;
};

struct ElementType {
  const char* name;
  size_t bytes;
};

struct SmallTensor {
  std::string type;
  std::vector<int64_t> shape;
  std::string bytes;
};

/// Of any of the types, any few dimensions and any content.
inline SmallTensor any_tensor(FuzzedDataProvider& input, std::span<const ElementType> types) {
  const auto type = input.ConsumeIntegralInRange<size_t>(0, types.size() - 1);
  std::vector<int64_t> shape(input.ConsumeIntegralInRange<size_t>(0, 3));
  size_t bytes = types[type].bytes;
  for (int64_t& size : shape) {
    size = input.ConsumeIntegralInRange<int64_t>(0, 9);
    bytes *= static_cast<size_t>(size);
  }
  std::string content = input.ConsumeBytesAsString(bytes);
  content.resize(bytes);
  return {types[type].name, shape, content};
}

/// The directory's one safetensors file.
inline void write_tensors(const Scratch& scratch,
                          const std::map<std::string, SmallTensor>& tensors) {
  auto header = nlohmann::ordered_json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.type},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::ofstream(scratch.directory / "model.safetensors", std::ios::binary)
      << std::string(reinterpret_cast<const char*>(&length), sizeof length) << text << data;
}

/// Every weight loads, with the shape that it is listed with.
inline void load_all(const WeightSource& weights) {
  for (const WeightInfo& info : weights.list()) {
    if (!weights.has(info.name)) std::abort();
    const Weight weight = weights.load(info.name);
    if (const auto* q = std::get_if<QuantizedMatrix>(&weight)) {
      if (info.shape != std::vector<int64_t>{q->rows, q->cols}) std::abort();
      if (dequantize(*q).size() != q->codes.size()) std::abort();
    } else if (std::get<DenseTensor>(weight).shape != info.shape) {
      std::abort();
    }
  }
}

}  // namespace attar::fuzzing
