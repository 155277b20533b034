// Downloads models from a hub into the cache: only what attar reads, resumed where it broke off,
// checked by size and hash.
#pragma once

#include <string>
#include <vector>

#include "compress/hub/address.h"
#include "compress/hub/settings.h"

namespace attar {

struct PulledModel {
  fs::path directory;  // the snapshot in the cache: a model directory whose files are links
  std::string commit;
  std::vector<std::string> files;
  int64_t downloaded = 0;             // bytes that came over the network
  std::vector<std::string> unhashed;  // files for which the hub gave no hash to check
};

/// Throws bad_input: no such model or revision, no permission, or it has no weights that attar
/// reads; failure: the network, the disk, wrong bytes. What has come stays and is not fetched
/// again.
PulledModel pull_model(const HubAddress& address, const HubSettings& settings);

/// `name` as a path: downloaded when it is a hub address, else as it stands.
fs::path local_model(const std::string& name);

}  // namespace attar
