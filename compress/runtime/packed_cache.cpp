#include "compress/runtime/packed_cache.h"

#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/mapped_pages.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/base/xxh64.h"
#include "compress/runtime/load.h"

namespace attar {
namespace {

constexpr const char* kName = "attar-packed.bin";
/// A file written this recently may change again within the resolution of its time stamps.
constexpr int64_t kSettled = 2'000'000'000;

uint64_t hash_of(const std::vector<uint64_t>& words, uint64_t seed) {
  return content_hash(std::as_bytes(std::span(words)), seed);
}

/// What both halves of a PackedSource begin with.
uint64_t seed_of(const Model& opened) {
  const std::string_view version = ATTAR_VERSION;
  return content_hash(std::as_bytes(std::span(version)), opened.config_hash);
}

/// Of the files as the system lists them: two stats that agree mean the same bytes, as every write
/// moves the change time, which no program can set. 0: they are too young to tell.
uint64_t identity_of(const Model& opened) {
  std::vector<uint64_t> words;
  for (const MappedFile& file : opened.weight_files) {
    const FileStamp& stamp = file.stamp();
    if (stamp.seen_ns - std::max(stamp.modified_ns, stamp.changed_ns) < kSettled) return 0;
    const std::string name = file.path().filename();
    for (const uint64_t word :
         {content_hash(std::as_bytes(std::span(name))), stamp.device, stamp.inode, stamp.size,
          static_cast<uint64_t>(stamp.modified_ns), static_cast<uint64_t>(stamp.changed_ns)})
      words.push_back(word);
  }
  return hash_of(words, seed_of(opened));
}

/// Of the files' bytes: the same in a copy of the model.
uint64_t content_of(const Model& opened) {
  constexpr size_t kPiece = size_t{4} << 20, kStretch = 16 * kPiece;
  std::vector<uint64_t> words;
  for (const MappedFile& file : opened.weight_files) {
    words.push_back(file.bytes().size());
    // A stretch at a time: pages that are mapped count as memory of this process.
    for (size_t at = 0; at < file.bytes().size(); at += kStretch) {
      const auto stretch = file.bytes().subspan(at, std::min(kStretch, file.bytes().size() - at));
      std::vector<uint64_t> pieces((stretch.size() + kPiece - 1) / kPiece);
      parallel_for(std::ssize(pieces), 1, [&](int64_t begin, int64_t end) {
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
          pieces[i] = content_hash(
              stretch.subspan(i * kPiece, std::min(kPiece, stretch.size() - i * kPiece)));
      });
      words.insert(words.end(), pieces.begin(), pieces.end());
      release_mapped_pages();
    }
  }
  return hash_of(words, seed_of(opened));
}

/// What keeps a file from being used; nullptr: nothing.
const char* why_not(const PackedFile& file, const Model& opened) {
  if (!file.current()) return "of another version of attar";
  const uint64_t identity = identity_of(opened);
  if (identity != 0 && identity == file.source().identity) return nullptr;
  return content_of(opened) == file.source().content
             ? nullptr
             : "of other weights or another configuration than the model's";
}

}  // namespace

fs::path packed_cache_path(const fs::path& model) {
  return fs::is_directory(model) ? model / kName : fs::path(model.string() + "." + kName);
}

bool is_packed_cache(const fs::path& file) {
  return file.filename().string().ends_with(kName);
}

PackedCache::PackedCache(const Model& opened)
    : opened_(&opened), path_(packed_cache_path(opened.path)) {
  if (opened.weight_files.empty())
    throw bad_input("packed weights are kept for models whose weights are all in their files",
                    opened.path.string(), "an adapter and --packed-cache do not go together");
  if (!fs::exists(path_)) return;
  PackedFile file = PackedFile::open(path_);
  if (const char* why = why_not(file, opened))
    say(fmt::format("{} is {}: packing again", path_.string(), why));
  else
    file_ = std::move(file);
}

PackedMatrix PackedCache::matrix(const std::string& name, int64_t rows, int64_t cols,
                                 const WeightSource& weights) {
  if (!mapped()) {
    PackedMatrix packed = load_matrix(name, rows, cols, weights, nullptr);
    keep(name, packed);
    return packed;
  }
  PackedMatrix packed = file_->matrix(name);
  if (packed.rows() != rows || packed.cols() != cols)
    throw bad_input(
        fmt::format("not of the shape [{}, {}] that the configuration needs", rows, cols),
        fmt::format("{}: matrix {}", path_.string(), name),
        "remove the file; it is written again when it is asked for");
  return packed;
}

void PackedCache::keep(const std::string& name, const PackedMatrix& packed) {
  if (!mapped() && names_.insert(name).second) packed_.emplace_back(name, packed);
}

void PackedCache::finish() {
  if (mapped()) return;
  const PackedSource source{identity_of(*opened_), content_of(*opened_)};
  for (const MappedFile& file : opened_->weight_files)
    if (!MappedFile::open(file.path()).stamp().same_file(file.stamp()))
      throw failure("the file was changed while it was packed", file.path().string(), "try again");
  PackedFile::write(path_, source, packed_);
  say("packed weights are kept in " + path_.string());
}

std::unique_ptr<PackedCache> open_packed_cache(bool wanted, const Model& opened) {
  return wanted ? std::make_unique<PackedCache>(opened) : nullptr;
}

}  // namespace attar
