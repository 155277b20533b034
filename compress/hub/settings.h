// Where models come from and where they are kept, shared with other tools through their environment
// variables.
#pragma once

#include <string>

#include "compress/base/files.h"

namespace attar {

struct HubSettings {
  std::string endpoint;        // "https://host", no slash at the end
  std::string token;           // empty: none
  fs::path cache;              // holds models--owner--name/
  bool offline = false;        // only what the cache has
  int attempts = 5;            // of a request, as long as nothing comes
  double first_pause = 1;      // seconds before the second attempt; doubled each time
  double longest_pause = 300;  // the longest Retry-After that is waited for
};

/// HF_ENDPOINT; HF_TOKEN, or the file HF_TOKEN_PATH or HF_HOME/token; HF_HUB_CACHE, or HF_HOME/hub,
/// or ~/.cache/huggingface/hub; HF_HUB_OFFLINE. bad_input for an endpoint that is no http address.
HubSettings hub_settings();

}  // namespace attar
