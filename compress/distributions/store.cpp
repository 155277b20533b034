#include "compress/distributions/store.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/progress.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

constexpr int64_t kSegmentBytes = 8 << 20;
constexpr const char* kFormat = "attar distributions 1";

int64_t bytes_per_row(int64_t k) {
  return k * 6 + 2 * 4 + 8;
}

template <class T>
void append(std::vector<T>& to, const T* from, int64_t count) {
  to.insert(to.end(), from, from + count);
}

/// The tensors of a segment in memory.
struct Segment {
  std::vector<uint64_t> sequences;
  std::vector<int64_t> starts = {0};
  std::vector<int32_t> ids;
  std::vector<uint16_t> log_p;
  std::vector<float> log_rest;
  std::vector<double> loss;

  void add(uint64_t high, uint64_t low, const TopRowsView& rows) {
    sequences.insert(sequences.end(), {high, low});
    starts.push_back(starts.back() + rows.rows);
    append(ids, rows.ids, rows.rows * rows.k);
    append(log_p, rows.log_p, rows.rows * rows.k);
    append(log_rest, rows.log_rest, rows.rows * 2);
    append(loss, rows.loss, rows.rows);
  }

  template <class F>
  void each(const F& f) const {
    f("sequences", std::as_bytes(std::span(sequences)));
    f("starts", std::as_bytes(std::span(starts)));
    f("loss", std::as_bytes(std::span(loss)));
    f("log_rest", std::as_bytes(std::span(log_rest)));
    f("ids", std::as_bytes(std::span(ids)));
    f("log_p", std::as_bytes(std::span(log_p)));
  }
};

void write_segment(const fs::path& file, const Segment& s, int64_t k) {
  Sha256 hash;
  s.each([&](const char*, std::span<const std::byte> bytes) { hash.update(bytes); });
  const auto n = std::ssize(s.starts) - 1, rows = s.starts.back();
  SafetensorsWriter writer(file,
                           {{"sequences", DType::i64, {n, 2}},
                            {"starts", DType::i64, {n + 1}},
                            {"loss", DType::f64, {rows}},
                            {"log_rest", DType::f32, {rows, 2}},
                            {"ids", DType::i32, {rows, k}},
                            {"log_p", DType::f16, {rows, k}}},
                           {{"format", kFormat}, {"sha256", hash.hex()}});
  s.each([&](const char* name, std::span<const std::byte> bytes) { writer.write(name, bytes); });
  writer.finish();
}

/// bad_input unless a segment is what write_segment wrote for this key.
void require_whole(const Safetensors& file, const DistributionKey& key) {
  const auto metadata = [&](const char* name) {
    const auto found = file.metadata().find(name);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  const auto damaged = [&] { return bad_input("the segment is damaged", file.path().string()); };
  if (metadata("format") != kFormat) throw damaged();
  Sha256 hash;
  for (const auto& tensor : file.tensors()) hash.update(tensor.bytes);
  const int64_t rows = file.at("loss").count();
  const auto starts = file.at("starts").integers();
  const auto ids = file.at("ids").integers();
  const bool whole =
      metadata("sha256") == hash.hex() &&
      file.at("ids").shape == std::vector<int64_t>{rows, key.k} &&
      file.at("log_p").shape == file.at("ids").shape && file.at("log_rest").count() == 2 * rows &&
      file.at("sequences").count() == 2 * (std::ssize(starts) - 1) && starts.front() == 0 &&
      std::is_sorted(starts.begin(), starts.end()) && starts.back() == rows &&
      std::all_of(ids.begin(), ids.end(), [&](int64_t id) { return id >= 0 && id < key.vocab; });
  if (!whole) throw damaged();
}

/// A tensor's elements where they lie in the file.
template <class T>
const T* elements(const Safetensors& file, const char* name) {
  const void* start = file.at(name).bytes.data();
  if (reinterpret_cast<uintptr_t>(start) % alignof(T) != 0)
    throw bad_input("the segment is damaged", file.path().string());
  return static_cast<const T*>(start);
}

}  // namespace

