"""report.html, as a reader's browser has it."""

import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from madx.pipeline.rescore import score_run
from madx.report.charts import ink, luminance, shade
from madx.report.page import write_report
from madx.scores.paired import Difference
from madx.scores.rows import read_rows
from madx.scores.score import Score
from madx.scores.summary import ProfilePoint, Summary
from madx.stages.predictions import predictions_path

Write = Callable[..., Path]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = os.environ.get("MADX_AXE", "")  # axe.min.js, which isn't ours to carry
browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: report.html was not opened in a browser")


def page_of(folder: Path) -> str:
    return write_report(folder, score_run(folder)).read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, write_run: Write) -> Path:
    folder = write_run(tmp_path_factory.mktemp("small"), 6, 3, 2)
    write_report(folder, score_run(folder))
    return folder


def test_the_page_says_what_the_files_say(small: Path) -> None:
    (task,) = data_of((small / "report.html").read_text())["tasks"]
    cells = {(row["target"], m): cell[:3] for row in task["rows"] for m, cell in row["cells"].items()}
    means = [row for row in read_rows(small / "summary.csv", Summary) if row.statistic == "mean"]
    assert len(means) == len(cells) == (6 + 4) * 3  # all, seen, unseen, Latn
    for row in means:
        assert cells[row.target, row.method] == pytest.approx([row.value, row.ci_low, row.ci_high], abs=1e-3)
    for row in read_rows(small / "differences.csv", Difference):
        shown = task["differences"][row.method][row.baseline][row.target]
        assert shown[:3] == pytest.approx([row.value, row.ci_low, row.ci_high], abs=1e-3)


def test_both_forms_say_what_the_encoder_is(small: Path) -> None:
    for name in ("report.html", "report.md"):
        assert "(bundled: a student of multilingual E5-small, " in (small / name).read_text()


def test_scores_are_scikit_learn_s(small: Path) -> None:
    from sklearn.metrics import accuracy_score

    for row in read_rows(small / "scores.csv", Score):
        path = predictions_path(small, row.task, row.method, row.target, row.seed)
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        gold, predicted = ([label for line in lines for label in line[key]] for key in ("gold", "predicted"))
        assert row.value == pytest.approx(100 * accuracy_score(gold, predicted))


def test_nothing_is_fetched_and_no_other_script_may_run(small: Path) -> None:
    page = (small / "report.html").read_text()
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    policy = re.search(r'content="(default-src[^"]*)"', page)
    assert policy
    assert re.search(r"default-src 'none'.*script-src 'sha256-[A-Za-z0-9+/=]+'", policy[1])


def test_every_figure_has_its_data_beside_it(small: Path) -> None:
    plots = sorted(path.name for path in (small / "plots").iterdir())
    assert plots == [f"tags{part}.{kind}" for part in ("-gains", "-profile", "") for kind in ("csv", "svg")]


def test_a_method_without_a_target_is_said(tmp_path: Path, write_run: Write) -> None:
    folder = write_run(tmp_path, 3, 3, 1)
    run = json.loads((folder / "run.json").read_text())
    run["cells"] = [c for c in run["cells"] if (c["method"], c["target"]) != ("method-1", "qab")]
    (folder / "run.json").write_text(json.dumps(run))
    page = page_of(folder)
    assert "Not run, held back by the recipe: method-1 on qab." in page
    (task,) = data_of(page)["tasks"]
    rows = {row["target"]: row["cells"] for row in task["rows"]}
    assert "method-1" not in rows["qab"]
    assert "method-1" not in rows["mean of targets"]
    assert set(rows["mean of common targets"]) == {"method-0", "method-1", "task-only"}
    gains = (folder / "report.md").read_text().split("Points above or below")[1]
    (mean,) = [line for line in gains.splitlines() if line.startswith("| mean of targets (3) |")]
    assert [", over 2" in cell for cell in mean.split("|")[2:4]] == [False, True]  # method-0, method-1


def test_the_cost_of_what_isnt_known_is_not_nothing(tmp_path: Path, write_run: Write) -> None:
    folder = write_run(tmp_path, 3, 2, 1)
    run = json.loads((folder / "run.json").read_text())
    del run["steps"]["task-tags-0"]["bytes"]
    (folder / "run.json").write_text(json.dumps(run))
    page = page_of(folder)
    assert "method-0 10 s, trained parameters not known; " in page
    assert "trained parameters 2,000." in page


