"""`madx report` on a folder that somebody sent: scored, or refused in one line; nothing outside is read or written."""

import copy
import csv
import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from madx.config import InputError
from madx.pipeline.rescore import score_run
from madx.report.page import write_report
from madx.report.tables import latex, markdown
from madx.scores.rows import read_rows
from madx.scores.score import Score

COUNT = int(os.environ.get("MADX_HOSTILE", "200"))
VALUES: list[Any] = [
    None, True, -1, 0, 0.5, 1e300, 10**9, 10**30, "", "x", "../x", "/tmp/x", "=cmd|x", "a&b", "\x1b[2J", "\u0000", [],
    ["x"], {}, {"a": "b"}, "x" * 5000, ["../../x"], {"../x": {"kind": "tagging"}},
]  # fmt: skip


def run_file() -> dict[str, Any]:
    facts = {"seconds": 1.0, "trained": "language adapter", "held_out_before": 5.0, "held_out_after": 4.0, "tokens": 9}
    cells = [
        {"task": "tags", "method": method, "target": target, "seed": 1, "adapters": ["language-swe-1", "task-tags-1"]}
        for method in ("madx", "task-only")
        for target in ("swe", "fao")
    ]
    return {
        "name": "tiny", "model": {"name": "mini", "digest": "sha256:0", "precision": "fp32"}, "source": "eng",
        "methods": ["madx", "task-only"], "bootstrap": 20, "cells": cells,
        "tasks": {"tags": {"kind": "tagging", "metric": "accuracy", "labels": ["A", "B"], "unspaced": []}},
        "unlabelled": [
            {"task": "tags", "target": "sme", "tokens": 5, "unknown_rate": 0.1, "subwords_per_word": 2.0,
             "held_out_before": 5.0, "held_out_after": 4.5}
        ],
        "languages": {"swe": {"name": "Swedish", "script": "Latn", "family": ["Germanic"], "seen": True}},
        "texts": {"swe": {"tokens": 9, "unknown_rate": 0.1, "subwords_per_word": 2.0,
                          "sources": [{"name": "own", "licence": "CC0"}]}},
        "tests": [{"task": "tags", "target": "swe", "of": "x",
                   "health": {"sentences": 9, "words": 18, "tokens": 20, "unknown": 0},
                   "contamination": {"sentences": 9, "matched": 1, "long": 0, "overlapping": 0}}],
        "licences": {"tags": {"name": "tags", "licence": "CC0"}}, "legend": {"madx": "an adapter"},
        "settings": {"language_adapter.steps": "80"}, "curves": {"language-swe-1": [[1, 2.0], [2, 1.5]]},
        "host": {"machine": "x86_64", "system": "Linux", "python": "3.11", "device": "cpu"},
        "versions": {"madx-adapters": "0.2"}, "seconds_this_time": 1.0, "inputs": {},
        "steps": {"language-swe-1": facts, "task-tags-1": {"seconds": 2.0, "memory_mb": 3}},
    }  # fmt: skip


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "box" / "run"
    lines = [json.dumps({"id": str(i), "gold": ["A", "B"], "predicted": ["A", "AB"[i % 2]]}) for i in range(9)]
    for cell in run_file()["cells"]:
        write_lines(folder / f"predictions/tags/{cell['method']}/{cell['target']}.seed1.jsonl.gz", lines)
    (folder / "run.json").write_text(json.dumps(run_file()))
    return folder


def report(folder: Path) -> None:
    write_report(folder, score_run(folder))


def changed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    run = run_file()
    change(run)
    (folder / "run.json").write_text(json.dumps(run))


def test_a_folder_that_was_sent_is_scored(folder: Path) -> None:
    changed(folder, lambda run: run.update(unknown_to_this_release=1))
    report(folder)
    assert [row.value for row in read_rows(folder / "scores.csv", Score) if row.primary] == [
        pytest.approx(100 * 13 / 18)
    ] * 4
    assert (folder / "tables" / "tags.tex").exists()


@pytest.mark.parametrize("name", ["../../outside", "/tmp/madx-outside", "..", "a/b", "=1+1", "x\ny"])
def test_names_in_a_run_cannot_write_or_read_outside(folder: Path, name: str) -> None:
    def task(run: dict[str, Any]) -> None:
        run["tasks"][name] = run["tasks"].pop("tags")
        for cell in run["cells"]:
            cell["task"] = name

    for change in (task, *(lambda run, key=key: run["cells"][0].update({key: name}) for key in ("target", "method"))):
        changed(folder, change)
        with pytest.raises(InputError, match=r"run\.json: key '.*is no name"):
            report(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


def test_the_place_of_predictions_follows_from_the_cell(folder: Path) -> None:
    write_lines(folder.parent / "secret.gz", ["secret"])
    changed(folder, lambda run: run["cells"][0].update(file="../secret.gz"))
    report(folder)  # the key is passed over


@pytest.mark.parametrize(
    "place", ["tables", "plots", "paper", "predictions/tags/madx", "scores.csv", "summary.csv", "report.html"]
)
def test_links_out_of_a_run_are_refused(folder: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "outside").mkdir()
    if (folder / place).exists():
        (folder / place).rename(tmp_path / "outside" / "before")
    (folder / place).symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="leads out of"):
        report(folder)
    assert not [p for p in (tmp_path / "outside").rglob("*") if p.suffix in (".tex", ".svg", ".csv", ".html")]


