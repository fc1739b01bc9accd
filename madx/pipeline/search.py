"""Search over a recipe's keys with Optuna: by the source's dev score or held-out loss, never by a target's labels."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from madx.config import InputError, RunError
from madx.pipeline.about import dev_score
from madx.pipeline.recipe import Recipe, recipe_from
from madx.writing import write_text

if TYPE_CHECKING:
    import optuna

    from madx.pipeline.plan import Plan
    from madx.pipeline.planner import Planner
    from madx.stages.session import Session
    from madx.step import Step

DATABASE, BEST = "search.db", "best.toml"
RANGE = re.compile(r"(?P<low>[0-9.e+-]+)\.\.(?P<high>[0-9.e+-]+)")
Objective = Literal["dev", "held-out"]
OBJECTIVES: dict[str, Objective] = {"dev": "dev", "held-out": "held-out"}


class Over(NamedTuple):
    """A key, and what it may be: choices, or numbers from `low` to `high`."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0

    def suggest(self, trial: optuna.Trial) -> Any:
        """Whole numbers where both ends are; over a factor of ten and more, evenly in the logarithm."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        log = self.low > 0 and self.high / self.low >= 10
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, log=log)
        return trial.suggest_float(self.key, self.low, self.high, log=log)


def over(said: str) -> Over:
    """`KEY=LOW..HIGH` or `KEY=[A, B]`, in TOML's values. Raises InputError."""
    key, _, value = said.partition("=")
    ends = RANGE.fullmatch(value.strip())
    try:
        if ends:
            low, high = (tomllib.loads(f"value = {ends[end]}")["value"] for end in ("low", "high"))
            if low < high:
                return Over(key.strip(), low=low, high=high)
        choices = tomllib.loads(f"value = {value}")["value"]
        if key and isinstance(choices, list) and choices and all(isinstance(c, str | int | float) for c in choices):
            return Over(key.strip(), tuple(choices))
    except (tomllib.TOMLDecodeError, TypeError):
        pass
    raise InputError(f"--over {said}: write KEY=LOW..HIGH or KEY=[A, B]")


class Found(NamedTuple):
    """The best trial so far."""

    recipe: Path
    value: float
    trial: int
    trials: int
    settings: dict[str, Any]


def search(
    recipe: Recipe, space: Sequence[Over], objective: Objective, trials: int, folder: Path,
    prepare: Callable[[Recipe], tuple[Planner, Session]], make: Callable[[Plan, Session], object],
) -> Found:  # fmt: skip
    """Up to `trials` in all, those of earlier calls counted; the best recipe is written into `folder`.

    `prepare`: what plans a recipe and where its steps run. Every trial is a few steps of the store, so that what is
    equal is made once. Raises InputError; a trial whose training fails is dropped.
    """
    if find_spec("optuna") is None:
        raise InputError("search needs Optuna; pip install 'madx-adapters[search]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / DATABASE}", study_name=f"{objective} of {recipe.name}", load_if_exists=True,
        direction="maximize" if objective == "dev" else "minimize", sampler=optuna.samplers.TPESampler(seed=1),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )  # fmt: skip

    def value(trial: optuna.Trial) -> float:
        settings = {one.key: one.suggest(trial) for one in space}
        try:
            return _value(_with(recipe, settings), objective, prepare, make, trial)
        except RunError as error:
            raise optuna.TrialPruned(str(error)) from None

    done = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(value, n_trials=max(0, trials - done))
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
        raise RunError(f"{folder / DATABASE}: no trial came to an end; look at the recipe with `madx run`")
    best = study.best_trial
    write_text(folder / BEST, _with(recipe, best.params).toml())
    return Found(folder / BEST, study.best_value, best.number, len(study.trials), best.params)


def _with(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """The recipe with some of its keys set, checked as a file is."""
    data = tomllib.loads(recipe.toml())
    for key, value in settings.items():
        *parents, last = key.split(".")
        table = data
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return recipe_from(data, "search", [])


def _value(
    recipe: Recipe, objective: Objective, prepare: Callable[[Recipe], tuple[Planner, Session]],
    make: Callable[[Plan, Session], object], trial: optuna.Trial,
) -> float:  # fmt: skip
    """The mean over what is trained: of tasks' dev scores, or of the losses on languages' held-out text.

    One after the other, so that a trial that begins badly is given up.
    """
    import optuna

    planner, session = prepare(recipe)
    cells, found = planner.plan().cells, []
    steps: list[Step] = [cell.stage for cell in cells]
    if objective == "held-out":
        steps = [cell.language for cell in cells if cell.language is not None]
    for number, step in enumerate(dict.fromkeys(steps)):
        make(planner.plan_of([step]), session)
        result = session.result(step)
        value = dev_score(result).get("dev") if objective == "dev" else result.get("held_out_after")
        if value is None:
            what = "dev set for the source" if objective == "dev" else "held-out loss"
            raise InputError(f"search --by {objective}: {step.name} has no {what}")
        found.append(value)
        trial.report(sum(found) / len(found), number)
        if trial.should_prune():
            raise optuna.TrialPruned
    if not found:
        raise InputError(f"search --by {objective}: nothing that the recipe trains has it")
    return sum(found) / len(found)
