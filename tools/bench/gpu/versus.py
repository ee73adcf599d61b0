"""Ours against PyTorch on one GPU: `expunge bench train` and peer_train.py, `expunge bench step` and peer_step.py in
turn, medians and ratios as a table.

Called by tools/bench/gpu_vs_torch.sh, which says what there is to choose.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent

# What is compared: verb of expunge bench, peer, its forms unless --forms says otherwise, batches likewise.
PARTS = {"train": ("train", "peer_train.py", "eager,graph,compile", "512,128"),
         "unlearn": ("step", "peer_step.py", "loop,eager,graph,compile", "256")}


def options():
    parser = argparse.ArgumentParser(prog="gpu_vs_torch")
    parser.add_argument("--parts", default="train,unlearn", help="train, unlearn")
    parser.add_argument("--models", default="resnet18,vgg16_bn")
    parser.add_argument("--batches", help="512,128 for training, 256 for unlearning")
    parser.add_argument("--precisions", default="bf16,fp16,tf32,fp32")
    parser.add_argument("--forms", help="eager,graph,compile; for unlearning also loop")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--expunge", required=True)
    parser.add_argument("--json", help="every measurement, a line each")
    return parser.parse_args()


def lines_of(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"gpu_vs_torch: {' '.join(map(str, command))}: exit code {done.returncode}: "
                 f"{done.stderr.strip().splitlines()[-1:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def ours(o, part, model, batch, precision):
    found = lines_of([o.expunge, "bench", PARTS[part][0], "--model", model, "--batch-size", batch, "--precision",
                      precision, "--device", o.device, "--steps", o.steps, "--json"])[0]
    row = found["rows"][0]
    return {"form": "expunge", "median_ms": row["median_ms"], "device_mb": row.get("device_mb")}


def theirs(o, part, model, batch, precision, form):
    return lines_of([sys.executable, HERE / PARTS[part][1], "--model", model, "--batch", batch, "--precision",
                     precision, "--exec", form, "--steps", o.steps, "--device", o.device])[0]


def measure(o, part, model, batch, precision, forms):
    """Median milliseconds by form, over rounds in which every form has its turn, and the most MiB of the GPU's memory."""
    times, memory = {}, {}
    for round_ in range(o.rounds):
        found = [ours(o, part, model, batch, precision)]
        found += [theirs(o, part, model, batch, precision, form) for form in forms]
        for one in found:
            times.setdefault(one["form"], []).append(one["median_ms"])
            memory[one["form"]] = max(memory.get(one["form"], 0), one.get("device_mb") or 0)
            if o.json:
                with open(o.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"part": part, "model": model, "batch": batch, "precision": precision,
                                           "round": round_, "form": one["form"],
                                           "median_ms": one["median_ms"],
                                           "device_mb": one.get("device_mb")}) + "\n")
    return {form: statistics.median(of) for form, of in times.items()}, memory


def compare(o, part):
    forms = (o.forms or PARTS[part][2]).split(",")
    batches = map(int, (o.batches or PARTS[part][3]).split(","))
    print(f"| {part} | batch | precision | expunge ms | images/s | {' | '.join(f + ' ms' for f in forms)} | "
          f"{' | '.join(f + ' / expunge' for f in forms)} | GPU MB: expunge, {', '.join(forms)} |")
    print("|---" * (6 + 2 * len(forms)) + "|")
    for model, batch, precision in itertools.product(o.models.split(","), batches, o.precisions.split(",")):
        ms, memory = measure(o, part, model, batch, precision, forms)
        mine = ms["expunge"]
        print(f"| {model} | {batch} | {precision} | {mine:.3f} | {1000 * batch / mine:.0f} | "
              f"{' | '.join(f'{ms[f]:.3f}' for f in forms)} | {' | '.join(f'{ms[f] / mine:.2f}' for f in forms)} | "
              f"{', '.join(str(memory[f] or '-') for f in ['expunge', *forms])} |",
              flush=True)
    print(flush=True)


def main():
    o = options()
    parts = o.parts.split(",")
    for part in parts:
        if part not in PARTS:
            sys.exit(f"gpu_vs_torch: --parts {part}: expected {', '.join(PARTS)}")
    for part in parts:
        compare(o, part)


if __name__ == "__main__":
    main()
