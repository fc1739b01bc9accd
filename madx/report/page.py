"""The report of a run: report.md, tables/, plots/, paper/ and one self-contained page."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jinja2
import pandas as pd

from madx.encoders.reference import KNOWN
from madx.foreign import inside, markdown_text
from madx.report.answer import answer, distinct_groups, overview
from madx.report.charts import gains, heat_map, profile
from madx.report.costs import Cost, cost_table, costs_of
from madx.report.data import Statistics, page_data, read_statistics
from madx.report.paper import write_paper
from madx.report.run_file import RunFile, read_run
from madx.report.tables import (
    difference_table,
    latex,
    markdown,
    ordering_table,
    reference_of,
    row_name,
    score_table,
    spread_table,
    unlabelled_table,
)
from madx.report.trust import adapter_table, definitions, trust_tables
from madx.scores.matrix import Matrix
from madx.scores.paired import Difference
from madx.scores.rows import write_rows
from madx.scores.score import Score
from madx.scores.summary import ProfilePoint, Summary
from madx.writing import write_text

UNLABELLED = (
    "They have no test set, so no score. An adapter that lowers the masked-LM loss on held-out text has learnt from "
    "its text; how well the task transfers, only labels can tell. `madx predict` labels new text."
)
DIFFERENCES = (
    "Points above or below {}, with 95 % intervals: paired over seeds and sentences, means over languages too where "
    "they are five or more. *: beyond doubt, p < 0.05, on single targets after Holm's correction."
)
HERE = Path(__file__).parent
TEMPLATES = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)


def write_report(folder: Path, scores: list[Score]) -> Path:
    """All forms of the report, from what `score_run` wrote and run.json; returns the page's path."""
    run = read_run(folder)
    statistics = read_statistics(folder, scores)
    tasks = list(dict.fromkeys(row.task for row in statistics.summary))
    matrices = [Matrix(statistics.summary, task, run.sources) for task in tasks]
    costs = [cost for matrix in matrices for cost in costs_of(run, matrix)]
    for sub in ("tables", "plots"):
        inside(folder, folder / sub).mkdir(exist_ok=True)
    for matrix in matrices:
        _write_tables(folder, run, matrix, statistics)
        _write_plots(folder, run, matrix, statistics)
    write_paper(folder, run, matrices, statistics, costs)
    write_text(inside(folder, folder / "report.md"), _markdown(run, matrices, statistics, costs))
    write_text(inside(folder, folder / "report.html"), _page(run, matrices, statistics, costs))
    return folder / "report.html"


def _write_tables(folder: Path, run: RunFile, matrix: Matrix, statistics: Statistics) -> None:
    tables = {"": score_table(run, matrix), "-differences": difference_table(run, statistics.differences, matrix)}
    for name, table in tables.items():
        if table is not None:
            write_text(inside(folder, folder / "tables" / f"{matrix.task}{name}.tex"), latex(table))


def _write_plots(folder: Path, run: RunFile, matrix: Matrix, statistics: Statistics) -> None:
    """Each figure, and its data beside it."""
    names = {target: row_name(run, matrix, target) for target in matrix.rows}
    plots = inside(folder, folder / "plots")

    def place(name: str) -> Path:
        return inside(folder, plots / name)

    write_text(place(f"{matrix.task}.svg"), heat_map(matrix, names))
    own = [row for row in statistics.summary if row.task == matrix.task and row.statistic == "mean"]
    write_rows(place(f"{matrix.task}.csv"), Summary, own)
    reference = reference_of(matrix)
    paired = [
        row
        for row in statistics.differences
        if (row.task, row.baseline) == (matrix.task, reference) and row.target not in matrix.sources
    ]
    if paired:
        write_text(place(f"{matrix.task}-gains.svg"), gains(paired, names))
        write_rows(place(f"{matrix.task}-gains.csv"), Difference, paired)
    points = [point for point in statistics.profiles if point.task == matrix.task]
    if points:
        write_text(place(f"{matrix.task}-profile.svg"), profile(points))
        write_rows(place(f"{matrix.task}-profile.csv"), ProfilePoint, points)


def _comparison_table(matrix: Matrix, statistics: Statistics) -> pd.DataFrame | None:
    rows = [row for row in statistics.comparisons if (row.task, row.group) == (matrix.task, "targets")]
    if not rows:
        return None
    return pd.DataFrame(
        {
            "against": [row.baseline for row in rows],
            "targets": [str(row.targets) for row in rows],
            "wins": [str(row.wins) for row in rows],
            "losses": [str(row.losses) for row in rows],
            "undecided": [str(row.undecided) for row in rows],
            "probability of improvement": [
                f"{row.improvement:.2f} ({row.ci_low:.2f} to {row.ci_high:.2f})" for row in rows
            ],
        },
        index=[row.method for row in rows],
    )


def _orderings(matrix: Matrix) -> list[tuple[str, pd.DataFrame, str]]:
    shown = [name for name in distinct_groups(matrix) if sum(bool(matrix.at(name, m)) for m in matrix.methods) > 1]
    return [
        (
            name,
            ordering_table(matrix, name),
            f"{name[0].upper()}{name[1:]} ({matrix.about(name).targets}): {matrix.metric}, its interquartile mean, and "
            f"the mean rank (1 is the best); {matrix.about(name).resampled} resampled",
        )
        for name in shown
    ]


