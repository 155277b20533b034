#!/bin/sh
# Kills a recipe at random points and resumes it; the models must have the bytes of a run that nothing disturbed.
#
#   tests/bench/kill_and_resume.sh ATTAR RECIPE KILLS [SEED]
#
# The recipe writes to its own output directory under a temporary one. Prints every kill and ends with how many of
# the runs were killed and whether all hashes agree; exit code 1 when they do not.
set -eu
attar=$1 recipe=$2 kills=$3 seed=${4:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
hashes() { (cd "$1" && find . -path '*/model/*' -type f ! -name README.md | sort | xargs sha256sum); }

start=$(date +%s%N)
"$attar" run "$recipe" --output "$work/whole" >/dev/null 2>&1
length=$((($(date +%s%N) - start) / 1000000))
hashes "$work/whole" >"$work/expected"
echo "undisturbed: $length ms, $(wc -l <"$work/expected") files"

killed=0
for i in $(seq "$kills"); do
  # A point of the whole run, from a generator that every shell has.
  delay=$(awk -v seed="$seed" -v i="$i" -v length_ms="$length" \
    'BEGIN { srand(seed * 1000 + i); rand(); printf "%.3f", rand() * length_ms / 1000 }')
  rm -rf "$work/run"
  "$attar" run "$recipe" --output "$work/run" >/dev/null 2>&1 &
  process=$!
  sleep "$delay"
  if kill -9 "$process" 2>/dev/null; then killed=$((killed + 1)); fi
  wait "$process" 2>/dev/null || true
  "$attar" run "$recipe" --output "$work/run" >/dev/null 2>&1
  hashes "$work/run" >"$work/got"
  if ! cmp -s "$work/expected" "$work/got"; then
    echo "killed after $delay s: other bytes"
    diff "$work/expected" "$work/got" || true
    exit 1
  fi
  echo "killed after $delay s: same bytes"
done
echo "$killed of $kills runs were killed before their end; all resumed to the same bytes"
