#include "compress/architecture/storage.h"

#include <fmt/core.h>

#include <cstring>
#include <mutex>
#include <optional>

#include "compress/base/error.h"
#include "compress/base/threads.h"

namespace attar {
namespace {

constexpr std::string_view kWeight = ".weight";

/// Rows of a part from a dense whole [rows, …] whose rows are not transposed.
DenseTensor cut_rows(const DenseTensor& whole, const Storage::Place& place) {
  const int64_t total = place.whole->units * place.unit_rows;
  const size_t row_bytes = whole.bytes.size() / static_cast<size_t>(total);
  DenseTensor part{whole.dtype, whole.shape, {}, nullptr};
  part.shape[0] = place.whole->units * place.rows;
  if (place.whole->units == 1 || place.rows == place.unit_rows) {
    part.bytes = whole.bytes.subspan(static_cast<size_t>(place.first) * row_bytes,
                                     static_cast<size_t>(part.shape[0]) * row_bytes);
    part.owner = whole.owner;
    return part;
  }
  auto bytes =
      std::make_shared<std::vector<std::byte>>(static_cast<size_t>(part.shape[0]) * row_bytes);
  place.for_runs([&](int64_t to, int64_t from, int64_t count) {
    std::memcpy(bytes->data() + static_cast<size_t>(to) * row_bytes,
                whole.bytes.data() + static_cast<size_t>(from) * row_bytes,
                static_cast<size_t>(count) * row_bytes);
  });
  part.bytes = *bytes;
  part.owner = bytes;
  return part;
}

/// Copies [in, total] columns from … into rows to … of [out, in], elements of `size` bytes.
void transpose_run(const std::byte* whole, int64_t in, int64_t total, int64_t from, int64_t count,
                   size_t size, std::byte* part) {
  constexpr int64_t kTile = 16;
  parallel_for((count + kTile - 1) / kTile, 4, [&](int64_t begin, int64_t end) {
    const int64_t last = std::min(count, end * kTile);
    for (int64_t i = 0; i < in; ++i)
      for (int64_t o = begin * kTile; o < last; ++o)
        std::memcpy(part + static_cast<size_t>(o * in + i) * size,
                    whole + static_cast<size_t>(i * total + from + o) * size, size);
  });
}

/// The other way: rows of [out, in] into columns to … of [in, total].
void place_columns(const std::byte* part, int64_t in, int64_t total, int64_t to, int64_t count,
                   size_t size, std::byte* whole) {
  for (int64_t o = 0; o < count; ++o)
    for (int64_t i = 0; i < in; ++i)
      std::memcpy(whole + static_cast<size_t>(i * total + to + o) * size,
                  part + static_cast<size_t>(o * in + i) * size, size);
}

DenseTensor cut_columns(const DenseTensor& whole, const Storage::Place& place) {
  const int64_t in = whole.shape[0], total = whole.shape[1];
  const size_t size = dtype_size(whole.dtype);
  const int64_t out = place.whole->units * place.rows;
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(out * in) * size);
  place.for_runs([&](int64_t to, int64_t from, int64_t count) {
    transpose_run(whole.bytes.data(), in, total, from, count, size,
                  bytes->data() + static_cast<size_t>(to * in) * size);
  });
  return {whole.dtype, {out, in}, *bytes, bytes};
}

template <class T>
void copy_rows(const std::vector<T>& from, int64_t from_row, std::vector<T>& to, int64_t to_row,
               int64_t count, int64_t width) {
  if (from.empty()) return;
  std::copy_n(from.begin() + from_row * width, count * width, to.begin() + to_row * width);
}

/// An empty matrix of `rows` rows that are like those of `like`.
QuantizedMatrix empty_like(const QuantizedMatrix& like, int64_t rows) {
  QuantizedMatrix q{like.layout, rows, like.cols, {}, {}, {}};
  q.codes.resize(static_cast<size_t>(rows * q.cols));
  q.scales.resize(static_cast<size_t>(rows * q.groups()));
  if (!like.zeros.empty()) q.zeros.resize(q.scales.size());
  if (!like.offsets.empty()) q.offsets.resize(q.scales.size());
  q.unit_groups = like.unit_groups;
  if (q.unit_groups > 0) q.scale_units.resize(q.scales.size() / static_cast<size_t>(q.unit_groups));
  if (!like.offset_units.empty()) q.offset_units.resize(q.scale_units.size());
  return q;
}

void copy_rows(const QuantizedMatrix& from, int64_t from_row, QuantizedMatrix& to, int64_t to_row,
               int64_t count) {
  copy_rows(from.codes, from_row, to.codes, to_row, count, from.cols);
  copy_rows(from.scales, from_row, to.scales, to_row, count, from.groups());
  copy_rows(from.zeros, from_row, to.zeros, to_row, count, from.groups());
  copy_rows(from.offsets, from_row, to.offsets, to_row, count, from.groups());
  const int64_t units = from.unit_groups > 0 ? from.groups() / from.unit_groups : 0;
  copy_rows(from.scale_units, from_row, to.scale_units, to_row, count, units);
  copy_rows(from.offset_units, from_row, to.offset_units, to_row, count, units);
}

class LogicalWeights : public WeightSource {
 public:
  LogicalWeights(const ModelSpec& spec, std::shared_ptr<const WeightSource> stored)
      : storage_(spec), stored_(std::move(stored)) {
    std::map<std::string_view, const WeightInfo*> infos;
    for (const WeightInfo& info : stored_->list()) {
      infos.emplace(info.name, &info);
      if (is_code_layout(info.format)) upright_.insert(info.name);
    }
    for (const TensorSpec& tensor : tensors(spec)) {
      const auto found = infos.find(storage_.stored_name(tensor.name));
      if (found == infos.end()) continue;
      WeightInfo info = *found->second;
      if (const auto* place = storage_.find(tensor.name)) {
        // A part's share of the bytes; differences of floors, so that the parts add up.
        const auto share = [&](int64_t row) {
          return info.bytes * static_cast<uint64_t>(row) / static_cast<uint64_t>(place->unit_rows);
        };
        info.bytes = share(place->first + place->rows) - share(place->first);
      }
      info.name = tensor.name;
      info.shape = tensor.shape;
      list_.push_back(std::move(info));
    }
  }

