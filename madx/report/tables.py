"""Scores as tables: for the terminal, Markdown and LaTeX. One source for all of them."""

import math
from collections.abc import Sequence

import pandas as pd

from madx.foreign import markdown_text
from madx.report.run_file import RunFile
from madx.scores.matrix import Matrix
from madx.scores.paired import MEAN, Difference


def _cell(value: float, spread: float, half: float) -> str:
    if math.isnan(value):
        return ""
    error = spread if not math.isnan(spread) else half
    return f"{value:.1f} ±{error:.1f}"


def score_table(matrix: Matrix) -> pd.DataFrame:
    """A row per target, a column per method: mean over seeds ± standard deviation (one seed: ± half the interval)."""
    values, spread, half = matrix.table(), matrix.spread(), matrix.intervals()
    table = pd.DataFrame(
        {
            method: [_cell(values.at[t, method], spread.at[t, method], half.at[t, method]) for t in values.index]
            for method in matrix.methods
        },
        index=[f"{t} (source)" if t in matrix.sources else t for t in values.index],
    )
    means = matrix.means()
    table.loc["mean of targets"] = [f"{means[m]:.1f}" if not math.isnan(means[m]) else "" for m in matrix.methods]
    return table


def difference_table(rows: Sequence[Difference], matrix: Matrix) -> pd.DataFrame | None:
    """A row per target and one for their mean, a column per method: difference to the baseline and its interval."""
    if not rows:
        return None
    cells = {(row.target, row.method): f"{row.value:+.1f} ({row.ci_low:+.1f} to {row.ci_high:+.1f})" for row in rows}
    methods = [m for m in matrix.methods if m != rows[0].baseline]
    names = [*matrix.targets, MEAN]
    return pd.DataFrame({m: [cells.get((name, m), "") for name in names] for m in methods}, index=names)


def markdown(table: pd.DataFrame) -> str:
    header = "| target | " + " | ".join(map(markdown_text, table.columns)) + " |"
    rule = "|---|" + "--:|" * len(table.columns)
    rows = [
        "| " + " | ".join(map(markdown_text, [name, *row])) + " |"
        for name, row in zip(table.index, table.values.tolist(), strict=True)
    ]
    return "\n".join([header, rule, *rows]) + "\n"


LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def latex(table: pd.DataFrame) -> str:
    def safe(text: str) -> str:
        return "".join(LATEX.get(sign, sign) for sign in text)

    lines = [r"\begin{tabular}{l" + "r" * len(table.columns) + "}", r"\toprule"]
    lines.append(" & ".join(["target", *map(safe, table.columns)]) + r" \\ \midrule")
    lines += [
        " & ".join([safe(n), *map(safe, r)]) + r" \\" for n, r in zip(table.index, table.values.tolist(), strict=True)
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
