#include "compress/formats/gguf/file.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <type_traits>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/dtype.h"

namespace attar::gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it stands in memory");

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kArray = 9;  // the type that says "an array of"
constexpr uint64_t kMostDimensions = 4, kLongestTensorName = 64, kLongestKey = 65535;

/// Reads the header front to back; every read is checked against the end of the file.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string path)
      : bytes_(bytes), path_(std::move(path)) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  Error error(const std::string& what) const {
    return bad_input(what, fmt::format("{}: byte {}", path_, position_),
                     "the file is damaged or was not written as GGUF; fetch it again");
  }

  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    if (count > left())
      throw bad_input(fmt::format("truncated: {} needs {} bytes, {} are left", what, count, left()),
                      fmt::format("{}: byte {}", path_, position_),
                      "the copy or download did not finish; fetch the file again");
    const auto part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }

  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }

  std::string text(std::string_view what, uint64_t longest) {
    const auto length = number<uint64_t>(what);
    if (length > longest) throw error(fmt::format("{} of {} bytes", what, length));
    const auto part = take(length, what);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  bool boolean(std::string_view what) {
    const auto value = number<uint8_t>(what);
    if (value > 1) throw error(fmt::format("{} is {}, neither true nor false", what, value));
    return value == 1;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string path_;
  uint64_t position_ = 0;
};

template <class T>
T read_one(Cursor& cursor, const std::string& key) {
  if constexpr (std::is_same_v<T, bool>)
    return cursor.boolean(key);
  else if constexpr (std::is_same_v<T, std::string>)
    return cursor.text(key, std::numeric_limits<uint64_t>::max());
  else
    return cursor.number<T>(key);
}

template <class T>
Value read_array(Cursor& cursor, const std::string& key) {
  const auto count = cursor.number<uint64_t>(key);
  // Every element takes at least as much: a false count is found before memory is asked for.
  constexpr uint64_t kLeast = std::is_same_v<T, std::string> ? sizeof(uint64_t) : sizeof(T);
  if (count > cursor.left() / kLeast)
    throw cursor.error(
        fmt::format("{} promises {} elements, more than the file holds", key, count));
  std::vector<T> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) values.push_back(read_one<T>(cursor, key));
  return values;
}

template <class T>
Value read_single(Cursor& cursor, const std::string& key) {
  return read_one<T>(cursor, key);
}

using Reader = Value (*)(Cursor&, const std::string&);

template <template <class> class Row>
constexpr std::array<Reader, 13> readers() {
  return {Row<uint8_t>::read,     Row<int8_t>::read,
          Row<uint16_t>::read,    Row<int16_t>::read,
          Row<uint32_t>::read,    Row<int32_t>::read,
          Row<float>::read,       Row<bool>::read,
          Row<std::string>::read, nullptr,
          Row<uint64_t>::read,    Row<int64_t>::read,
          Row<double>::read};
}
template <class T>
struct Single {
  static constexpr Reader read = read_single<T>;
};
template <class T>
struct Array {
  static constexpr Reader read = read_array<T>;
};

Value read_value(Cursor& cursor, const std::string& key) {
  static constexpr auto kSingle = readers<Single>(), kArrays = readers<Array>();
  const auto type = cursor.number<uint32_t>(key);
  if (type < kSingle.size() && kSingle[type] != nullptr) return kSingle[type](cursor, key);
  if (type != kArray) throw cursor.error(fmt::format("{} has the unknown type {}", key, type));
  const auto element = cursor.number<uint32_t>(key);
  if (element == kArray) throw cursor.error(fmt::format("{} holds arrays of arrays", key));
  if (element >= kArrays.size())
    throw cursor.error(fmt::format("{} has elements of the unknown type {}", key, element));
  return kArrays[element](cursor, key);
}

uint32_t read_version(Cursor& cursor, const std::string& path) {
  const auto magic = cursor.take(kMagic.size(), "the magic number");
  if (std::memcmp(magic.data(), kMagic.data(), kMagic.size()) != 0)
    throw bad_input("no GGUF file: it does not begin with \"GGUF\"", path);
  const auto version = cursor.number<uint32_t>("the version");
  if (version == 2 || version == 3) return version;
  const bool swapped = __builtin_bswap32(version) <= 3;
  throw bad_input(swapped ? "a big-endian GGUF file" : fmt::format("GGUF version {}", version),
                  path, "supported: little-endian files of version 2 and 3");
}

void read_metadata(Cursor& cursor, uint64_t count, Metadata& metadata) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = cursor.text("a key", kLongestKey);
    if (metadata.has(key)) throw cursor.error(fmt::format("the key {} appears twice", key));
    metadata.set(key, read_value(cursor, key));
  }
}

int64_t read_alignment(const Metadata& metadata) {
  const int64_t alignment = metadata.integer(kAlignmentKey).value_or(kDefaultAlignment);
  if (alignment < 1 || alignment > (1 << 30) ||
      !std::has_single_bit(static_cast<uint64_t>(alignment)))
    throw metadata.error(kAlignmentKey, fmt::format("{} is no power of two", alignment));
  return alignment;
}

/// A tensor and where its bytes begin, counted from the end of the header.
struct Entry {
  Tensor tensor;
  uint64_t offset = 0, size = 0;
};