def _known(run: RunFile) -> str:
    """What the encoder is, in brackets, where madx knows it."""
    return f" ({KNOWN[run.model.name]})" if run.model.name in KNOWN else ""


def _markdown(run: RunFile, matrices: list[Matrix], statistics: Statistics, costs: list[Cost]) -> str:
    about = f"Zero-shot transfer from {run.source} on {markdown_text(run.model.name)}{_known(run)}, in percent."
    text = [f"# {markdown_text(run.name)}\n\n{about}\n"]
    in_short = overview(matrices, statistics.differences)
    if in_short is not None:
        text.append(f"\n{markdown(in_short, 'task')}")
    for matrix in matrices:
        text.append(f"\n## {markdown_text(matrix.task)} ({markdown_text(matrix.metric)})\n")
        text += [f"\n{markdown_text(line)}\n" for line in _in_short(run, matrix, statistics, costs)]
        text.append(
            "\nMean over seeds and, in brackets, the 95 % interval of the test set (of a mean: see summary.csv).\n\n"
        )
        text.append(markdown(score_table(run, matrix)))
        spread = spread_table(run, matrix)
        if spread is not None:
            text.append(f"\nStandard deviation over {matrix.seeds} seeds, in points:\n\n{markdown(spread)}")
        paired = difference_table(run, statistics.differences, matrix)
        if paired is not None:
            text.append(f"\n{DIFFERENCES.format(reference_of(matrix))}\n\n{markdown(paired)}")
        for _, table, caption in _orderings(matrix):
            text.append(f"\n{caption}:\n\n{markdown(table, 'method')}")
    if costs:
        text.append(f"\n## Cost\n\n{markdown(cost_table(costs), 'method')}")
    adapters = adapter_table(run)
    if adapters is not None:
        text.append(f"\n## Language adapters\n\nMasked-LM loss on held-out text.\n\n{markdown(adapters, 'language')}")
    if run.failed:
        text.append("\n## Failed\n\n" + "".join(f"- {markdown_text(line)}\n" for line in failures(run)))
    unlabelled = unlabelled_table(run)
    if unlabelled is not None:
        text.append(f"\n## Targets without labels\n\n{UNLABELLED}\n\n{markdown(unlabelled)}")
    text += [f"\n{caption}:\n\n{markdown(table, first)}" for table, first, caption in trust_tables(run)]
    return "".join(text)


def _missing(run: RunFile, matrix: Matrix) -> str:
    """Methods without a score on targets that others have one on, though nothing failed."""
    without: dict[tuple[str, ...], list[str]] = {}
    for method in run.methods:
        failed = {cell.target for cell in run.failed if (cell.task, cell.method) == (matrix.task, method)}
        gone = tuple(t for t in matrix.targets if not matrix.at(t, method) and t not in failed)
        if gone:
            without.setdefault(gone, []).append(method)
    return "; ".join(f"{', '.join(methods)} on {', '.join(targets)}" for targets, methods in without.items())


def _in_short(run: RunFile, matrix: Matrix, statistics: Statistics, costs: Sequence[Cost]) -> list[str]:
    """The answer, and what is known of targets without labels."""
    lines = answer(matrix, statistics.differences, [cost for cost in costs if cost.task == matrix.task])
    lines += [
        f"{run.called(target.target)}: no test set; its adapter takes the masked-LM loss on held-out text from "
        f"{target.held_out_before:.2f} to {target.held_out_after:.2f}."
        for target in run.unlabelled
        if target.task == matrix.task
    ]
    return lines


def failures(run: RunFile) -> list[str]:
    """A line for each reason, with the cells that it has cost."""
    cells: dict[str, dict[str, list[int]]] = {}
    for cell in run.failed:
        name = f"{cell.task}, {cell.method}, {run.called(cell.target)} ({cell.target})"
        cells.setdefault(cell.why, {}).setdefault(name, []).append(cell.seed)
    return [
        f"{'; '.join(f'{name}, {_seeds_in_words(seeds)}' for name, seeds in lost.items())}: {why}"
        for why, lost in cells.items()
    ]


def _seeds_in_words(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"


def _page(run: RunFile, matrices: list[Matrix], statistics: Statistics, costs: list[Cost]) -> str:
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return TEMPLATES.from_string((HERE / "page.html").read_text(encoding="utf-8")).render(
        run=run,
        known=_known(run),
        source=" and ".join(f"{run.called(code)} ({code})" for code in run.sources),
        seeds=", ".join(str(s) for s in sorted({s.seed for s in statistics.scores})),
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
        overview=overview(matrices, statistics.differences),
        tasks=[
            {
                "name": matrix.task,
                "about": run.licences[matrix.task].name if matrix.task in run.licences else matrix.task,
                "missing": _missing(run, matrix),
                "answer": _in_short(run, matrix, statistics, costs),
                "orderings": _orderings(matrix),
                "comparisons": _comparison_table(matrix, statistics),
                "spread": spread_table(run, matrix),
            }
            for matrix in matrices
        ],
        costs=cost_table(costs),
        adapters=adapter_table(run),
        unlabelled=unlabelled_table(run),
        about_unlabelled=UNLABELLED,
        trust=trust_tables(run),
        legend=run.legend,
        failures=failures(run),
        definitions=definitions(run, list(dict.fromkeys(matrix.metric for matrix in matrices))),
        data=page_data(run, matrices, statistics, costs),
        version=run.versions.get("madx-adapters", ""),
        host=f"Python {run.host.python} on {run.host.machine} ({run.devices})",
    )
