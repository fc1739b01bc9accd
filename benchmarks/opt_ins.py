"""What the opt-ins change, on the quick start (`mini`, method madx): `python benchmarks/opt_ins.py`.

Held-out loss of the language adapters, always over the whole vocabulary, and zero-shot scores, means of the targets.
"""

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
UPPER = "task_adapter.leave_out=[0, 1]"
VARIANTS = {
    "the default": (),
    '`language_adapter.softmax = "corpus"`': ("language_adapter.softmax=corpus",),
    "`task_adapter.leave_out = [0, 1]`": (UPPER,),
    'the same, `task_adapter.lower_layers = "kept"`': (UPPER, "task_adapter.lower_layers=kept"),
    '`evaluation.weights = "int8"`': ("evaluation.weights=int8",),
}


def figures(folder: Path) -> dict[str, Any]:
    """A run's means over the targets."""
    with open(folder / "scores.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["target"] != row["source"]]
    scores = {
        task: statistics.mean(float(row["value"]) for row in rows if row["task"] == task and row["metric"] == metric)
        for task, metric in (("pos", "accuracy"), ("ner", "span-f1"))
    }
    steps = json.loads((folder / "run.json").read_text())["steps"]
    losses = [step["held_out_after"] for name, step in steps.items() if name.startswith("language-")]
    return {"held_out_loss": statistics.mean(losses), **scores}


def main() -> None:
    found: dict[str, dict[str, Any]] = {}
    results = ROOT / ".bench" / "opt-ins"
    for number, (name, settings) in enumerate(VARIANTS.items()):
        chosen = (f"name=variant-{number}", 'methods=["madx"]', *settings)
        command = [sys.executable, "-m", "madx", "run", "--quiet", "--results", str(results)]
        command += [word for setting in chosen for word in ("--set", setting)]
        subprocess.run(command, check=True, capture_output=True)
        found[name] = figures(results / f"variant-{number}")
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    lines = ["## What the opt-ins change: quick start, mini, 2 seeds, madx", "",
             "| | held-out loss, mean of 4 | POS accuracy, mean of 3 | NER F1, mean of 3 |", "|---|--:|--:|--:|",
             *(f"| {name} | {row['held_out_loss']:.3f} | {row['pos']:.2f} | {row['ner']:.2f} |"
               for name, row in found.items())]  # fmt: skip
    out = ROOT / "results" / "speed"
    out.mkdir(parents=True, exist_ok=True)
    (out / "opt-ins.json").write_text(json.dumps(found, indent=2) + "\n")
    (out / "opt-ins.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