Entry read_entry(Cursor& cursor) {
  Entry entry;
  Tensor& tensor = entry.tensor;
  tensor.name = cursor.text("a tensor's name", kLongestTensorName);
  const auto fail = [&](const std::string& what) {
    return cursor.error(fmt::format("tensor {}: {}", tensor.name, what));
  };
  const auto dimensions = cursor.number<uint32_t>(tensor.name);
  if (dimensions < 1 || dimensions > kMostDimensions)
    throw fail(fmt::format("{} dimensions", dimensions));
  uint64_t count = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.number<uint64_t>(tensor.name);
    constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (size < 1 || size > kMost || __builtin_mul_overflow(count, size, &count) || count > kMost)
      throw fail(fmt::format("dimension {} is {}", i, size));
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
  }
  const auto type = cursor.number<uint32_t>(tensor.name);
  tensor.type = find_tensor_type(type);
  if (tensor.type == nullptr)
    throw fail(fmt::format("is of the type {}, which is not known", type));
  if (tensor.cols() % tensor.type->block != 0)
    throw fail(fmt::format("{} columns are no multiple of the {} that a block of {} holds",
                           tensor.cols(), tensor.type->block, tensor.type->name));
  if (__builtin_mul_overflow(count / static_cast<uint64_t>(tensor.type->block),
                             static_cast<uint64_t>(tensor.type->bytes), &entry.size))
    throw fail("more bytes than a file can hold");
  entry.offset = cursor.number<uint64_t>(tensor.name);
  return entry;
}

/// Every tensor lies in the data, aligned, and none in another.
void place_tensors(std::vector<Entry>& entries, std::span<const std::byte> data, int64_t alignment,
                   const std::string& path) {
  for (Entry& entry : entries) {
    const std::string where = fmt::format("{}: tensor {}", path, entry.tensor.name);
    uint64_t end = 0;
    if (__builtin_add_overflow(entry.offset, entry.size, &end) || end > data.size())
      throw bad_input(fmt::format("truncated: its {} bytes at {} end after the {} of the data",
                                  entry.size, entry.offset, data.size()),
                      where, "the copy or download did not finish; fetch the file again");
    if (entry.offset % static_cast<uint64_t>(alignment) != 0)
      throw bad_input(
          fmt::format("its offset {} is no multiple of the alignment {}", entry.offset, alignment),
          where);
    entry.tensor.bytes = data.subspan(entry.offset, entry.size);
  }
  std::vector<const Entry*> order;
  for (const Entry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(),
            [](const Entry* a, const Entry* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->offset + order[i - 1]->size > order[i]->offset)
      throw bad_input(fmt::format("its bytes begin inside those of {}", order[i - 1]->tensor.name),
                      fmt::format("{}: tensor {}", path, order[i]->tensor.name),
                      "the file is damaged; fetch it again");
}

}  // namespace

int64_t Tensor::count() const {
  return element_count(shape);
}

std::vector<float> Tensor::floats() const {
  if (type->decode == nullptr)
    throw bad_input(fmt::format("holds {} blocks, which are not read", type->name),
                    "tensor " + name, "convert the file to a type that `attar list formats` names");
  return decode(*type, bytes, count() / cols(), cols());
}

File File::open(const fs::path& path) {
  File result;
  result.file_ = MappedFile::open(path);
  const std::string where = path.string();
  Cursor cursor(result.file_.bytes(), where);
  result.version_ = read_version(cursor, where);
  const auto tensors = cursor.number<uint64_t>("the number of tensors");
  const auto keys = cursor.number<uint64_t>("the number of keys");
  result.metadata_ = Metadata(where);
  read_metadata(cursor, keys, result.metadata_);

  std::vector<Entry> entries;
  for (uint64_t i = 0; i < tensors; ++i) entries.push_back(read_entry(cursor));
  const auto alignment = read_alignment(result.metadata_);
  const auto step = static_cast<uint64_t>(alignment);
  const uint64_t begin = (cursor.position() + step - 1) / step * step;
  const auto file = result.file_.bytes();
  place_tensors(entries, file.subspan(std::min<uint64_t>(begin, file.size())), alignment, where);
  for (Entry& entry : entries) {
    if (!result.index_.emplace(entry.tensor.name, result.tensors_.size()).second)
      throw bad_input("the tensor appears twice",
                      fmt::format("{}: tensor {}", where, entry.tensor.name));
    result.tensors_.push_back(std::move(entry.tensor));
  }
  return result;
}

const Tensor* File::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const Tensor& File::at(std::string_view name) const {
  if (const Tensor* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const auto& [known, unused] : index_) names.push_back(known);
  const std::string close = nearest(name, names);
  throw bad_input(fmt::format("no tensor \"{}\"", name), path().string(),
                  close.empty() ? "attar inspect lists the tensors of a file"
                                : fmt::format("did you mean \"{}\"?", close));
}

std::string File::place(const Tensor& tensor) const {
  return fmt::format("{}: tensor {}", path().string(), tensor.name);
}

bool is_gguf(const fs::path& path) {
  if (!fs::is_regular_file(path)) return false;
  std::ifstream file(path, std::ios::binary);
  char begin[kMagic.size()] = {};
  file.read(begin, sizeof begin);
  return file && std::string_view(begin, sizeof begin) == kMagic;
}

std::optional<fs::path> find_model_file(const fs::path& path) {
  if (is_gguf(path)) return path;
  if (!fs::is_directory(path) || fs::exists(path / "config.json")) return {};
  std::optional<fs::path> only;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() != ".gguf") continue;
    if (only)
      throw bad_input(fmt::format("two GGUF files, {} and {}", only->filename().string(),
                                  entry.path().filename().string()),
                      path.string(), "name the file that is meant");
    only = entry.path();
  }
  return only;
}

std::optional<fs::path> find_vocabulary_file(const fs::path& path) {
  if (auto model = find_model_file(path)) return model;
  const fs::path file = path / kVocabularyFile;
  if (fs::exists(file)) return file;
  return {};
}

}  // namespace attar::gguf
