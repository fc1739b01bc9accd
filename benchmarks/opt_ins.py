"""What the opt-ins change, on the quick start (`mini`, method madx): `python benchmarks/opt_ins.py`.

Held-out loss of the language adapters, always over the whole vocabulary, and zero-shot scores, means of the targets.
`mini` has no dropout, which kept lower layers would be run without: so they are compared on a copy that has it, too.
"""

import csv
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".bench" / "opt-ins"
WITH_DROPOUT = WORK / "mini-dropout"
UPPER, KEPT = "task_adapter.leave_out=[0, 1, 2]", "task_adapter.lower_layers=kept"
VARIANTS = {
    "the default": (),
    '`language_adapter.softmax = "corpus"`': ("language_adapter.softmax=corpus",),
    "`task_adapter.leave_out = [0, 1, 2]`": (UPPER,),
    'the same, `task_adapter.lower_layers = "kept"`': (UPPER, KEPT),
    '`evaluation.weights = "int8"`': ("evaluation.weights=int8",),
    "with dropout 0.1: `task_adapter.leave_out = [0, 1, 2]`": (f"model={WITH_DROPOUT}", UPPER),
    'with dropout 0.1, the same, `task_adapter.lower_layers = "kept"`': (f"model={WITH_DROPOUT}", UPPER, KEPT),
}


def figures(folder: Path) -> dict[str, Any]:
    """A run's means over the targets."""
    with open(folder / "scores.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["target"] != row["source"]]
    accuracy = statistics.mean(float(row["value"]) for row in rows if row["metric"] == "accuracy")
    steps = json.loads((folder / "run.json").read_text())["steps"]
    losses = [step["held_out_after"] for name, step in steps.items() if name.startswith("language-")]
    return {"held_out_loss": statistics.mean(losses), "accuracy": accuracy}


def make_with_dropout() -> None:
    """`mini` with dropout after the embeddings and in every sub-layer, as XLM-R and mBERT have it."""
    from madx.encoders.export import export_encoder
    from madx.encoders.reference import resolve_encoder

    shutil.rmtree(WITH_DROPOUT, ignore_errors=True)
    export_encoder(resolve_encoder("mini"), WITH_DROPOUT)
    file = WITH_DROPOUT / "config.json"
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    file.write_text(json.dumps(json.loads(file.read_text()) | dropout, indent=2) + "\n")


def main() -> None:
    found: dict[str, dict[str, Any]] = {}
    make_with_dropout()
    for number, (name, settings) in enumerate(VARIANTS.items()):
        chosen = (f"name=variant-{number}", 'methods=["madx"]', *settings)
        command = [sys.executable, "-m", "madx", "run", "--quiet", "--results", str(WORK / "results")]
        command += [word for setting in chosen for word in ("--set", setting)]
        subprocess.run(command, check=True, capture_output=True)
        found[name] = figures(WORK / "results" / f"variant-{number}")
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    lines = ["## What the opt-ins change: quick start, mini, 2 seeds, madx", "",
             "| | held-out loss | POS accuracy, mean of 2 |", "|---|--:|--:|",
             *(f"| {name} | {row['held_out_loss']:.3f} | {row['accuracy']:.2f} |"
               for name, row in found.items())]  # fmt: skip
    out = ROOT / "results" / "speed"
    out.mkdir(parents=True, exist_ok=True)
    (out / "opt-ins.json").write_text(json.dumps(found, indent=2) + "\n")
    (out / "opt-ins.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
