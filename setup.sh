#!/usr/bin/env bash
# Sets attar up on Debian 12 and does one thing:
#
#   ./setup.sh run     install, build, and run the main job (no download: it trains its own small teacher)
#   ./setup.sh test    install, build, and run all tests
#   ./setup.sh build   install and build the commands build/attar, build/attar-train and build/attar-run
#   ./setup.sh deps    install the Debian packages only
#
# BUILD=DIR builds elsewhere than ./build; further arguments of `run` go to `attar run`.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/build}
jobs=$(nproc)

packages=(
  g++ cmake ninja-build make pkg-config       # to build; make for a plain `cmake -S . -B BUILD`
  libtorch-dev libopenblas0-openmp            # training; the OpenMP build of OpenBLAS doubles its speed
  libeigen3-dev libyaml-cpp-dev libboost-program-options-dev
  nlohmann-json3-dev libfmt-dev libpcre2-dev libutf8proc-dev libssl-dev
  libcurl4-openssl-dev                        # models from a hub
  libgtest-dev libgmock-dev libbenchmark-dev  # tests and benchmarks
)

install_packages() {
  local missing=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  echo "installing: ${missing[*]}" >&2
  local root=()
  if [ "$(id -u)" -ne 0 ]; then root=(sudo); fi
  "${root[@]}" apt-get update -q
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# compile TARGET…: configures when needed and builds (no target: everything).
compile() {
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "${launcher[@]}" >&2
  cmake --build "$build" -j "$jobs" ${1:+--target "$@"} >&2
}

case "${1:-}" in
  deps) install_packages ;;
  build)
    install_packages
    compile attar attar-train attar-run
    echo "built: $build/attar" ;;
  run)
    shift
    install_packages
    compile attar attar-train
    exec "$build/attar" run "$@" ;;
  test)
    install_packages
    compile
    exec ctest --test-dir "$build" --output-on-failure -j "$jobs" ;;
  *)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2 ;;
esac
