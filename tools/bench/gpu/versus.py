"""Ours against PyTorch on one GPU: `expunge bench train` and peer_train.py, `expunge bench step` and peer_step.py,
`expunge bench unlearn` and peer_update.py in turn, medians and ratios as a table. What fails or takes too long is an
empty cell, and the rest goes on.

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
         "unlearn": ("step", "peer_step.py", "loop,eager,graph,compile", "256"),
         "update": ("unlearn", "peer_update.py", "loop,eager,graph,tensors,flat", "focus,opt")}
ONLY_LOOP = {"opt": ["loop"]}  # gates whose other forms there are not
OURS = ["median_ms", "device_mb", "copy_percent"]  # what is kept of a row of expunge bench


def options():
    parser = argparse.ArgumentParser(prog="gpu_vs_torch")
    parser.add_argument("--parts", default="train,unlearn,update", help="train, unlearn, update")
    parser.add_argument("--models", default="resnet18,vgg16_bn")
    parser.add_argument("--batches", help="512,128 for training, 256 for unlearning")
    parser.add_argument("--precisions", default="bf16,fp16,tf32,fp32")
    parser.add_argument("--gates", default=PARTS["update"][3], help="of the update alone: focus, opt")
    parser.add_argument("--forms", help="eager,graph,compile,reduce; for unlearning also loop; of the update loop,eager,"
                        "graph,tensors,flat")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=600, help="that one measurement may take")
    parser.add_argument("--expunge", required=True)
    parser.add_argument("--json", help="every measurement, a line each")
    return parser.parse_args()


class Versus:
    def __init__(self, o):
        self.o, self.failures = o, 0

    def lines_of(self, command):
        """What a command prints as JSON; nothing where it fails."""
        command = [str(part) for part in command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self.o.seconds)
            if done.returncode == 0:
                return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            why = f"exit code {done.returncode}: {' '.join(done.stderr.strip().splitlines()[-1:])}"
        except subprocess.TimeoutExpired:
            why = f"took more than {self.o.seconds:.0f} s"
        self.failures += 1
        print(f"gpu_vs_torch: {' '.join(command)}: {why}", file=sys.stderr, flush=True)
        return []

    def ours(self, part, case):
        given = ["--gate", case["gate"]] if part == "update" else ["--batch-size", case["batch"], "--precision",
                                                                   case["precision"]]
        found = self.lines_of([self.o.expunge, "bench", PARTS[part][0], "--model", case["model"], *given, "--device",
                               self.o.device, "--steps", self.o.steps, "--json"])
        return [{"form": "expunge", **{key: table["rows"][0].get(key) for key in OURS}} for table in found]

    def theirs(self, part, case, form):
        given = [text for key, value in case.items() for text in (f"--{key}", value)]
        return self.lines_of([sys.executable, HERE / PARTS[part][1], *given, "--exec", form, "--steps", self.o.steps,
                              "--device", self.o.device])[:1]

    def measure(self, part, case, forms):
        """Measurements by form, over rounds in which every form has its turn; one that failed has no other."""
        found, left = {}, [form for form in forms if form in ONLY_LOOP.get(case.get("gate"), forms)]
        for round_ in range(self.o.rounds):
            of_round = self.ours(part, case)
            for form in list(left):
                measured = self.theirs(part, case, form)
                if not measured:
                    left.remove(form)
                of_round += measured
            for one in of_round:
                found.setdefault(one["form"], []).append(one)
                if self.o.json:
                    with open(self.o.json, "a", encoding="utf-8") as file:
                        file.write(json.dumps({"part": part, **case, "round": round_, **one}) + "\n")
        return found

    def cases(self, part):
        models, precisions = self.o.models.split(","), self.o.precisions.split(",")
        if part == "update":
            return [{"model": m, "gate": g} for m, g in itertools.product(models, self.o.gates.split(","))]
        batches = map(int, (self.o.batches or PARTS[part][3]).split(","))
        return [{"model": m, "batch": b, "precision": p} for m, b, p in itertools.product(models, batches, precisions)]

    def compare(self, part):
        known = {*PARTS[part][2].split(","), *(() if part == "update" else ("reduce",))}
        forms = [form for form in (self.o.forms or PARTS[part][2]).split(",") if form in known]
        if not forms:
            sys.exit(f"gpu_vs_torch: --forms {self.o.forms}: {part} has {', '.join(sorted(known))}")
        cases = self.cases(part)
        last = "% of copy" if part == "update" else f"GPU MB: expunge, {', '.join(forms)}"
        names = [part, *list(cases[0])[1:], "expunge ms", *(() if part == "update" else ("images/s",)),
                 *(f"{f} ms" for f in forms), *(f"{f} / expunge" for f in forms), last]
        print(f"| {' | '.join(names)} |")
        print("|---" * len(names) + "|")
        for case in cases:
            found = self.measure(part, case, forms)
            ms = {form: statistics.median(one["median_ms"] for one in all_) for form, all_ in found.items()}
            of_copy = [one["copy_percent"] for one in found.get("expunge", []) if one.get("copy_percent")]
            mine = ms.get("expunge")
            largest = {form: max(one.get("device_mb") or 0 for one in all_) for form, all_ in found.items()}
            cells = [*case.values(), text(mine, ".3f")]
            if part != "update":
                cells.append(text(mine and 1000 * case["batch"] / mine, ".0f"))
            cells += [text(ms.get(f), ".3f") for f in forms]
            cells += [text(mine and f in ms and ms[f] / mine, ".2f") for f in forms]
            if part == "update":
                cells.append(text(of_copy and statistics.median(of_copy), ".0f"))
            else:
                cells.append(", ".join(str(largest.get(f) or "-") for f in ["expunge", *forms]))
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
        print(flush=True)


def text(number, digits):
    return format(number, digits) if number else "-"


def main():
    o = options()
    parts = o.parts.split(",")
    for part in parts:
        if part not in PARTS:
            sys.exit(f"gpu_vs_torch: --parts {part}: expected {', '.join(PARTS)}")
    versus = Versus(o)
    for part in parts:
        versus.compare(part)
    sys.exit(versus.failures > 0)


if __name__ == "__main__":
    main()
