#!/usr/bin/env python3
"""A short table of what measure_first.sh left in a folder.

  python3 tools/bench/gpu/summary.py gpu-out
"""
import collections
import json
import os
import sys


def rows(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return []
    found = []
    with open(path) as f:
        for line in f:
            try:
                found.append(json.loads(line))
            except ValueError:              # cut off by the time limit
                pass
    return found


def kernels(title, all_rows):
    if not all_rows:
        return print("%s: nothing" % title)
    checks = [r for r in all_rows if r["name"].startswith("check.")]
    failed = [r for r in all_rows if r.get("ok") is False]
    print("%s: %d checks, failed: %s" % (title, len(checks), [r["name"] for r in failed] or "none"))
    for r in failed[:5]:
        print("   ", json.dumps(r)[:300])
    for r in all_rows:
        name = r["name"]
        if name == "copy":
            print("  copy %4d MB  %.0f GB/s" % (r["megabytes"], r["GBps"]))
        elif name == "gap":
            print("  gap %-6s %-6s %-5s grid %3d  %.3f us/node" % (
                r["how"], "PDL" if r["pdl"] else "no PDL", r["work"], r["grid"], r["us_per_node"]))
        elif name.endswith(".best"):
            print("  %-20s n %8d  %7.1f us, floor %6.1f, %4.0f GB/s = %.1f %% of copy (block %d x %d, v%d%s)" % (
                name, r["n"], r["median_us"], r["floor_us"], r["GBps"], 100 * r["of_copy"], r["block"],
                r["blocks_per_sm"], r["vectors"], ", streaming" if r["streaming"] else ""))
        elif name == "warm":
            print("  g_r %s reverse %-5s chunk %8d  update %6.1f us of %6.1f; floors %.1f cold, %.1f warm" % (
                r["g_r"], r["reverse"], r["chunk"], r["update_us"], r["median_us"], r["floor48_us"], r["floor44_us"]))


def peer(all_rows):
    for r in all_rows:
        if "median_ms" in r:
            rate = "%.0f img/s" % r["images_per_s"] if "images_per_s" in r else (
                "%.1f TFLOP/s" % r["TFLOPs"] if "TFLOPs" in r else "%.0f GB/s" % r["GBps"])
            print("  %-58s %9.3f ms  %s" % (r["name"], r["median_ms"], rate))
        elif "error" in r or r.get("ok") is False:
            print("  %-58s %s" % (r["name"], r.get("error", "CHECK FAILED")[:100]))
    cut = sum("skipped" in r for r in all_rows)
    print("  %d rows skipped for time" % cut)


def layers(all_rows):
    """Times of the single layers added up as often as each network has them."""
    sums, worst = collections.defaultdict(dict), collections.defaultdict(float)
    for r in all_rows:
        if r["name"] in ("conv", "bn") and "us" in r:
            for net, count in r["nets"].items():
                us, shapes = sums[r["name"], net, r["mode"], r["batch"]].get(r["op"], (0.0, 0))
                sums[r["name"], net, r["mode"], r["batch"]][r["op"]] = us + count * r["us"], shapes + 1
        if r["name"] == "conv" and "rel_error" in r:
            key = (r["mode"], r["op"])
            worst[key] = max(worst[key], r["rel_error"])
        if r["name"] == "bn_backend" and r.get("training") is True:
            print("  batch norm %-15s %-24s -> %s" % (r["dtype"], r["layout"], r["backend"]))
        if r["name"] == "profile" and "mode" in r:
            print("  one step, %-8s b%d: %.0f launches, kernels %.0f us, eager step %.0f us" % (
                r["mode"], r["batch"], r["launches_per_step"], r["device_us_per_step"], r["eager_us_per_step"]))
        if r["name"] == "profile.kernel" and r["mode"] == "amp-bf16" and r["batch"] == 512 and r["share"] > 0.04:
            print("    %4.1f %% %6.1f x %8.1f us  %s" % (
                100 * r["share"], r["per_step"], r["us_per_step"], r["kernel"][:80]))
        if "error" in r or r.get("ok") is False or "skipped" in r:
            print("  !", json.dumps(r)[:200])
    for (kind, net, mode, batch), ops in sums.items():
        print("  %-4s %-9s %-5s b%-4d" % (kind, net, mode, batch), " ".join(
            "%s %.0f us (%d shapes)" % (op, us, shapes) for op, (us, shapes) in ops.items()))
    print("  worst error against float64:", {"%s %s" % k: float("%.2g" % v) for k, v in worst.items()})


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "gpu-out"
    kernels("kernels", rows(folder, "gpu.jsonl"))
    fused = rows(folder, "gpu_fmad.jsonl")
    kernels("kernels with fused multiply-add", [r for r in fused if r["name"] != "copy"])
    print("PyTorch, whole steps")
    peer(rows(folder, "peer.jsonl"))
    print("PyTorch, single layers")
    layers(rows(folder, "layers.jsonl"))


if __name__ == "__main__":
    main()
