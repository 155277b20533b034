#include "compress/kernels/packed_file.h"

#include <fmt/core.h>

#include <cstddef>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/xxh64.h"
#include "compress/kernels/packed_values.h"
#include "compress/kernels/storage.h"

namespace attar {
namespace {

constexpr char kMagic[8] = {'a', 't', 't', 'a', 'r', 'p', 'k', '\n'};
constexpr uint64_t kLine = 64, kBehind = 4096;  // zeros behind the last part
/// Rows and columns below this keep every size far from overflow.
constexpr int64_t kLargest = int64_t{1} << 28;
constexpr size_t kLongestFormat = 64;

struct Header {
  char magic[8];
  uint32_t version, layout;
  uint64_t bytes;  // of the file
  uint64_t identity, content;
  uint64_t matrices, table_bytes;
  uint64_t check;  // of what stands before it, then of the table
};
static_assert(sizeof(Header) == kLine);

/// A matrix's shape; its name and its format's stand behind it.
struct Record {
  int64_t rows, cols, group;
  float zero;
  uint16_t format, levels;
  uint16_t name_bytes, format_bytes;
  uint8_t half_scales, int8_inputs;
  uint8_t parts;  // a bit for each that is there
  uint8_t unit_shift;
};
static_assert(sizeof(Record) == 40);

uint64_t on_line(uint64_t offset) {
  return (offset + kLine - 1) / kLine * kLine;
}

uint64_t check_of(const Header& header, std::span<const std::byte> table) {
  const auto begin = std::as_bytes(std::span(&header, 1)).first(offsetof(Header, check));
  return content_hash(table, content_hash(begin));
}

Error damaged(const fs::path& path, const std::string& place, const std::string& what) {
  return bad_input("the packed weights are damaged: " + what,
                   path.string() + (place.empty() ? "" : ": " + place),
                   "remove the file; it is written again when it is asked for");
}

// Bits of Record::parts, in the order of Storage::parts().
constexpr unsigned kScales = 3, kZeros = 4, kOffsets = 8, kScaleUnits = 16, kOffsetUnits = 32;

bool has_units(const Record& record) {
  return (record.parts & kScaleUnits) != 0;
}

/// Data and scales of codes; zeros or offsets, or neither; with units, those of all there is.
const char* objection_to_parts(const Record& record) {
  bool known = false;
  for (const unsigned parts : {kScales, kScales | kZeros, kScales | kOffsets, kScales | kScaleUnits,
                               kScales | kOffsets | kScaleUnits | kOffsetUnits})
    known = known || record.parts == parts;
  if (!known) return "impossible parts";
  const int64_t groups = (record.cols + record.group - 1) / record.group;
  const bool whole = record.unit_shift < 16 && groups % (int64_t{1} << record.unit_shift) == 0;
  if (has_units(record) ? !whole || record.half_scales != 0 : record.unit_shift != 0)
    return "impossible units";
  return nullptr;
}

/// What is wrong with a record; nullptr: nothing. Kernels rely on every line of it.
const char* objection(const Record& record) {
  if (record.format > static_cast<uint16_t>(PackedFormat::u8)) return "an unknown format";
  const auto format = static_cast<PackedFormat>(record.format);
  const bool integer = format == PackedFormat::u4 || format == PackedFormat::u8;
  if (record.rows < 1 || record.rows > kLargest || record.cols < 1 || record.cols > kLargest)
    return "impossible rows or columns";
  if (record.half_scales > 1 || record.int8_inputs > 1) return "an unknown flag";
  if (!integer &&
      (record.group != 0 || record.half_scales + record.int8_inputs + record.unit_shift != 0 ||
       record.zero != 0 || record.parts != 1 || record.levels != 0))
    return "floats with groups";
  if (!integer) return nullptr;
  if (record.group < 1 || record.group > record.cols) return "an impossible group";
  if (record.int8_inputs != 0 && record.group < record.cols && record.group % 8 != 0)
    return "a group that int8 inputs do not fit";
  if (const char* wrong = objection_to_parts(record)) return wrong;
  if (record.levels != 0) {
    const bool known = record.levels <= static_cast<uint16_t>(Levels::iq4);
    const bool fit = format == PackedFormat::u4 && record.zero == 0 && record.int8_inputs == 0 &&
                     (record.parts & (kZeros | kOffsets)) == 0;
    return known && fit ? nullptr : "impossible levels";
  }
  if ((record.parts & kOffsets) != 0) return record.zero == 0 ? nullptr : "an impossible zero";
  const auto zero = static_cast<int>(record.zero >= 0 && record.zero <= 128 ? record.zero : 0);
  const bool small = zero == 2 || zero == 4 || zero == 8;
  const bool large = zero == 16 || zero == 32 || zero == 64 || zero == 128;
  if (static_cast<float>(zero) != record.zero || !(format == PackedFormat::u4 ? small : large))
    return "an impossible zero";
  return nullptr;
}

PackedView view_of(const Record& record) {
  PackedView view{};
  view.format = static_cast<PackedFormat>(record.format);
  view.rows = record.rows;
  view.cols = record.cols;
  view.group = record.group;
  view.groups = record.group == 0 ? 0 : (record.cols + record.group - 1) / record.group;
  view.half_scales = record.half_scales != 0;
  view.int8_inputs = record.int8_inputs != 0;
  view.zero = record.zero;
  view.unit_shift = record.unit_shift;
  view.panel_bytes = panel_bytes_of(view.format, view.cols);
  return view;
}

Record record_of(const NamedMatrix& matrix) {
  const PackedMatrix::Storage& storage = matrix.second.storage();
  const PackedView& view = storage.view;
  Record record{view.rows,
                view.cols,
                view.group,
                view.zero,
                static_cast<uint16_t>(view.format),
                static_cast<uint16_t>(storage.levels),
                static_cast<uint16_t>(matrix.first.size()),
                static_cast<uint16_t>(storage.name.size()),
                view.half_scales,
                view.int8_inputs,
                0,
                static_cast<uint8_t>(view.unit_shift)};
  unsigned bit = 1, parts = 0;
  for (const AlignedBuffer* part : storage.parts()) {
    if (part->size() != 0) parts |= bit;
    bit <<= 1;
  }
  record.parts = static_cast<uint8_t>(parts);
  return record;
}

std::string table_of(std::span<const NamedMatrix> matrices) {
  std::string table;
  for (const NamedMatrix& matrix : matrices) {
    const Record record = record_of(matrix);
    table.append(reinterpret_cast<const char*>(&record), sizeof record);
    table += matrix.first + matrix.second.format();
  }
  return table;
}

std::span<const std::byte> bytes_of(const AlignedBuffer& part) {
  return {part.data(), part.size()};
}

}  // namespace

PackedFile PackedFile::open(const fs::path& path) {
  PackedFile opened;
  opened.file_ = MappedFile::open(path);
  const auto bytes = opened.file_.bytes();
  Header header{};
  if (bytes.size() >= sizeof header) std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0)
    throw bad_input("this is no file of packed weights", path.string(),
                    "where packed weights are to be kept there is another file: move it away");
  opened.current_ = header.version == kPackedFileVersion && header.layout == kPackedLayoutVersion;
  if (!opened.current_) return opened;
  if (header.bytes != bytes.size())
    throw damaged(path, "header",
                  fmt::format("{} bytes are there, not {}", bytes.size(), header.bytes));
  if (header.table_bytes > bytes.size() - sizeof header)
    throw damaged(path, "header", "the table is longer than the file");
  const auto table = bytes.subspan(sizeof header, header.table_bytes);
  if (header.check != check_of(header, table))
    throw damaged(path, "header", "it does not have the bytes that were written");
  opened.source_ = {header.identity, header.content};
  opened.read_table(table, header.matrices);
  return opened;
}

