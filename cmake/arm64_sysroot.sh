#!/usr/bin/env bash
# Debian's arm64 libraries for a cross build, unpacked into a folder: cmake/arm64_sysroot.sh build-arm64/sysroot
# Needs no root and installs nothing: apt works on a state of its own beside the folder.
set -euo pipefail

root=$(realpath -m "${1:?usage: cmake/arm64_sysroot.sh FOLDER}")
packages=(
  libc6-dev libstdc++6 libeigen3-dev nlohmann-json3-dev libfmt-dev libyaml-cpp-dev libboost-program-options-dev
  libpcre2-dev libutf8proc-dev libssl-dev libcurl4-openssl-dev libgtest-dev libgmock-dev
)
apt=$root.apt
mkdir -p "$root"/usr/{bin,sbin,lib} "$apt"/state/lists/partial "$apt"/cache/archives/partial
: >"$apt/status"
for folder in bin sbin lib; do ln -sfn usr/$folder "$root/$folder"; done

options=(-q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=
  -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache")
apt-get "${options[@]}" update
apt-get "${options[@]}" install -y --no-install-recommends --download-only "${packages[@]}"
for package in "$apt"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --no-same-owner -C "$root"
done
# What points to the root of a machine is to point into the folder.
find "$root" -type l -lname '/*' | while read -r link; do ln -sfnr "$root$(readlink "$link")" "$link"; done
