"""The control grid: what each method trains, over which language adapters, and which it is evaluated with.

Pfeiffer et al. 2020, section 5 (madx and its ablations); Parović et al. 2023 (tlr).
`madx-aligned` differs from madx in stage one alone: the target's adapter saw parallel text (stages/alignment.py).
"""

from typing import Literal, NamedTuple


class Row(NamedTuple):
    """One method. `below`: the frozen language adapters that stage two trains over."""

    trains: Literal["task-adapter", "full"]
    below: Literal["source", "source and targets", "none"]
    evaluated_with: Literal["target", "source", "none"]
    target_mlm_first: bool = False  # masked LM on the target's text before stage two
    aligned: bool = False  # the target's adapter was aligned with the source's on parallel text


GRID: dict[str, Row] = {
    "madx": Row("task-adapter", "source", "target"),
    "madx-aligned": Row("task-adapter", "source", "target", aligned=True),
    "tlr": Row("task-adapter", "source and targets", "target"),
    "source-adapter": Row("task-adapter", "source", "source"),
    "no-language-adapter": Row("task-adapter", "source", "none"),
    "task-only": Row("task-adapter", "none", "none"),
    "full": Row("full", "none", "none"),
    "full-target-mlm": Row("full", "none", "none", target_mlm_first=True),
}