def test_the_answer_names_the_best_the_gap_and_the_doubt(small: Path) -> None:
    page = (small / "report.html").read_text()
    rows = {(r.target, r.method): r for r in read_rows(small / "summary.csv", Summary) if r.statistic == "mean"}
    paired = {(d.target, d.method, d.baseline): d for d in read_rows(small / "differences.csv", Difference)}
    best, gap = rows["mean of unseen", "method-0"], paired["mean of unseen", "method-0", "task-only"]
    assert f"Unseen (3): method-0 is highest with {best.value:.1f} accuracy" in page
    assert f"{gap.value:+.1f} points over task-only ({gap.ci_low:+.1f} to {gap.ci_high:+.1f})" in page
    assert "points over method-1 (" in page
    closest = paired["mean of unseen", "method-0", "method-1"]
    assert ("; may be chance)" in page) == (closest.ci_low <= 0)
    assert "Unseen (3): " in (small / "report.md").read_text()
    assert page.count("fewer than five languages say nothing of others") == 2  # seen and unseen, not all six


def test_a_group_with_one_method_is_no_contest(tmp_path: Path, write_run: Write) -> None:
    """Three methods on the unseen targets, one of them on the seen ones too."""
    folder = write_run(tmp_path, 6, 3, 2)
    run = json.loads((folder / "run.json").read_text())
    seen = [code for code, about in run["languages"].items() if about["seen"]]
    run["cells"] = [c for c in run["cells"] if c["method"] == "task-only" or c["target"] not in seen]
    (folder / "run.json").write_text(json.dumps(run))
    page_of(folder)
    text = (folder / "report.md").read_text()
    assert text.index("Unseen (3): method-0 is highest") < text.index("Seen (3): only task-only was run")
    assert "Common targets" not in text.split("Mean over seeds")[0]  # they are the unseen ones
    profiles = read_rows(folder / "profiles.csv", ProfilePoint)
    assert {point.method for point in profiles} == {"method-0", "method-1", "task-only"}


def test_the_highest_of_some_methods_is_not_called_the_highest_of_all(tmp_path: Path, write_run: Write) -> None:
    """The best method was not run on one target, so it is no contest there."""
    folder = write_run(tmp_path, 6, 3, 1)
    run = json.loads((folder / "run.json").read_text())
    run["cells"] = [c for c in run["cells"] if (c["method"], c["target"]) != ("method-0", "qaa")]
    (folder / "run.json").write_text(json.dumps(run))
    page_of(folder)
    text = (folder / "report.md").read_text()
    assert "Targets (6): of the 2 methods that were run on all of them, method-1 is highest" in text
    assert "Unseen (3): method-0 is highest" in text
    profiles = read_rows(folder / "profiles.csv", ProfilePoint)  # over the five targets that it has too
    assert {point.method for point in profiles} == {"method-0", "method-1", "task-only"}


def test_equal_means_are_called_equal(tmp_path: Path, write_run: Write) -> None:
    folder = write_run(tmp_path, 4, 2, 1)
    for file in (folder / "predictions" / "tags" / "method-0").iterdir():
        shutil.copy(file, folder / "predictions" / "tags" / "task-only" / file.name)
    page_of(folder)
    said = (folder / "report.md").read_text()
    assert "Targets (4): method-0 and task-only are highest with" in said
    assert "the same as task-only in every answer" in said


def two_tasks(folder: Path, write_run: Write) -> Path:
    """The same run with its task a second time, where the best method failed on three targets, both seeds."""
    write_run(folder, 8, 3, 2)
    run = json.loads((folder / "run.json").read_text())
    shutil.copytree(folder / "predictions" / "tags", folder / "predictions" / "more")
    run["tasks"]["more"] = run["tasks"]["tags"]
    failed = ("qaa", "qac", "qae")
    more = [cell | {"task": "more"} for cell in run["cells"]]
    run["cells"] += [cell for cell in more if not (cell["method"] == "method-0" and cell["target"] in failed)]
    run["failed"] = [
        {"task": "more", "method": "method-0", "target": target, "seed": seed, "why": "no text of it"}
        for target in failed for seed in (1, 2)
    ]  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_several_tasks_stand_in_one_table_first(tmp_path: Path, write_run: Write) -> None:
    page_of(two_tasks(tmp_path, write_run))
    text = (tmp_path / "report.md").read_text()
    table = text[: text.index("## tags")]
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:] == [
        "tags (accuracy)", "more (accuracy)",
    ]  # fmt: skip
    assert re.search(r"\| method-0 [\d.]+, \+[\d.]+ over task-only \([^)]*\); 5 languages \|$", table, re.MULTILINE)
    every = "more, method-0, Language qaa (qaa), seeds 1, 2; more, method-0, Language qac (qac), seeds 1, 2"
    assert f"- {every}; more, method-0, Language qae (qae), seeds 1, 2: no text of it" in text
    assert "All tasks: the highest mean" in (tmp_path / "report.html").read_text()


