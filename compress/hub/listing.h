// What a hub says about a model: its commit and its files; and which of these attar needs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compress/hub/address.h"
#include "compress/hub/http.h"

namespace attar {

struct HubFile {
  std::string name;       // "model.safetensors"
  int64_t size = -1;      // bytes; -1: not said
  std::string etag;       // names the blob; empty: not said
  std::string sha256;     // of a large file
  std::string blob_sha1;  // git's hash of a small one
};

struct HubListing {
  std::string commit;
  std::vector<HubFile> files;

  const HubFile* find(const std::string& name) const;
};

class HubServer {
 public:
  HubServer(const HubAddress& address, const HubSettings& settings);

  /// The revision's commit and files. bad_input when there is none, or no access.
  HubListing list();
  /// Fills in what the listing did not say about a file.
  void describe(const HubListing& listing, HubFile& file);
  /// A file's address at a commit.
  std::string url(const std::string& commit, const std::string& file) const;
  /// Tries until an answer comes that no further attempt would change. `what` is said in messages;
  /// progressed(), when given, is asked after a failure: after progress attempts count anew.
  HttpAnswer insist(const std::string& what, const std::function<HttpAnswer(HttpClient&)>& attempt,
                    const std::function<bool()>& progressed = {});

 private:
  [[noreturn]] void refuse(const HttpAnswer& answer, const std::string& what) const;

  HubAddress address_;
  const HubSettings& settings_;
  HttpClient client_;
};

/// The files that attar reads: configuration, tokenizer, licences, and safetensors weights: one
/// file, or the shards that model.safetensors.index.json (whose text `read` gives) names. bad_input
/// when there are none.
std::vector<HubFile> needed_files(const HubListing& listing, const std::string& where,
                                  const std::function<std::string(const HubFile&)>& read);

}  // namespace attar
