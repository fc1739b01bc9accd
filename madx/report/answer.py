"""A task's result in two or three sentences, computed: which method is best, by how much, how sure, at what cost."""

from collections.abc import Sequence

import pandas as pd

from madx.report.costs import Cost, known
from madx.report.tables import plain, reference_of, signed
from madx.scores.levels import FEWEST_LANGUAGES
from madx.scores.matrix import Matrix
from madx.scores.paired import Difference
from madx.scores.summary import Summary

GROUPS = (  # what matters most first
    "mean of common unseen", "mean of unseen", "mean of common targets", "mean of targets", "mean of common seen",
    "mean of seen",
)  # fmt: skip
ONE_SEED = (
    "Each method was trained once: the intervals are of these trainings, and another seed may move a score by more. "
    "Before you publish, seeds = [1, 2, 3]."
)
FEW = 5  # methods, of which each is compared with the best one


def answer(matrix: Matrix, paired: Sequence[Difference], costs: Sequence[Cost]) -> list[str]:
    """A sentence for the targets that the encoder hasn't seen, where that is known, those that all methods have, all,
    and those that it has seen; costs.
    """
    if not matrix.means:
        return ["No target was scored."]
    lines = [_of_group(matrix, name, paired) for name in distinct_groups(matrix)]
    if matrix.seeds == 1:
        lines.append(ONE_SEED)
    if costs:
        each = "; ".join(f"{c.method} {c.seconds:,.0f} s, trained parameters {known(c.parameters)}" for c in costs)
        lines.append(f"Cost for one target and seed: {each}.")
    return lines


def distinct_groups(matrix: Matrix) -> list[str]:
    """Of `GROUPS` the means that say something of their own: the first of several over the same targets."""
    found: dict[tuple[object, ...], str] = {}
    for name in GROUPS:
        if name in matrix.means:
            rows = [matrix.at(name, method) for method in matrix.methods]
            found.setdefault(tuple(row and (row.value, row.targets) for row in rows), name)
    return list(found.values())


def overview(matrices: Sequence[Matrix], paired: Sequence[Difference]) -> pd.DataFrame | None:
    """A line for each task of several: the highest mean of unseen, seen and all targets, what it is over the reference
    (itself the highest: over the next one), and of how many languages; of those that every method has.
    """
    if len(matrices) < 2:
        return None
    groups = {"unseen languages": "unseen", "seen languages": "seen", "all targets": "targets"}
    columns = {column: [_in_a_cell(matrix, group, paired) for matrix in matrices] for column, group in groups.items()}
    shown = {column: cells for column, cells in columns.items() if any(cells)}
    return pd.DataFrame(shown, index=[f"{matrix.task} ({matrix.metric})" for matrix in matrices]) if shown else None


def _in_a_cell(matrix: Matrix, group: str, paired: Sequence[Difference]) -> str:
    name = next((n for n in (f"mean of common {group}", f"mean of {group}") if n in matrix.means), None)
    if name is None:
        return ""
    ordered = _highest_first(matrix, name)
    best = ordered[0]
    said = f"{best.method} {plain(best.value)}"
    others = [m for m in (reference_of(matrix), *(row.method for row in ordered[1:2])) if m and m != best.method]
    gap = between(paired, matrix.task, name, best.method, others[0]) if others else None
    if gap is not None:
        said += f", {signed(gap.value)} over {gap.baseline} ({_range(gap)})"
    return f"{said}; {best.targets} language{'s' if best.targets > 1 else ''}"


def _of_group(matrix: Matrix, name: str, paired: Sequence[Difference]) -> str:
    """The highest mean, and what it is over the others: over the reference and the next one, where they are many."""
    ordered = _highest_first(matrix, name)
    best = ordered[0]
    group = name.removeprefix("mean of ")
    said = f"{group[0].upper()}{group[1:]} ({best.targets}): "
    if len(ordered) == 1:
        return f"{said}only {best.method} was run, {plain(best.value)} {matrix.metric}; there is nothing beside it."
    if len(ordered) < len(matrix.methods):
        said += f"of the {len(ordered)} methods that were run on all of them, "
    highest = [row.method for row in ordered if plain(row.value) == plain(best.value)]
    are = "are" if len(highest) > 1 else "is"
    said += f"{' and '.join(highest)} {are} highest with {plain(best.value)} {matrix.metric}"
    others = [reference_of(matrix), *(row.method for row in ordered[1 : FEW if len(ordered) <= FEW else 2])]
    gaps = [between(paired, matrix.task, name, best.method, o) for o in dict.fromkeys(others) if o != best.method]
    for gap in gaps:
        if gap is not None and gap.value == gap.ci_low == gap.ci_high == 0:
            said += f", the same as {gap.baseline} in every answer"
        elif gap is not None:
            said += f", {signed(gap.value)} points over {gap.baseline} ({_range(gap)})"
    said += f"; in brackets 95 % intervals, {best.resampled} resampled"
    return said + ("; fewer than five languages say nothing of others." if best.targets < FEWEST_LANGUAGES else ".")


def _highest_first(matrix: Matrix, name: str) -> list[Summary]:
    return sorted((row for m in matrix.methods if (row := matrix.at(name, m))), key=lambda row: -row.value)


def _range(gap: Difference) -> str:
    return f"{signed(gap.ci_low)} to {signed(gap.ci_high)}" + ("" if gap.ci_low > 0 else "; may be chance")


def between(
    paired: Sequence[Difference], task: str, target: str, method: str, baseline: str | None
) -> Difference | None:
    """Of two methods, whichever way round it was kept."""
    for row in paired:
        if row.task == task and row.target == target:
            if (row.method, row.baseline) == (method, baseline):
                return row
            if (row.method, row.baseline) == (baseline, method):
                turned = {"value": -row.value, "ci_low": -row.ci_high, "ci_high": -row.ci_low}
                return row.model_copy(update={"method": method, "baseline": baseline, **turned})
    return None
