"""Runs' folders, made up: as many languages, methods and seeds as a test wants."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LABELS = ["ADJ", "NOUN", "VERB"]


def code(number: int) -> str:
    return "q" + chr(97 + number // 26) + chr(97 + number % 26)


def write_made_up(
    folder: Path,
    num_targets: int,
    num_methods: int,
    num_seeds: int,
    bootstrap: int = 50,
    sentences: int = 12,
    **more: Any,
) -> Path:
    """Method 0 is best, the last one is task-only; every second language is unseen, every third in another script."""
    rng = random.Random(0)
    names = [*(f"method-{i}" for i in range(num_methods - 1)), "task-only"]
    codes = [code(i) for i in range(num_targets)]
    cells = []
    steps: dict[str, Any] = {}
    for target in codes:
        gold = [[rng.choice(LABELS) for _ in range(6)] for _ in range(sentences)]
        for number, method in enumerate(names):
            for seed in range(1, num_seeds + 1):
                right = 0.85 - 0.5 * number / num_methods
                predicted = [[g if rng.random() < right else rng.choice(LABELS) for g in row] for row in gold]
                lines = [
                    json.dumps({"id": str(i), "gold": g, "predicted": p})
                    for i, (g, p) in enumerate(zip(gold, predicted, strict=True))
                ]
                path = folder / "predictions" / "tags" / method / f"{target}.seed{seed}.jsonl.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(gzip.compress("\n".join(lines).encode(), 1))
                cells.append({"task": "tags", "method": method, "target": target, "seed": seed,
                              "adapters": [f"task-tags-{number}"]})  # fmt: skip
    for number in range(num_methods):
        steps[f"task-tags-{number}"] = {"seconds": 10.0 + number, "parameters": 1000 * (number + 1), "bytes": 4000}
    about = {
        "name": "made-up", "model": {"name": "mini"}, "source": "eng", "bootstrap": bootstrap, "cells": cells,
        "tasks": {"tags": {"kind": "tagging", "metric": "accuracy", "labels": LABELS, "unspaced": []}},
        "languages": {c: {"name": f"Language {c}", "script": "Cyrl" if i % 3 == 0 else "Latn", "family": ["Own"],
                          "seen": i % 2 == 0} for i, c in enumerate(codes)},
        "texts": {c: {"tokens": 1000 * (i + 1), "unknown_rate": 0.01, "subwords_per_word": 1.5 + i / 50, "sources": []}
                  for i, c in enumerate(codes)},
        "curves": {f"task-tags-{i}": [[1, 2.0], [2, 1.0 + i / 9]] for i in range(num_methods)},
        "methods": names, "legend": {name: f"what {name} does" for name in names}, "steps": steps,
        "host": {"python": "3.11", "machine": "x86_64"}, "versions": {"madx-adapters": "0.2"}, **more,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    return write_made_up
