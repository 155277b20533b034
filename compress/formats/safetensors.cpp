#include "compress/formats/safetensors.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/json.h"

namespace attar {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kLongestHeader = 100'000'000;  // the reference implementation's limit too

/// The file being opened, for messages.
struct Source {
  const std::string& path;

  Error error(const std::string& what, std::string_view tensor = {}) const {
    return bad_input(what, tensor.empty() ? path : fmt::format("{}: tensor {}", path, tensor),
                     "the file is damaged or was not written as safetensors; fetch it again");
  }
  Error truncated(uint64_t promised, uint64_t has) const {
    return bad_input(
        fmt::format("truncated: the header promises {} bytes, the file has {}", promised, has),
        path, "the copy or download did not finish; fetch the file again");
  }
};

/// Reads `"shape": [2, 3]`; returns the number of elements.
uint64_t read_shape(const nlohmann::json& entry, TensorView& tensor, const Source& source) {
  if (!entry.contains("shape") || !entry["shape"].is_array())
    throw source.error("the header gives no shape", tensor.name);
  uint64_t count = 1;
  for (const auto& dimension : entry["shape"]) {
    const auto size = json_integer(dimension);
    if (!size || *size < 0)
      throw source.error(fmt::format("{} is no dimension", dimension.dump()), tensor.name);
    if (__builtin_mul_overflow(count, static_cast<uint64_t>(*size), &count) ||
        count > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      throw source.error("the shape has more elements than a file can hold", tensor.name);
    tensor.shape.push_back(*size);
  }
  return count;
}

/// A tensor and where its bytes begin, counted from the end of the header.
struct Entry {
  TensorView view;
  uint64_t begin = 0, end = 0;
};

Entry read_entry(const std::string& name, const nlohmann::json& json, const Source& source) {
  Entry entry;
  entry.view.name = name;
  if (!json.is_object()) throw source.error("the header's entry is no object", name);
  if (!json.contains("dtype") || !json["dtype"].is_string())
    throw source.error("the header gives no dtype", name);
  const auto dtype_text = json["dtype"].get<std::string>();
  const auto dtype = dtype_from_name(dtype_text);
  if (!dtype)
    throw bad_input(fmt::format("unsupported dtype \"{}\"", dtype_text),
                    fmt::format("{}: tensor {}", source.path, name),
                    "supported: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL");
  entry.view.dtype = *dtype;
  uint64_t bytes = read_shape(json, entry.view, source);
  if (__builtin_mul_overflow(bytes, dtype_size(*dtype), &bytes))
    throw source.error("the shape has more elements than a file can hold", name);
  const auto offsets = json.find("data_offsets");
  if (offsets == json.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned())
    throw source.error("the header gives no pair of data_offsets", name);
  entry.begin = (*offsets)[0].get<uint64_t>();
  entry.end = (*offsets)[1].get<uint64_t>();
  if (entry.begin > entry.end)
    throw source.error(fmt::format("its bytes begin at {} and end at {}", entry.begin, entry.end),
                       name);
  if (entry.end - entry.begin != bytes)
    throw source.error(fmt::format("{} [{}] needs {} bytes, data_offsets [{}, {}] hold {}",
                                   dtype_text, fmt::join(entry.view.shape, ", "), bytes,
                                   entry.begin, entry.end, entry.end - entry.begin),
                       name);
  return entry;
}

/// Entries must follow one another from byte 0 on, without holes or overlap, to the end of the
/// file.
void check_coverage(const std::vector<Entry>& entries, uint64_t data_begin, uint64_t data_bytes,
                    const Source& source) {
  uint64_t expected = 0, promised = 0;
  for (const Entry& entry : entries) promised = std::max(promised, entry.end);
  if (promised > data_bytes) {
    uint64_t total = 0;
    if (__builtin_add_overflow(promised, data_begin, &total))
      throw source.error("data_offsets overflow 64 bits");
    throw source.truncated(total, data_begin + data_bytes);
  }
  for (const Entry& entry : entries) {
    if (entry.begin < expected)
      throw source.error(fmt::format("its bytes begin at {} inside the tensor before, which ends "
                                     "at {} (file byte {})",
                                     entry.begin, expected, data_begin + expected),
                         entry.view.name);
    if (entry.begin > expected)
      throw source.error(fmt::format("a hole of {} bytes before it (file byte {})",
                                     entry.begin - expected, data_begin + expected),
                         entry.view.name);
    expected = entry.end;
  }
  if (expected != data_bytes)
    throw source.error(fmt::format("{} bytes after the last tensor (file byte {})",
                                   data_bytes - expected, data_begin + expected));
}

std::string_view read_header(std::span<const std::byte> file, const Source& source) {
  if (file.size() < kLengthBytes) throw source.truncated(kLengthBytes, file.size());
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kLongestHeader)
    throw source.error(fmt::format("the first 8 bytes give a header of {} bytes; the limit is {}",
                                   length, kLongestHeader));
  if (length > file.size() - kLengthBytes)
    throw source.truncated(kLengthBytes + length, file.size());
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<size_t>(length)};
}

}  // namespace

