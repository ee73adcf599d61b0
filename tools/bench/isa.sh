# shellcheck shell=bash
# Sourced by the comparisons. limit_isa NAME holds ours, oneDNN, OpenBLAS, MKL and PyTorch to an instruction
# set. An empty name leaves each its widest, and OpenBLAS its choice: OPENBLAS_CORETYPE=Haswell, which
# some environments set, halves it on AVX-512.
limit_isa() {
  local onednn aten openblas mkl
  case $1 in
    '')
      unset OPENBLAS_CORETYPE
      return
      ;;
    baseline) onednn=SSE41 aten=default openblas=Nehalem mkl=SSE4_2 ;;
    avx2) onednn=AVX2 aten=avx2 openblas=Haswell mkl=AVX2 ;;
    avx512) onednn=AVX512_CORE aten=avx512 openblas=SkylakeX mkl=AVX512 ;;
    *)
      echo "--isa $1: expected baseline, avx2 or avx512" >&2
      exit 2
      ;;
  esac
  export EXPUNGE_ISA=$1 DNNL_MAX_CPU_ISA=$onednn ATEN_CPU_CAPABILITY=$aten OPENBLAS_CORETYPE=$openblas \
    MKL_ENABLE_INSTRUCTIONS=$mkl
}