  const std::vector<WeightInfo>& list() const override { return list_; }

  bool has(std::string_view name) const override {
    if (const auto* place = storage_.find(name)) return stored_->has(place->whole->name);
    return storage_.whole(name) == nullptr && stored_->has(name);
  }

  Weight load(std::string_view name) const override { return load_with(&WeightSource::load, name); }
  Weight load_codes(std::string_view name) const override {
    return load_with(&WeightSource::load_codes, name);
  }

 private:
  using Loader = Weight (WeightSource::*)(std::string_view) const;

  Weight load_with(Loader loader, std::string_view name) const {
    const auto* place = storage_.find(name);
    if (place == nullptr) return ((*stored_).*loader)(name);
    if (const auto opened = opened_codes(*place, loader)) return cut_codes(*opened, *place);
    Weight weight = ((*stored_).*loader)(place->whole->name);
    if (const auto* dense = std::get_if<DenseTensor>(&weight)) {
      require_rows(*place, dense->shape.empty()         ? 0
                           : transposed(*place, *dense) ? dense->shape.back()
                                                        : dense->shape.front());
      return transposed(*place, *dense) ? cut_columns(*dense, *place) : cut_rows(*dense, *place);
    }
    const auto whole =
        std::make_shared<const QuantizedMatrix>(std::move(std::get<QuantizedMatrix>(weight)));
    require_rows(*place, whole->rows);
    keep_codes(*place, loader, whole);
    return cut_codes(*whole, *place);
  }

  static QuantizedMatrix cut_codes(const QuantizedMatrix& whole, const Storage::Place& place) {
    QuantizedMatrix part = empty_like(whole, place.whole->units * place.rows);
    place.for_runs(
        [&](int64_t to, int64_t from, int64_t count) { copy_rows(whole, from, part, to, count); });
    return part;
  }

  // Unpacking is slow, and parts are mostly asked for one after the other: the last whole stays
  // until its last part was taken.
  std::shared_ptr<const QuantizedMatrix> opened_codes(const Storage::Place& place,
                                                      Loader loader) const {
    const std::lock_guard lock(mutex_);
    if (opened_of_ != place.whole || opened_with_ != loader) return nullptr;
    const bool last = place.first + place.rows == place.unit_rows;
    if (last) opened_of_ = nullptr;
    return last ? std::move(opened_) : opened_;
  }
  void keep_codes(const Storage::Place& place, Loader loader,
                  std::shared_ptr<const QuantizedMatrix> whole) const {
    if (place.first + place.rows == place.unit_rows) return;
    const std::lock_guard lock(mutex_);
    opened_of_ = place.whole;
    opened_with_ = loader;
    opened_ = std::move(whole);
  }