int64_t TensorView::count() const {
  return element_count(shape);
}

std::vector<float> TensorView::floats() const {
  if (!is_float(dtype))
    throw bad_input(fmt::format("holds {}, not floats", dtype_name(dtype)), "tensor " + name);
  std::vector<float> values(static_cast<size_t>(count()));
  to_float32(bytes, dtype, values);
  return values;
}

std::vector<int64_t> TensorView::integers() const {
  std::vector<int64_t> values(static_cast<size_t>(count()));
  const auto copy = [&]<class Stored>(Stored value) {
    for (size_t i = 0; i < values.size(); ++i) {
      std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
      values[i] = static_cast<int64_t>(value);
    }
  };
  switch (dtype) {
    case DType::i64:
      copy(int64_t{});
      break;
    case DType::i32:
      copy(int32_t{});
      break;
    case DType::i16:
      copy(int16_t{});
      break;
    case DType::i8:
      copy(int8_t{});
      break;
    case DType::u8:
    case DType::boolean:
      copy(uint8_t{});
      break;
    default:
      throw bad_input(fmt::format("holds {}, not integers", dtype_name(dtype)), "tensor " + name);
  }
  return values;
}

Safetensors Safetensors::open(const fs::path& path) {
  Safetensors result;
  result.file_ = MappedFile::open(path);
  const std::string path_text = path.string();
  const Source source{path_text};
  const auto file = result.file_.bytes();
  const std::string_view header = read_header(file, source);
  const auto json = parse_json<nlohmann::json>(header, path_text + " (header)");
  if (!json.is_object()) throw source.error("the header is no JSON object");

  std::vector<Entry> entries;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      entries.push_back(read_entry(name, value, source));
      continue;
    }
    if (!value.is_object()) throw source.error("__metadata__ is no object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string())
        throw source.error(fmt::format("__metadata__ \"{}\" is no string", key));
      result.metadata_[key] = text.get<std::string>();
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const uint64_t data_begin = kLengthBytes + header.size();
  check_coverage(entries, data_begin, file.size() - data_begin, source);

  for (Entry& entry : entries) {
    entry.view.bytes = file.subspan(data_begin + entry.begin, entry.end - entry.begin);
    result.index_[entry.view.name] = result.tensors_.size();
    result.tensors_.push_back(std::move(entry.view));
  }
  return result;
}

const TensorView* Safetensors::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorView& Safetensors::at(std::string_view name) const {
  if (const TensorView* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const auto& [known, unused] : index_) names.push_back(known);
  const std::string close = nearest(name, names);
  throw bad_input(fmt::format("no tensor \"{}\"", name), path().string(),
                  close.empty() ? "attar inspect lists the tensors of a file"
                                : fmt::format("did you mean \"{}\"?", close));
}

}  // namespace attar