@browser
def test_a_method_with_fewer_targets_is_shown_as_such(tmp_path: Path, write_run: Write) -> None:
    page_of(two_tasks(tmp_path, write_run))
    seen = result(
        tmp_path / "report.html",
        CONTROLS
        + """
set("task", "1");
const means = [...document.querySelectorAll("#gains svg text")].map((node) => node.textContent);
const why = [...document.querySelectorAll("#grid td.none")].map((node) => node.title).find((title) => title);
const keys = (id) => [...document.querySelectorAll(`#${id}-legend li`)];
const colour = (id) => keys(id).map((node) => [node.textContent, node.firstChild.style.background]);
set("group", "seen");
return { means, why, gains: colour("gains"), profile: colour("profile"),
  rows: [...document.querySelectorAll("#grid tbody th")].map((node) => node.textContent) };
""",
    )
    assert "mean of targets (5 or 8)" in seen["means"]
    assert seen["why"] == "no text of it"
    assert dict(seen["gains"]).items() <= dict(seen["profile"]).items()  # a method has one colour on the page
    assert {"mean of seen (4)", "mean of common seen (1)"} <= set(seen["rows"])


def test_every_cell_can_be_read() -> None:
    for step in range(-20, 21):
        colour = shade(step / 20)
        light, dark = sorted([luminance(colour), 1.0 if ink(colour) == "#fff" else 0.0], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


def hostile(folder: Path, write_run: Write) -> Path:
    labels = [HOSTILE[:60], "=cmd()", r"\input{x}|&%"]
    write_run(folder, 2, 2, 1, legend={"method-0": HOSTILE}, model={"name": HOSTILE})
    run = json.loads((folder / "run.json").read_text())
    run["tasks"]["tags"]["labels"] += labels
    run["languages"]["qaa"].update(name=HOSTILE, script=HOSTILE, family=[HOSTILE, r"\input{x}|"])
    run["texts"]["qaa"]["sources"] = [{"name": HOSTILE, "licence": "=cmd()"}]
    run["licences"] = {"tags": {"name": HOSTILE, "licence": HOSTILE}}
    run["curves"] = {HOSTILE.replace("/", "").replace("<", "_")[:40]: [[1, 2.0]]}
    (folder / "run.json").write_text(json.dumps(run))
    lines = [json.dumps({"id": HOSTILE, "gold": labels, "predicted": labels[::-1]})] * 3
    (folder / "predictions/tags/method-0/qaa.seed1.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def test_hostile_names_and_labels_stay_text(tmp_path: Path, write_run: Write) -> None:
    page = page_of(hostile(tmp_path, write_run))
    assert page.count("<script") == 2
    assert "<img" not in page
    assert HOSTILE in json.dumps(data_of(page)).replace('\\"', '"')
    for path in [*tmp_path.glob("*.md"), *tmp_path.glob("plots/*.svg")]:
        assert "<script" not in path.read_text(), path
    for path in tmp_path.glob("tables/*.tex"):
        assert "\\input" not in path.read_text(), path
    for line in (tmp_path / "confusions.csv").read_text().splitlines():
        assert ",=cmd" not in line


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory, write_run: Write) -> Path:
    folder = write_run(tmp_path_factory.mktemp("hundred"), 100, 8, 3, bootstrap=20, sentences=4)
    return write_report(folder, score_run(folder))


def test_a_hundred_languages_stay_small(hundred: Path) -> None:
    page = hundred.read_text(encoding="utf-8")
    assert len(data_of(page)["tasks"][0]["rows"]) >= 100
    assert len(page.encode()) < 5_000_000


# ------------------------------------------------------------------------------------------------ in a browser


def opened(page: Path, script: str = "", *options: str) -> str:
    """The page's text once its script, and one of the test's, have run; what the console said fails the test.

    The test's script can't run under the page's own policy, which is taken out of a copy.
    """
    copy = page.with_name("opened.html")
    text = page.read_text(encoding="utf-8")
    if script:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        text = text.replace("</body>", f"<script>{script}</script></body>")
    copy.write_text(text, encoding="utf-8")
    assert CHROMIUM
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
         "--virtual-time-budget=8000", *options, copy.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, said
    return done.stdout


def result(page: Path, script: str, *options: str) -> Any:
    """What the script's `return` gives."""
    wrapped = (
        f"(async () => {{ {script} }})().then((v) => {{ const p = document.createElement('pre'); p.id = 'result';"
        "p.textContent = JSON.stringify(v); document.body.append(p); });"
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', opened(page, wrapped, *options), re.DOTALL)
    assert found, "the test's script did not end"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@browser
def test_it_opens_under_its_own_policy_and_the_console_is_silent(small: Path) -> None:
    assert 'data-ready="yes"' in opened(small / "report.html")


@browser
def test_a_run_without_a_score_opens_too(tmp_path: Path, write_run: Write) -> None:
    page_of(write_run(tmp_path, 1, 1, 1, cells=[]))
    assert 'data-ready="yes"' in opened(tmp_path / "report.html")


CONTROLS = """
const set = (id, value) => { const n = document.getElementById(id); n.value = value;
  n.dispatchEvent(new Event(n.tagName === "INPUT" ? "input" : "change")); };
const names = () => [...document.querySelectorAll("#grid tbody tr:not(.mean) th")].map((n) => n.textContent);
const cell = (row, column) => document.querySelectorAll("#grid tbody tr")[row].children[column].innerText;
"""


@browser
def test_every_control_works(small: Path) -> None:
    seen = result(
        small / "report.html",
        CONTROLS
        + """
const out = { all: names(), score: cell(0, 2), spoken: document.querySelector("#grid td button").textContent };
out.groups = [...document.getElementById("group").options].map((option) => option.textContent);
document.getElementById("sort-task-only").click();
out.down = names().map((_, i) => parseFloat(cell(i, 4)));
document.getElementById("sort-task-only").click();
out.up = names().map((_, i) => parseFloat(cell(i, 4)));
out.aria = document.querySelector("#grid th[aria-sort=ascending]").innerText;
set("group", "unseen"); out.unseen = names(); set("group", "");
set("filter", "cyrl"); out.filtered = names(); set("filter", "");
set("show", "gain"); out.reference = document.querySelector("#grid tbody tr").lastChild.innerText;
set("reference", "method-0"); out.gain = cell(0, 4);
document.querySelector("#grid td button").click();
out.errors = document.getElementById("errors").innerText; out.focus = document.activeElement.id;
for (const axis of ["tokens", "unknown", "subwords"]) { set("axis", axis);
  out[axis] = document.querySelectorAll("#against circle").length; }
set("cost", "bytes"); set("curve", "task");
out.figures = ["gains", "against", "profile", "costs", "curves"].map((id) =>
  document.querySelectorAll(`#${id} svg`).length);
const files = [];
URL.createObjectURL = (blob) => { files.push(blob); return "#"; };
document.querySelectorAll("[data-of]:not(:disabled)").forEach((b) => b.click());
out.files = await Promise.all(files.map((f) => f.text().then((t) => t.slice(0, 24))));
return out;
""",
    )
    assert len(seen["all"]) == 6
    assert re.match(r"[\d.]+ [\d.]+ to [\d.]+$", seen["spoken"])  # a number and its interval, not one long number
    sizes = [int(re.search(r"\((\d+)\)$", group)[1]) for group in seen["groups"][1:]]  # type: ignore[index]
    assert seen["groups"][:2] == ["all", "seen (3)"]
    assert all(1 < size < 6 for size in sizes)  # neither one language nor all
    assert seen["down"] == sorted(seen["down"], reverse=True)
    assert seen["up"] == sorted(seen["up"])
    assert seen["aria"].startswith("task-only")
    assert sorted(seen["unseen"]) == [f"Language {c} ({c})" for c in ("qab", "qad", "qaf")]
    assert len(seen["filtered"]) == 2
    assert seen["reference"] == "reference"
    assert seen["gain"].startswith("-")
    assert "gold" in seen["errors"]
    assert seen["focus"] == "errors-head"
    assert (seen["tokens"], seen["unknown"], seen["subwords"]) == (12, 12, 12)
    assert seen["figures"] == [1] * 5
    assert [text.startswith("<svg") for text in seen["files"]] == [False, True] * 5


@browser
def test_hostile_names_run_nothing_in_a_browser(tmp_path: Path, write_run: Write) -> None:
    page_of(hostile(tmp_path, write_run))
    assert result(tmp_path / "report.html", "return [document.title, document.images.length]") == ["made-up – madx", 0]


@browser
def test_a_hundred_languages_open_in_two_seconds(hundred: Path) -> None:
    rows, took = result(
        hundred,
        "return [document.querySelectorAll('#grid tbody tr').length,"
        "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd]",
    )
    assert rows >= 100
    assert took < 2_000


@browser
@pytest.mark.skipif(not AXE, reason="MADX_AXE names no axe.min.js: accessibility was not checked by axe-core")
@pytest.mark.parametrize("width", [380, 800, 1300])
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(small: Path, width: int, dark: bool) -> None:
    script = Path(AXE).read_text(encoding="utf-8").replace("</script", "<\\/script")
    found = result(
        small / "report.html",
        f"{script}; document.querySelector('#grid td button').click();"
        "const r = await axe.run(); return r.violations.map((v) => [v.id, v.impact, v.nodes[0].html]);",
        f"--window-size={width},900", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
    )  # fmt: skip
    assert [v for v in found if v[1] in ("serious", "critical")] == []