  bool transposed(const Storage::Place& place, const DenseTensor& dense) const {
    return place.whole->transposed && dense.shape.size() == 2 &&
           !upright_.contains(place.whole->name);
  }

  static void require_rows(const Storage::Place& place, int64_t rows) {
    if (rows != place.whole->units * place.unit_rows)
      throw bad_input(fmt::format("{} output channels where the configuration needs {}", rows,
                                  place.whole->units * place.unit_rows),
                      "tensor " + place.whole->name);
  }

  Storage storage_;
  std::shared_ptr<const WeightSource> stored_;
  std::vector<WeightInfo> list_;
  std::set<std::string_view> upright_;  // of codes: [out, in], also when they load as floats
  mutable std::mutex mutex_;
  mutable const StoredTensor* opened_of_ = nullptr;
  mutable Loader opened_with_ = nullptr;
  mutable std::shared_ptr<const QuantizedMatrix> opened_;
};

}  // namespace

Storage::Storage(const ModelSpec& spec)
    : stored_(std::make_shared<const std::vector<StoredTensor>>(spec.stored)) {
  for (const StoredTensor& whole : *stored_) {
    int64_t unit_rows = 0, first = 0;
    for (const auto& part : whole.parts) unit_rows += part.rows;
    for (const auto& part : whole.parts) {
      places_.emplace(part.tensor, Place{&whole, first, part.rows, unit_rows});
      first += part.rows;
    }
    wholes_.emplace(whole.name, &whole);
  }
}

const Storage::Place* Storage::find(std::string_view tensor) const {
  const auto found = places_.find(tensor);
  return found == places_.end() ? nullptr : &found->second;
}

const StoredTensor* Storage::whole(std::string_view name) const {
  const auto found = wholes_.find(name);
  return found == wholes_.end() ? nullptr : found->second;
}

std::string Storage::stored_name(const std::string& tensor) const {
  const Place* place = find(tensor);
  return place == nullptr ? tensor : place->whole->name;
}

std::string Storage::stored_module(const LinearSpec& linear) const {
  const std::string name = stored_name(linear.weight);
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
}

std::vector<TensorSpec> stored_tensors(const ModelSpec& spec) {
  const Storage storage(spec);
  std::vector<TensorSpec> result;
  std::set<std::string_view> seen;
  for (TensorSpec& tensor : tensors(spec)) {
    if (const auto* place = storage.find(tensor.name)) {
      if (!seen.insert(place->whole->name).second) continue;
      tensor.name = place->whole->name;
      tensor.shape[0] = place->whole->units * place->unit_rows;
      if (place->whole->transposed && tensor.shape.size() == 2)
        std::swap(tensor.shape[0], tensor.shape[1]);
    }
    result.push_back(std::move(tensor));
  }
  return result;
}

std::shared_ptr<const WeightSource> logical_weights(const ModelSpec& spec,
                                                    std::shared_ptr<const WeightSource> stored) {
  return std::make_shared<LogicalWeights>(spec, std::move(stored));
}

/// A stored tensor of which some parts are there.
struct Assembly {
  size_t parts = 0;
  std::vector<std::byte> bytes;  // dense
  std::optional<QuantizedMatrix> quantized;
};

struct StoredWriter::State {
  Storage storage;
  std::map<std::string, TensorPlan> plans;  // of the stored tensors, by name
  std::unique_ptr<ModelWriter> writer;
  std::map<std::string, Assembly> open;

  std::vector<TensorPlan> stored_plans(const std::vector<TensorPlan>& tensors) {
    std::map<std::string_view, const TensorPlan*> by_name;
    for (const TensorPlan& plan : tensors) by_name.emplace(plan.name, &plan);
    std::vector<TensorPlan> result;
    std::set<std::string_view> seen;
    for (const TensorPlan& plan : tensors) {
      const auto* place = storage.find(plan.name);
      if (place == nullptr) {
        result.push_back(plan);
        continue;
      }
      const StoredTensor& whole = *place->whole;
      if (!seen.insert(whole.name).second) continue;
      for (const auto& part : whole.parts) require_alike(whole, plan, by_name.at(part.tensor));
      TensorPlan row = plan;
      row.name = whole.name;
      row.shape[0] = whole.units * place->unit_rows;
      if (whole.transposed && row.shape.size() == 2 && !row.layout)
        std::swap(row.shape[0], row.shape[1]);
      plans.emplace(row.name, row);
      result.push_back(std::move(row));
    }
    return result;
  }

