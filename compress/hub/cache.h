// The cache of models, laid out as other tools lay it out, so that all share their downloads:
//
//   models--owner--name/refs/<revision>            the commit that a branch or tag was at
//   models--owner--name/blobs/<etag>               the files' bytes, <etag>.incomplete while they
//   come models--owner--name/snapshots/<commit>/<file>  links to blobs
//   .locks/models--owner--name/<etag>.lock         held while a blob is written
#pragma once

#include <optional>
#include <string>

#include "compress/base/files.h"
#include "compress/hub/address.h"

namespace attar {

class HubCache {
 public:
  HubCache(const fs::path& root, const HubAddress& address);

  fs::path blob(const std::string& etag) const { return repository_ / "blobs" / etag; }
  fs::path snapshot(const std::string& commit) const { return repository_ / "snapshots" / commit; }
  /// The commit that a revision was at when it was last asked for; nothing when it never was.
  std::optional<std::string> commit(const std::string& revision) const;
  void set_commit(const std::string& revision, const std::string& commit) const;
  /// Makes snapshot(commit)/`file` a link to the blob.
  void link(const std::string& commit, const std::string& file, const std::string& etag) const;
  /// Makes the directories; failure when they can't be made.
  void create() const;

  /// Held by one process at a time; the others wait, and say so.
  class Lock {
   public:
    Lock(const HubCache& cache, const std::string& etag);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    int descriptor_ = -1;
  };

 private:
  fs::path repository_, locks_;
};

}  // namespace attar
