"""Ours against PyTorch on one GPU: `expunge bench train` and peer_train.py in turn, medians and ratios as a table.

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


def options():
    parser = argparse.ArgumentParser(prog="gpu_vs_torch")
    parser.add_argument("--models", default="resnet18,vgg16_bn")
    parser.add_argument("--batches", default="512,128")
    parser.add_argument("--precisions", default="bf16,tf32,fp32")
    parser.add_argument("--forms", default="eager,graph,compile")
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


def ours(o, model, batch, precision):
    found = lines_of([o.expunge, "bench", "train", "--model", model, "--batch-size", batch, "--precision", precision,
                      "--device", o.device, "--steps", o.steps, "--json"])[0]
    return {"form": "expunge", "median_ms": found["rows"][0]["median_ms"]}


def theirs(o, model, batch, precision, form):
    return lines_of([sys.executable, HERE / "peer_train.py", "--model", model, "--batch", batch, "--precision",
                     precision, "--exec", form, "--steps", o.steps, "--device", o.device])[0]


def measure(o, model, batch, precision):
    """Median milliseconds by form, over rounds in which every form has its turn."""
    times = {}
    for round_ in range(o.rounds):
        found = [ours(o, model, batch, precision)]
        found += [theirs(o, model, batch, precision, form) for form in o.forms.split(",")]
        for one in found:
            times.setdefault(one["form"], []).append(one["median_ms"])
            if o.json:
                with open(o.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"model": model, "batch": batch, "precision": precision, "round": round_,
                                           "form": one["form"], "median_ms": one["median_ms"]}) + "\n")
    return {form: statistics.median(of) for form, of in times.items()}


def main():
    o = options()
    forms = o.forms.split(",")
    print(f"| model | batch | precision | expunge ms | images/s | {' | '.join(f + ' ms' for f in forms)} | best / expunge |")
    print("|---" * (6 + len(forms)) + "|")
    choices = (o.models.split(","), map(int, o.batches.split(",")), o.precisions.split(","))
    for model, batch, precision in itertools.product(*choices):
        ms = measure(o, model, batch, precision)
        peers = [ms[form] for form in forms]
        print(f"| {model} | {batch} | {precision} | {ms['expunge']:.3f} | {1000 * batch / ms['expunge']:.0f} | "
              f"{' | '.join(f'{p:.3f}' for p in peers)} | {min(peers) / ms['expunge']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
