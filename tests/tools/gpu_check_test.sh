#!/usr/bin/env bash
# tools/gpu_check.sh where neither the GPU nor the programs are real: what it makes of their verdicts.
script=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../tools/gpu_check.sh")
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
bin=$script  # `expect` runs it

mkdir path programs
program() {  # path, lines of a script
  { echo '#!/bin/sh' && printf '%s\n' "${@:2}"; } > "$1"
  chmod +x "$1"
}
export PATH=$dir/path:$PATH EXPUNGE_GPU_BIN=$dir/programs
program path/nvidia-smi 'echo "nvidia-smi has failed"'
expect "no GPU" 7 'no GPU: nvidia-smi has failed' results
expect "no folder" 2 'usage: tools/gpu_check.sh DIR'
program path/nvidia-smi 'case "$*" in *compute_cap*) echo 9.0 ;; *) echo "Some GPU, 1, 2 MiB" ;; esac'
program path/compute-sanitizer 'exit 77'
program programs/cuda_tests 'echo "[doctest] test cases: 3 | 3 passed"'
program programs/device_tests 'exit ${EXPUNGE_PDL:+1}'
program programs/device_parity 'echo "{\"model\":\"mlp\"}"'
program programs/expunge 'sleep 60'
EXPUNGE_GPU_SECONDS=1 expect "what fails does not stop the rest" 1 '^\| compute-sanitizer synccheck \| skipped \|' results
check "what passed" grep -qE '^\| every kernel \| passed \| [0-9]+ \| test cases: 3, 3 passed \|' results/summary.md
check "what failed" grep -qF '| whole models with launches that overlap | failed |' results/summary.md
check "what took too long" grep -qE '^\| as a user types it \| failed \| [0-9]+ \| took longer than 1 s \|' results/summary.md
check "it is JSON" is_json results/gpu-check.json
check "with what models say" grep -qF '"models":[{"model":"mlp"}]' results/gpu-check.json
finish
