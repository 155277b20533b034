#!/usr/bin/env bash
# Speed beside llama.cpp at equal bits (4.5 a weight), one after the other on the same machine:
#
#   tests/bench/llama_cpp.sh LLAMA_BENCH MODEL_DIR [THREADS [OPTION ...]]
#
# LLAMA_BENCH is that program of llama.cpp or of a relative of it (ik_llama.cpp: options -rtr 1, which rearranges the
# weights when they are loaded), MODEL_DIR a float model that both know (speed does not depend on the
# weights' values). attar runs W4A16 with groups of 32 and the head quantized too, llama.cpp the Q4_0 file that attar
# writes of the same model. ATTAR=path names another attar than build/attar.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
attar=${ATTAR:-$here/build/attar}
bench=${1:?LLAMA_BENCH} model=$(realpath "${2:?MODEL_DIR}") threads=${3:-1}
shift $(($# < 3 ? $# : 3))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/recipe.yaml" <<RECIPE
attar: 1
name: bench
seed: 1
output: run
model: $model
stages:
  - {name: int4, type: quantize, method: rtn, scheme: W4A16, group_size: 32, lm_head: quantize}
RECIPE
"$attar" run "$work/recipe.yaml" --quiet > /dev/null
"$attar" export "$model" --format gguf:q4_0 --max-kl 1e9 --output "$work/q4_0.gguf" --quiet > /dev/null

# In turns: the memory of a shared machine is faster at some times than at others.
for round in 1 2 3; do
  for activations in int8 exact; do
    echo "attar, $activations inputs, $threads threads"
    "$attar" bench model "$work/run/int4/model" --prompt 512 --generate 1 --threads "$threads" \
      --activations "$activations" --quiet | grep prefill
    "$attar" bench model "$work/run/int4/model" --prompt 4 --generate 64 --threads "$threads" \
      --activations "$activations" --quiet | grep -w -m 1 decode
  done
  echo "$bench, $threads threads"
  "$bench" -m "$work/q4_0.gguf" -p 512 -n 64 -t "$threads" "$@" 2> /dev/null | grep -E "pp512|tg64"
done
