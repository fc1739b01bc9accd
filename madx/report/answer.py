"""A task's result in two or three sentences, computed: which method is best, by how much, how sure, at what cost."""

from collections.abc import Sequence

from madx.report.costs import Cost
from madx.report.tables import plain, reference_of, signed
from madx.scores.levels import FEWEST_LANGUAGES
from madx.scores.matrix import Matrix
from madx.scores.paired import Difference


def answer(matrix: Matrix, paired: Sequence[Difference], costs: Sequence[Cost]) -> list[str]:
    """A sentence for all targets, one each for those that the encoder has seen and not, where that is known; costs."""
    if not matrix.means:
        return ["No target was scored."]
    wanted = ["mean of targets", "mean of common targets", "mean of unseen", "mean of seen"]
    lines = [_of_group(matrix, name, paired) for name in wanted if name in matrix.means]
    if costs:
        each = "; ".join(f"{c.method} {c.seconds:,.0f} s, {c.parameters:,.0f} trained parameters" for c in costs)
        lines.append(f"Cost for one target and seed: {each}.")
    return lines


def _of_group(matrix: Matrix, name: str, paired: Sequence[Difference]) -> str:
    """The highest mean; what it is over the reference, and over the method that comes next."""
    ordered = sorted((row for m in matrix.methods if (row := matrix.at(name, m))), key=lambda row: -row.value)
    best = ordered[0]
    said = f"{name.removeprefix('mean of ')} ({best.targets}): {best.method} is highest with {plain(best.value)}"
    said = f"{said[0].upper()}{said[1:]} {matrix.metric}"
    others = [reference_of(matrix), *(row.method for row in ordered[1:2])]
    gaps = [between(paired, matrix.task, name, best.method, o) for o in dict.fromkeys(others) if o != best.method]
    for gap in gaps:
        if gap is not None:
            doubt = "beyond doubt" if gap.ci_low > 0 else "not beyond doubt"
            said += (
                f", {signed(gap.value)} points over {gap.baseline} "
                f"({signed(gap.ci_low)} to {signed(gap.ci_high)}, {doubt})"
            )
    said += f"; {best.resampled} resampled"
    return said + ("; fewer than five languages say nothing of others." if best.targets < FEWEST_LANGUAGES else ".")


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