@pytest.mark.parametrize(
    ("key", "value"),
    [("bootstrap", 10**9), ("bootstrap", -1), ("bootstrap", "many"), ("cells", {}), ("tasks", []), ("model", "mini"),
     ("host", None), ("steps", {"language-x": {"seconds": "long"}}), ("name", None)],
)  # fmt: skip
def test_types_and_ranges_are_checked(folder: Path, key: str, value: object) -> None:
    changed(folder, lambda run: run.update({key: value}))
    with pytest.raises(InputError, match=rf"run\.json: key '{key}"):
        report(folder)


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["{"], ":1: not JSON"), (["[1]"], "'gold' and 'predicted'"), ([], "holds no"), (["[" * 10_000], "too deeply"),
     (['{"gold": 1, "predicted": 2}'], "can't be scored"), (['{"gold": ["A"], "predicted": []}'], "can't be scored")],
)  # fmt: skip
def test_predictions_that_cannot_be_right_are_one_line(folder: Path, lines: list[str], message: str) -> None:
    write_lines(folder / "predictions/tags/madx/swe.seed1.jsonl.gz", lines)
    with pytest.raises(InputError, match=message) as caught:
        report(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_predictions_that_swell_or_are_no_file_are_one_line(folder: Path) -> None:
    path = folder / "predictions/tags/madx/swe.seed1.jsonl.gz"
    path.write_bytes(gzip.compress(bytes(65 << 20)))
    with pytest.raises(InputError, match="more than 64 MiB"):
        report(folder)
    path.write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(InputError, match="damaged gzip"):
        report(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="is a pipe"):
        report(folder)


def test_mutated_runs_are_scored_or_refused_and_nothing_is_outside(folder: Path) -> None:
    rng, refused = random.Random(7), 0
    for number in range(COUNT):
        run = copy.deepcopy(run_file())
        for _ in range(rng.randint(1, 2)):
            value: Any = run
            while isinstance(value, (dict, list)) and value:  # a random place in the tree
                key: Any = rng.choice(sorted(value)) if isinstance(value, dict) else rng.randrange(len(value))
                table, value = value, value[key]
                if rng.random() < 0.4:
                    break
            if rng.random() < 0.2:
                del table[key]
            else:
                table[key] = rng.choice(VALUES)
        (folder / "run.json").write_text(json.dumps(run))
        try:
            scores = score_run(folder)
            if number % 5 == 0:
                write_report(folder, scores)
        except InputError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1, (number, str(error))  # noqa: PT017
            assert str(error).isprintable(), (number, str(error))  # noqa: PT017
        assert [path.name for path in folder.parent.iterdir()] == ["run"], number
    assert 0 < refused < COUNT


# ------------------------------------------------------------------------------------------------ safe to open


def score(**more: str) -> Score:
    about = {"model": "m", "task": "t", "metric": "accuracy", "method": "madx", "source": "eng", "target": "swe"}
    return Score(**{**about, **more}, seed=1, value=50.0, ci_low=40.0, ci_high=60.0, n=3, adapter_ids="a")


def test_a_spreadsheet_computes_nothing_and_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    from madx.scores.rows import write_rows

    for model in ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "plain", "'quoted'", "''-"):
        write_rows(tmp_path / "scores.csv", Score, [score(model=model)])
        with open(tmp_path / "scores.csv", encoding="utf-8", newline="") as file:
            assert next(csv.DictReader(file))["model"][0] not in "=+-@\t"
        assert read_rows(tmp_path / "scores.csv", Score) == [score(model=model)]


def test_latex_and_markdown_cells_stay_cells() -> None:
    table = pd.DataFrame({"a|b[c](d)<i>": ["50.0"]}, index=[r"\input{x}&%$#_~^"])
    row = next(line for line in latex(table).splitlines() if "input" in line)
    assert row == r"\textbackslash{}input\{x\}\&\%\$\#\_\textasciitilde{}\textasciicircum{} & 50.0 \\"
    header = markdown(table).splitlines()[0]
    assert header == r"| target | a\|b\[c\](d)&lt;i> |"
