"""Several runs: compared, and on one page."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madx.cli import app
from madx.config import InputError
from madx.pipeline.compare import compare_runs
from madx.pipeline.rescore import score_run
from madx.report.run_file import read_run
from madx.scores.rows import read_rows
from madx.scores.summary import Summary

Write = Callable[..., Path]


@pytest.fixture
def runs(tmp_path: Path, write_run: Write) -> tuple[Path, Path]:
    """The second one's method-0 is worse: a third of its words are wrong on the same sentences."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, 3, 2, 2, bootstrap=200, name=name)
    for path in (tmp_path / "two/predictions/tags/method-0").iterdir():
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        for line in lines:
            line["predicted"][:2] = ["NOUN" if g != "NOUN" else "VERB" for g in line["gold"][:2]]
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    return tmp_path / "one", tmp_path / "two"


def test_two_runs_are_paired_where_the_examples_are_the_same(runs: tuple[Path, Path]) -> None:
    rows = {(row.method, row.target): row for row in compare_runs(*runs)}
    assert all(row.paired for row in rows.values())
    same = rows["task-only", "qaa"]
    assert (same.value, same.ci_low, same.ci_high, same.p_holm) == (0.0, 0.0, 0.0, 1.0)
    better = rows["method-0", "mean of targets"]
    assert better.value > 15
    assert better.ci_low > 5
    assert better.p_holm < 0.05
    values = {run: {(r.method, r.target): r.value for r in summary(run)} for run in runs}
    for target in ("qaa", "qab", "qac", "mean of targets"):
        first, second = (values[run]["method-0", target] for run in runs)
        assert rows["method-0", target].value == pytest.approx(first - second)


def summary(run: Path) -> list[Summary]:
    score_run(run)
    return [row for row in read_rows(run / "summary.csv", Summary) if row.statistic == "mean"]


def test_other_examples_are_no_pairs_and_other_seeds_are_a_mean(runs: tuple[Path, Path]) -> None:
    first, second = runs
    run = json.loads((second / "run.json").read_text())
    run["cells"] = [cell for cell in run["cells"] if cell["seed"] == 1 or cell["target"] != "qab"]
    (second / "run.json").write_text(json.dumps(run))
    path = second / "predictions/tags/task-only/qaa.seed1.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b'"id": "3"', b'"id": "x"')))
    rows = {(row.method, row.target): row for row in compare_runs(first, second)}
    assert not rows["task-only", "qaa"].paired
    assert not rows["task-only", "mean of targets"].paired
    assert rows["task-only", "qab"].paired
    assert (rows["task-only", "qab"].seeds, rows["task-only", "qac"].seeds) == (1, 2)


def test_languages_without_text_are_a_group(tmp_path: Path, write_run: Write) -> None:
    folder = write_run(tmp_path, 7, 2, 1, bootstrap=0)
    run = read_run(folder)
    codes = sorted({cell.target for cell in run.cells} - {"eng"})
    about = json.loads((folder / "run.json").read_text())
    about["texts"] = {code: text for code, text in about["texts"].items() if code not in codes[:3]}
    (folder / "run.json").write_text(json.dumps(about))
    with_some = read_run(folder)
    assert [code for code in run.languages if "languages without text" in run.labels(code)] == []
    assert [code for code in codes if "languages without text" in with_some.labels(code)] == codes[:3]
    assert "languages without text" not in with_some.labels("eng")
    score_run(folder)
    rows = read_rows(folder / "summary.csv", Summary)
    assert "mean of languages without text" in {row.target for row in rows}


def test_nothing_in_common_is_one_line(runs: tuple[Path, Path]) -> None:
    run = json.loads((runs[1] / "run.json").read_text())
    run["tasks"]["tags"]["metric"] = "span-f1"
    (runs[1] / "run.json").write_text(json.dumps(run))
    with pytest.raises(InputError, match="accuracy in one, span-f1 in the other"):
        compare_runs(*runs)
    run["cells"] = []
    (runs[1] / "run.json").write_text(json.dumps(run))
    with pytest.raises(InputError, match="nothing to compare"):
        compare_runs(*runs)


def test_the_commands(runs: tuple[Path, Path]) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["compare", *map(str, runs), "--json"])
    assert done.exit_code == 0, done.output
    assert {row["method"] for row in json.loads(done.output)} == {"method-0", "task-only"}
    assert "mean of targets" in runner.invoke(app, ["compare", *map(str, runs)]).output

    run = json.loads((runs[1] / "run.json").read_text())
    run["model"]["name"] = "<script>alert(1)</script>"
    (runs[1] / "run.json").write_text(json.dumps(run))
    folder = runs[0].parent
    done = runner.invoke(app, ["report", str(folder), "--all"])
    assert done.exit_code == 0, done.output
    page = (folder / "index.html").read_text()
    assert "<script" not in page
    assert "://" not in page
    for link in re.findall(r'href="([^"]+)"', page):
        assert (folder / link).is_file()
    # the highest first
    methods = re.findall(r"/report.html\">(\w+)</a></th>.*?<td>([\w-]+)</td><td>3</td>", page)
    assert methods[0] == ("one", "method-0")
    assert len(methods) == 4
    done = runner.invoke(app, ["report", str(folder), "--all", "--json"])
    scores = {name: {score["method"] for score in own} for name, own in json.loads(done.stdout).items()}
    assert scores == {"one": {"method-0", "task-only"}, "two": {"method-0", "task-only"}}

    # predictions that weren't handed on: the scores as they stand, and said
    next((runs[0] / "predictions/tags/method-0").iterdir()).unlink()
    done = runner.invoke(app, ["report", str(folder), "--all"])
    assert done.exit_code == 0, done.output
    assert "isn't there; one's scores and report stay as they were" in done.stderr
    assert (folder / "index.html").read_text() == page
    (runs[0] / "summary.csv").unlink()
    assert "no such file" in str(runner.invoke(app, ["report", str(folder), "--all"]).exception)


def test_a_folder_without_runs_is_one_line(tmp_path: Path) -> None:
    from madx.report.leaderboard import runs_below

    for folder in (tmp_path, tmp_path / "no"):
        with pytest.raises(InputError):
            runs_below(folder)
