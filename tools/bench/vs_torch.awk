# The table of tools/bench/vs_torch.sh from its lines "side ms MB MB-before", a side's in rising order
# of ms.
{
  value[$1, ++n[$1]] = $2
  if ($3 > mb[$1]) mb[$1] = $3
  if ($4 > before[$1]) before[$1] = $4
}
function median(who) {
  return (value[who, int((n[who] + 1) / 2)] + value[who, int(n[who] / 2) + 1]) / 2
}
function row(name, who) {
  printf "%-22s %10.2f %10.2f %10.2f", name, median(who), value[who, 1], value[who, n[who]]
  if (what != "unlearn") printf " %10.1f %9d", 1e3 * batch / median(who), mb[who]
  print ""
}
function memory(name, who) {
  printf "%-32s %9d", name, mb[who]
  if (before[who] > 0) printf " %15d", before[who]
  print ""
}
function better(a, b) { return median(a) < median(b) ? a : b }
END {
  if (what == "memory") {
    printf "%-32s %9s %15s\n", "peak resident memory, MB", "peak", "of it, imports"
    for (i = 1; i <= 2; ++i) {
      part = i == 1 ? "train" : "infer"
      memory("expunge " part, part ":expunge")
      memory("PyTorch NCHW " part, part ":nchw")
      memory("PyTorch channels_last " part, part ":channels_last")
      best = mb[part ":nchw"] < mb[part ":channels_last"] ? part ":nchw" : part ":channels_last"
      printf "PyTorch / expunge, %s: %.2f; without imports %.2f\n", part,
             mb[best] / mb[part ":expunge"], (mb[best] - before[best]) / mb[part ":expunge"]
    }
    exit
  }
  printf "%-22s %10s %10s %10s", "ms per step", "median", "min", "max"
  printf "%s\n", what == "unlearn" ? "" : "   images/s   peak MB"
  if (what != "unlearn") {
    row("expunge", "expunge")
    row("PyTorch NCHW", "nchw")
    row("PyTorch channels_last", "channels_last")
    if (n["onnxruntime"] > 0) row("ONNX Runtime", "onnxruntime")
    best = better("nchw", "channels_last")
    printf "better PyTorch layout: %s; PyTorch / expunge = %.2f, of minima %.2f\n", best,
           median(best) / median("expunge"), value[best, 1] / value["expunge", 1]
    if (n["onnxruntime"] > 0)
      printf "ONNX Runtime / expunge = %.2f\n", median("onnxruntime") / median("expunge")
    exit
  }
  row("expunge focus", "expunge:focus")
  row("PyTorch focus loop", "torch:focus_adam_loop")
  row("PyTorch focus foreach", "torch:focus_adam_foreach")
  row("expunge opt", "expunge:opt")
  row("PyTorch opt", "torch:opt_adam")
  best = better("torch:focus_adam_loop", "torch:focus_adam_foreach")
  printf "PyTorch / expunge: focus %.2f (%s), opt %.2f; of minima %.2f, %.2f\n",
         median(best) / median("expunge:focus"), substr(best, 7),
         median("torch:opt_adam") / median("expunge:opt"),
         value[best, 1] / value["expunge:focus", 1],
         value["torch:opt_adam", 1] / value["expunge:opt", 1]
}
