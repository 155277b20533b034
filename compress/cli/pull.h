// The row of `attar pull` (pull.cpp).
#pragma once

#include "compress/cli/command.h"

namespace attar::cli {

Command pull_command();

}  // namespace attar::cli
