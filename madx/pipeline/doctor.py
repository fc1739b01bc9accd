"""Why a transfer failed: a run's zero and chance scores, a source that is hardly learnt, and what its own records say
of them, the likeliest reason first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from madx.config import InputError
from madx.foreign import read_json_object
from madx.pipeline.rescore import predictions_of
from madx.prediction.models import MODELS, read_models
from madx.report.run_file import LARGEST, CellOf, read_run
from madx.scores.rows import read_rows
from madx.scores.score import Score
from madx.stages.predictions import read_predictions

NEAR = 3.0  # percentage points above chance that still say nothing
# accuracy on the source, in percent, that a trained adapter exceeds, where always giving the most frequent label has
# less than half of it: English POS ends at 84 to 94 after 300 sentences, while a choice between two begins at 50
LOW = 70.0
UNKNOWN, LEARNT = 0.05, 10.0  # share of tokens; points above chance that the source's dev set should reach


class Found(NamedTuple):
    """A failed cell, or a source's that is hardly learnt; reasons, the likeliest first."""

    task: str
    method: str
    target: str
    seed: int
    value: float
    chance: float  # in percent: of always giving the most frequent label, of k images taken blindly; 0 for F1
    reasons: list[str]


def diagnose(folder: Path) -> list[Found]:
    """The cells at zero or at chance, and the source's own that are low. Raises InputError for what is no run's."""
    run = read_run(folder)
    raw = read_json_object(folder / "run.json", LARGEST)
    scores = {(s.task, s.method, s.target, s.seed): s for s in read_rows(folder / "scores.csv", Score) if s.primary}
    dev: dict[str, float | None] = {}
    if (folder / MODELS).exists():
        dev = {model.task_model: model.dev for model in read_models(folder).models}
    sources = {(row["task"], row["language"]) for row in raw.get("read", []) if row["split"] == "train"}
    found = []
    for cell in run.cells:
        score = scores.get((cell.task, cell.method, cell.target, cell.seed))
        if score is None:
            raise InputError(f"{folder / 'scores.csv'}: no score of {cell.task} {cell.method} {cell.target}; "
                             f"make it again: madx report {folder}")  # fmt: skip
        path = predictions_of(folder, cell)
        _, gold, predicted = read_predictions(path)
        chance = _chance(score.metric, _values(gold))
        low = (
            score.metric == "accuracy"
            and score.value < LOW
            and chance < LOW / 2
            and (cell.task, cell.target) in sources
        )
        if low or score.value <= chance + NEAR:
            reasons = [*_reasons(cell, raw, dev, chance, score.metric), *_one_answer(predicted)]
            if low:
                reasons.insert(0, f"the source itself is at {score.value:.0f}: the task adapter is hardly trained; "
                                  "more epochs or a higher rate")  # fmt: skip
            found.append(Found(*_name(cell), score.value, chance, reasons or [
                "nothing in the run's records explains it: look at the predictions, and at the tags of the test set"
            ]))  # fmt: skip
    return found


def _name(cell: CellOf) -> tuple[str, str, str, int]:
    return cell.task, cell.method, cell.target, cell.seed


def _chance(metric: str, values: Counter[str]) -> float:
    if metric == "accuracy" and values:
        return 100 * max(values.values()) / values.total()
    _, recall, k = metric.partition("-recall@")
    return min(100.0, 100 * int(k) / len(values)) if recall else 0.0


def _values(given: list[Any]) -> Counter[str]:
    """Labels, of words or of whole examples."""
    return Counter(str(label) for one in given for label in (one if isinstance(one, list) else [one]))


def _reasons(
    cell: CellOf, raw: dict[str, Any], dev: dict[str, float | None], chance: float, metric: str
) -> Iterator[str]:
    steps: dict[str, dict[str, Any]] = raw.get("steps", {})
    read = {(row["task"], row["language"], row["split"]): row.get("labels", {}) for row in raw.get("read", [])}
    trained = [labels for (task, _, split), labels in read.items() if task == cell.task and split == "train"]
    tested = read.get((cell.task, cell.target, "test"), {})
    known = {label for labels in trained for label in labels}
    strange = sum(count for label, count in tested.items() if label not in known)
    if known and strange:
        share = strange / sum(tested.values())
        names = ", ".join(label for label in tested if label not in known)
        yield f"label sets differ: {share:.0%} of the test labels never occur in the source's training ({names[:100]})"
    for name, facts in steps.items():
        rate = facts.get("unknown_rate")
        if name.startswith(f"text-{cell.target}-") and isinstance(rate, float) and rate > UNKNOWN:
            yield f"{rate:.0%} of the text's tokens are unknown to the tokenizer: take an encoder that knows the script"
    for name in cell.adapters:
        if name.startswith("task-"):
            yield from _of_task(steps.get(name, {}), dev.get(name), chance, metric)
    for name in cell.adapters:
        before, after = (steps.get(name, {}).get(f"held_out_{when}") for when in ("before", "after"))
        if before is not None and after is not None and after >= before:
            what = name.rpartition("-")[0]
            yield (f"{what} raised the masked-LM loss on held-out text ({before:.2f} to {after:.2f}): more steps, "
                   "another learning rate, more text")  # fmt: skip


def _of_task(facts: dict[str, Any], dev: float | None, chance: float, metric: str) -> Iterator[str]:
    if dev is not None and dev <= (chance + LEARNT if metric == "accuracy" else LEARNT):
        yield f"the source itself is not learnt ({metric} {dev:.1f} on its dev set): more labels, epochs or rate"
        last = facts.get("steps")
        if last is not None and facts.get("best_step") == last:
            yield f"too few updates: the dev score was still rising at the last of {last}"


def _one_answer(predicted: list[Any]) -> Iterator[str]:
    (label, count), total = _values(predicted).most_common(1)[0], _values(predicted).total()
    if count == total > 1:
        yield f"every prediction is '{label[:40]}': the head has learnt the most frequent label and nothing else"
