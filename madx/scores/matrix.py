"""Scores folded: targets x methods, means over seeds and over targets. The source is never part of a mean."""

from collections.abc import Iterable

import pandas as pd

from madx.scores.score import Score


class Matrix:
    """The primary scores of one task: `table` has a row per target and a column per method."""

    def __init__(self, scores: Iterable[Score], task: str) -> None:
        rows = [s.model_dump() for s in scores if s.task == task and s.primary]
        self.task = task
        self.frame = pd.DataFrame(rows)
        self.metric: str = rows[0]["metric"]
        self.sources = sorted({part for row in rows for part in row["source"].split("+")})
        self.methods = list(dict.fromkeys(self.frame["method"]))  # in the recipe's order
        self.targets = sorted(t for t in set(self.frame["target"]) if t not in self.sources)
        self.seeds = sorted(set(self.frame["seed"]))

    def table(self) -> pd.DataFrame:
        """Mean over seeds, percent."""
        wide = self.frame.pivot_table(index="target", columns="method", values="value", aggfunc="mean")
        return wide.reindex(index=[*self.targets, *self._tested_sources()], columns=self.methods)

    def spread(self) -> pd.DataFrame:
        """Standard deviation over seeds; NaN where there is one seed."""
        wide = self.frame.pivot_table(index="target", columns="method", values="value", aggfunc="std")
        return wide.reindex(index=[*self.targets, *self._tested_sources()], columns=self.methods)

    def intervals(self) -> pd.DataFrame:
        """Half the mean width of the bootstrap intervals: what the test set's size alone leaves open."""
        half = self.frame.assign(half=(self.frame["ci_high"] - self.frame["ci_low"]) / 2)
        wide = half.pivot_table(index="target", columns="method", values="half", aggfunc="mean")
        return wide.reindex(index=[*self.targets, *self._tested_sources()], columns=self.methods)

    def means(self) -> pd.Series:
        """Per method over the targets that every full column has; methods held to fewer targets have no mean."""
        return self.table().loc[self.targets].mean(skipna=False)

    def _tested_sources(self) -> list[str]:
        return [s for s in self.sources if s in set(self.frame["target"])]
