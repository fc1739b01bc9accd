"""A task's summaries as a grid: targets, their means and the sources as rows, methods as columns."""

from collections.abc import Iterable, Sequence

from madx.scores.summary import Statistic, Summary


class Matrix:
    """Of one task. The source is a target too where it was scored, and never part of a mean."""

    def __init__(self, rows: Iterable[Summary], task: str, sources: Sequence[str]) -> None:
        own = [row for row in rows if row.task == task]
        means = [row for row in own if row.statistic == "mean"]
        self.task = task
        self.metric = own[0].metric
        self.sources = [code for code in sources if any(row.target == code for row in means)]
        self.methods = list(dict.fromkeys(row.method for row in means))  # in the recipe's order
        single = {row.target for row in means if not row.target.startswith("mean of ")}
        self.targets = sorted(single - set(self.sources))
        self.means = list(dict.fromkeys(row.target for row in means if row.target not in single))
        self.seeds = max(row.seeds for row in means)
        self._rows = {(row.statistic, row.target, row.method): row for row in own}

    @property
    def rows(self) -> list[str]:
        """What a table shows: targets, sources, means."""
        return [*self.targets, *self.sources, *self.means]

    def at(self, target: str, method: str) -> Summary | None:
        return self._rows.get(("mean", target, method))

    def statistic(self, name: Statistic, target: str, method: str) -> Summary | None:
        """`iqm` or `rank`, of a mean."""
        return self._rows.get((name, target, method))

    def about(self, target: str) -> Summary:
        """Any method's row of it: how many sentences and targets it stands on."""
        return next(row for m in self.methods if (row := self.at(target, m)))