  static void require_alike(const StoredTensor& whole, const TensorPlan& a, const TensorPlan* b) {
    const auto form = [](const TensorPlan& plan) {
      return plan.layout ? plan.layout->name() : std::string(dtype_name(plan.dtype));
    };
    if (a.layout != b->layout || (!a.layout && a.dtype != b->dtype))
      throw bad_input(fmt::format("{} ({}) and {} ({}) stand in one tensor, {}, and need one form",
                                  a.name, form(a), b->name, form(*b), whole.name),
                      "tensor " + whole.name, "treat the layers alike");
  }

  /// Counts a part; writes the whole when all of them are there.
  template <class Emit>
  void added(const StoredTensor& whole, Assembly& assembly, Emit emit) {
    if (++assembly.parts < whole.parts.size()) return;
    emit();
    open.erase(whole.name);
  }

  void write(const std::string& name, std::span<const std::byte> bytes) {
    const auto* place = storage.find(name);
    if (place == nullptr) return writer->write(name, bytes);
    const StoredTensor& whole = *place->whole;
    const TensorPlan& plan = plans.at(whole.name);
    const auto total = whole.units * place->unit_rows;
    const size_t row_bytes =
        bytes.size() / static_cast<size_t>(std::max<int64_t>(1, whole.units * place->rows));
    const size_t size = dtype_size(plan.dtype);
    const auto in = static_cast<int64_t>(row_bytes / size);
    Assembly& assembly = open[whole.name];
    assembly.bytes.resize(static_cast<size_t>(total) * row_bytes);
    std::byte* to = assembly.bytes.data();
    if (whole.transposed && plan.shape.size() == 2)
      place->for_runs([&](int64_t from, int64_t row, int64_t count) {
        place_columns(bytes.data() + static_cast<size_t>(from) * row_bytes, in, total, row, count,
                      size, to);
      });
    else
      place->for_runs([&](int64_t from, int64_t row, int64_t count) {
        std::memcpy(to + static_cast<size_t>(row) * row_bytes,
                    bytes.data() + static_cast<size_t>(from) * row_bytes,
                    static_cast<size_t>(count) * row_bytes);
      });
    added(whole, assembly,
          [&] { writer->write(whole.name, std::span<const std::byte>(assembly.bytes)); });
  }

  void write(const std::string& name, const QuantizedMatrix& q) {
    const auto* place = storage.find(name);
    if (place == nullptr) return writer->write(name, q);
    const StoredTensor& whole = *place->whole;
    Assembly& assembly = open[whole.name];
    if (!assembly.quantized) assembly.quantized = empty_like(q, whole.units * place->unit_rows);
    place->for_runs([&](int64_t from, int64_t to, int64_t count) {
      copy_rows(q, from, *assembly.quantized, to, count);
    });
    added(whole, assembly, [&] { writer->write(whole.name, *assembly.quantized); });
  }
};

StoredWriter::StoredWriter(const ModelSpec& spec, fs::path directory, nlohmann::ordered_json config,
                           const std::vector<TensorPlan>& tensors, const fs::path& side_files_from,
                           const QuantFormat& format)
    : state_(new State{Storage(spec), {}, nullptr, {}}) {
  state_->writer =
      std::make_unique<ModelWriter>(std::move(directory), std::move(config),
                                    state_->stored_plans(tensors), side_files_from, format);
}

StoredWriter::~StoredWriter() = default;

void StoredWriter::write(const std::string& name, std::span<const float> values) {
  const auto* place = state_->storage.find(name);
  if (place == nullptr) return state_->writer->write(name, values);
  const DType dtype = state_->plans.at(place->whole->name).dtype;
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  from_float32(values, dtype, bytes);
  state_->write(name, bytes);
}

void StoredWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  state_->write(name, bytes);
}

void StoredWriter::write(const std::string& name, const QuantizedMatrix& q) {
  state_->write(name, q);
}

void StoredWriter::finish() {
  if (!state_->open.empty())
    throw failure("only some of the tensor's parts were written",
                  "tensor " + state_->open.begin()->first);
  state_->writer->finish();
}

}  // namespace attar
