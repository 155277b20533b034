#include "compress/formats/levels.h"

#include <cassert>

namespace attar {
namespace {

constexpr std::array<float, 16> kNf4 = {-1.0f,
                                        -0.6961928009986877f,
                                        -0.5250730514526367f,
                                        -0.39491748809814453f,
                                        -0.28444138169288635f,
                                        -0.18477343022823334f,
                                        -0.09105003625154495f,
                                        0.0f,
                                        0.07958029955625534f,
                                        0.16093020141124725f,
                                        0.24611230194568634f,
                                        0.33791524171829224f,
                                        0.44070982933044434f,
                                        0.5626170039176941f,
                                        0.7229568362236023f,
                                        1.0f};
constexpr std::array<float, 16> kFp4 = {
    0.0f,  0.005208333333f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
    -0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
constexpr std::array<float, 16> kIq4 = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace

std::string_view to_string(Levels levels) {
  switch (levels) {
    case Levels::nf4:
      return "nf4";
    case Levels::fp4:
      return "fp4";
    case Levels::iq4:
      return "iq4";
    case Levels::integers:
      break;
  }
  return "int";
}

std::span<const float, 16> level_values(Levels levels) {
  assert(levels != Levels::integers);
  return levels == Levels::nf4 ? kNf4 : levels == Levels::fp4 ? kFp4 : kIq4;
}

}  // namespace attar
