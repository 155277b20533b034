// The stage `export`.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

StageType export_stage();

}  // namespace attar