void PackedFile::read_table(std::span<const std::byte> table, uint64_t count) {
  const auto bytes = file_.bytes();
  uint64_t at = on_line(kLine + table.size());
  for (uint64_t i = 0; i < count; ++i) {
    std::string place = fmt::format("matrix {}", i);
    const auto require = [&](bool right, const char* what) {
      if (!right) throw damaged(path(), place, what);
    };
    Record record{};
    require(table.size() >= sizeof record, "the table ends early");
    std::memcpy(&record, table.data(), sizeof record);
    table = table.subspan(sizeof record);
    require(table.size() >= size_t{record.name_bytes} + record.format_bytes &&
                record.format_bytes <= kLongestFormat,
            "the table ends early");
    const std::string_view names(reinterpret_cast<const char*>(table.data()),
                                 size_t{record.name_bytes} + record.format_bytes);
    table = table.subspan(names.size());
    const auto name = names.substr(0, record.name_bytes);
    place += fmt::format(" ({})", name);
    const char* wrong = objection(record);
    require(wrong == nullptr, wrong);

    auto storage = std::make_shared<PackedMatrix::Storage>();
    storage->view = view_of(record);
    storage->name = names.substr(record.name_bytes);
    storage->levels = static_cast<Levels>(record.levels);
    const auto sizes = storage->part_bytes(has_units(record));
    const auto parts = storage->parts();
    for (size_t part = 0; part < parts.size(); ++part) {
      if ((record.parts >> part & 1) == 0) continue;
      const auto size = static_cast<uint64_t>(sizes[part]);
      require(at <= bytes.size() && size <= bytes.size() - at, "it reaches beyond the file");
      *parts[part] = AlignedBuffer(file_.owner(), bytes.subspan(at, size));
      at = on_line(at + size);
    }
    storage->point_at_parts();
    require(entries_.emplace(name, PackedMatrix(std::move(storage))).second, "a name stands twice");
  }
  if (!table.empty() || at + kBehind != bytes.size())
    throw damaged(path(), "", "there are more bytes than the table tells of");
}

PackedMatrix PackedFile::matrix(std::string_view name) const {
  const auto found = entries_.find(name);
  const std::string place = fmt::format("matrix {}", name);
  if (found == entries_.end()) throw damaged(path(), place, "it is missing");
  if (const char* wrong = find_wrong_value(found->second.storage()))
    throw damaged(path(), place, wrong);
  return found->second;
}

void PackedFile::write(const fs::path& path, const PackedSource& source,
                       std::span<const NamedMatrix> matrices) {
  const std::string table = table_of(matrices);
  uint64_t end = on_line(kLine + table.size());
  for (const auto& [name, matrix] : matrices)
    for (const AlignedBuffer* part : matrix.storage().parts()) end += on_line(part->size());
  Header header{{},
                kPackedFileVersion,
                kPackedLayoutVersion,
                end + kBehind,
                source.identity,
                source.content,
                matrices.size(),
                table.size(),
                0};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  const auto table_bytes = std::as_bytes(std::span(table));
  header.check = check_of(header, table_bytes);

  PartialFile file(path, header.bytes);
  file.write(std::as_bytes(std::span(&header, 1)), 0);
  file.write(table_bytes, kLine);
  uint64_t at = on_line(kLine + table.size());
  for (const auto& [name, matrix] : matrices)
    for (const AlignedBuffer* part : matrix.storage().parts()) {
      check_interrupted();
      file.write(bytes_of(*part), at);
      at += on_line(part->size());
    }
  file.finish();
}

}  // namespace attar
