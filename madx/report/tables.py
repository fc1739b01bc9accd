"""Scores as tables: for the terminal, Markdown and LaTeX. One source for all of them."""

from collections.abc import Sequence

import pandas as pd

from madx.foreign import markdown_text
from madx.report.run_file import RunFile
from madx.scores.matrix import Matrix
from madx.scores.paired import BASELINE, Difference
from madx.scores.summary import Summary

PRETRAINING = "in pretraining"


def plain(value: float) -> str:
    """One decimal, and no -0.0."""
    return f"{round(value, 1) + 0.0:.1f}"


def signed(value: float) -> str:
    """The same, of a difference."""
    return f"{rounded:+.1f}" if (rounded := round(value, 1)) else "0.0"


def with_interval(row: Summary | None) -> str:
    return f"{plain(row.value)} ({plain(row.ci_low)} to {plain(row.ci_high)})" if row else ""


def row_name(run: RunFile, matrix: Matrix, target: str) -> str:
    """`Swiss German (gsw)`; of a mean, how many targets it has."""
    if target in matrix.means:
        return f"{target} ({matrix.about(target).targets})"
    name = f"{run.called(target)} ({target})" if target in run.languages else target
    return f"{name}, the source" if target in matrix.sources else name


def score_table(run: RunFile, matrix: Matrix) -> pd.DataFrame:
    """A row per target and mean, a column per method: mean over seeds and the 95 % interval.

    Before them whether the encoder's pretraining had the language, where the catalogue knows, and test sentences.
    """
    names = [row_name(run, matrix, target) for target in matrix.rows]
    about = {PRETRAINING: [run.pretraining(target) or "" for target in matrix.rows]}
    about = about if any(about[PRETRAINING]) else {}
    sizes = {"sentences": [f"{matrix.about(target).sentences:,}" for target in matrix.rows]}
    cells = {m: [with_interval(matrix.at(target, m)) for target in matrix.rows] for m in matrix.methods}
    return pd.DataFrame({**about, **sizes, **cells}, index=names)


def spread_table(run: RunFile, matrix: Matrix) -> pd.DataFrame | None:
    """Standard deviation over seeds, where there are several."""
    if matrix.seeds < 2:
        return None

    def cell(row: Summary | None) -> str:
        return "" if row is None or row.spread is None else f"{row.spread:.1f}"

    return pd.DataFrame(
        {m: [cell(matrix.at(target, m)) for target in matrix.rows] for m in matrix.methods},
        index=[row_name(run, matrix, target) for target in matrix.rows],
    )


def ordering_table(matrix: Matrix, group: str) -> pd.DataFrame:
    """A row per method: mean, interquartile mean and mean rank over a group's targets."""
    methods = [m for m in matrix.methods if matrix.at(group, m)]
    return pd.DataFrame(
        {
            "mean": [with_interval(matrix.at(group, m)) for m in methods],
            "interquartile mean": [with_interval(matrix.statistic("iqm", group, m)) for m in methods],
            "mean rank": [with_interval(matrix.statistic("rank", group, m)) for m in methods],
        },
        index=methods,
    )


def reference_of(matrix: Matrix) -> str | None:
    """What the printed differences are to: task-only, or else the recipe's last method; none where there is one."""
    if len(matrix.methods) < 2:
        return None
    return BASELINE if BASELINE in matrix.methods else matrix.methods[-1]


def difference_table(run: RunFile, rows: Sequence[Difference], matrix: Matrix) -> pd.DataFrame | None:
    """A row per target and mean, a column per method: difference to the reference, its interval, * beyond doubt."""
    reference = reference_of(matrix)
    own = [row for row in rows if row.task == matrix.task and row.baseline == reference]
    if not own:
        return None
    most = {name: matrix.about(name).targets for name in matrix.rows}
    cells = {
        (row.target, row.method): f"{signed(row.value)} ({signed(row.ci_low)} to {signed(row.ci_high)})"
        + ("*" if row.p_holm < 0.05 else "")
        + (f", over {row.targets}" if row.targets < most.get(row.target, 0) else "")
        for row in own
    }
    methods = [m for m in matrix.methods if m != reference]
    return pd.DataFrame(
        {m: [cells.get((target, m), "") for target in matrix.rows] for m in methods},
        index=[row_name(run, matrix, target) for target in matrix.rows],
    )


def markdown(table: pd.DataFrame, first: str = "target") -> str:
    header = f"| {first} | " + " | ".join(map(markdown_text, table.columns)) + " |"
    rule = "|---|" + "--:|" * len(table.columns)
    rows = [
        "| " + " | ".join(map(markdown_text, [name, *row])) + " |"
        for name, row in zip(table.index, table.values.tolist(), strict=True)
    ]
    return "\n".join([header, rule, *rows]) + "\n"


LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def latex_text(text: str) -> str:
    """Text that LaTeX prints and doesn't run."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def latex(table: pd.DataFrame, first: str = "target") -> str:
    """For \\usepackage{booktabs}."""
    lines = [r"\begin{tabular}{l" + "r" * len(table.columns) + "}", r"\toprule"]
    lines.append(" & ".join([first, *map(latex_text, table.columns)]) + r" \\ \midrule")
    lines += [
        " & ".join(map(latex_text, [name, *row])) + r" \\"
        for name, row in zip(table.index, table.values.tolist(), strict=True)
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def unlabelled_table(run: RunFile) -> pd.DataFrame | None:
    """A row per task and target that has no test set: what can be said of it without one."""
    rows = run.unlabelled
    if not rows:
        return None
    return pd.DataFrame(
        {
            "task": [row.task for row in rows],
            "held-out loss": [f"{row.held_out_before:.2f} to {row.held_out_after:.2f}" for row in rows],
            "text, tokens": [f"{row.tokens:,}" for row in rows],
            "unknown tokens": [f"{100 * row.unknown_rate:.1f} %" for row in rows],
            "subwords a word": [f"{row.subwords_per_word:.2f}" for row in rows],
        },
        index=[row.target for row in rows],
    )


def adapter_rows(run: RunFile) -> list[dict[str, object]]:
    """What stage one did: a row per language adapter."""
    return [
        {
            "language": name.removeprefix("language-").rsplit("-", 1)[0]
            + (f", aligned with {facts.aligned_with}" if facts.aligned_with else ""),
            "before": facts.held_out_before,
            "after": facts.held_out_after,
            "tokens": facts.tokens or 0,
            "seconds": facts.seconds,
        }
        for name, facts in run.steps.items()
        if facts.trained == "language adapter" and None not in (facts.held_out_before, facts.held_out_after)
    ]