std::string DistributionKey::hash() const {
  return sha256(fmt::format("{} {} {} {} {}", kFormat, model, vocab, k, temperature));
}

DistributionStore::DistributionStore(const fs::path& directory, DistributionKey key)
    : directory_(directory / key.hash().substr(0, 16)), key_(std::move(key)) {
  key_.k = std::min(key_.k, key_.vocab);
  std::error_code none;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory_, none))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    segments_ = std::max(segments_, std::atoi(file.stem().c_str()));
    try {
      open_segment(file);
    } catch (const Error& e) {
      say(fmt::format("left out, and computed again: {} ({})", file.string(), e.what()));
    }
  }
}

DistributionStore::~DistributionStore() {
  try {
    flush();
  } catch (const Error& e) {
    say(std::string("distributions were not kept: ") + e.what());
  }
}

void DistributionStore::open_segment(const fs::path& path) {
  const Safetensors file = Safetensors::open(path);
  require_whole(file, key_);
  owners_.push_back(file.owner());
  const auto* sequences = elements<uint64_t>(file, "sequences");
  const auto starts = file.at("starts").integers();
  const TopRowsView all{key_.k,
                        starts.back(),
                        elements<int32_t>(file, "ids"),
                        elements<uint16_t>(file, "log_p"),
                        elements<float>(file, "log_rest"),
                        elements<double>(file, "loss")};
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    const int64_t begin = starts[i];
    known_[{sequences[2 * i], sequences[2 * i + 1]}] = {key_.k,
                                                        starts[i + 1] - begin,
                                                        all.ids + begin * key_.k,
                                                        all.log_p + begin * key_.k,
                                                        all.log_rest + begin * 2,
                                                        all.loss + begin};
  }
}

DistributionStore::Name DistributionStore::name_of(std::span<const int32_t> ids, int64_t first) {
  const std::string hex =
      Sha256().update(std::as_bytes(ids)).update(fmt::format(" {}", first)).hex();
  return {std::stoull(hex.substr(0, 16), nullptr, 16),
          std::stoull(hex.substr(16, 16), nullptr, 16)};
}

std::optional<TopRowsView> DistributionStore::find(std::span<const int32_t> ids,
                                                   int64_t first) const {
  const auto found = known_.find(name_of(ids, first));
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

void DistributionStore::add(std::span<const int32_t> ids, int64_t first, TopRows rows) {
  const Name name = name_of(ids, first);
  if (known_.contains(name)) return;
  auto owned = std::make_unique<const TopRows>(std::move(rows));
  known_[name] = owned->view();
  pending_rows_ += owned->view().rows;
  pending_.emplace_back(name, std::move(owned));
  if (pending_rows_ * bytes_per_row(key_.k) >= kSegmentBytes) flush();
}

void DistributionStore::flush() {
  if (pending_.empty()) return;
  Segment segment;
  for (const auto& [name, rows] : pending_) segment.add(name.first, name.second, rows->view());
  fs::create_directories(directory_);
  const fs::path file = directory_ / fmt::format("{:06}.safetensors", ++segments_);
  write_segment(file, segment, key_.k);
  open_segment(file);  // from now on read there, not kept in memory
  pending_.clear();
  pending_rows_ = 0;
}

bool DistributionStore::has_all(const std::vector<PredictedIds>& sequences) const {
  return std::all_of(sequences.begin(), sequences.end(),
                     [&](const PredictedIds& s) { return find(s.ids, s.first).has_value(); });
}

double DistributionStore::mean_coverage(const std::vector<PredictedIds>& sequences) const {
  double sum = 0;
  int64_t count = 0;
  for (const auto& s : sequences) {
    const auto rows = find(s.ids, s.first);
    for (int64_t r = 0; r < rows->rows; ++r) sum += coverage(rows->at(r));
    count += rows->rows;
  }
  return sum / static_cast<double>(count);
}

uint64_t DistributionStore::bytes() const {
  return fs::exists(directory_) ? bytes_on_disk(directory_) : 0;
}

}  // namespace attar
