"""How long and how much memory it takes to plan and to schedule very many steps; nothing is trained.

    python benchmarks/plan_size.py --languages 2300

A made catalogue: a language is a file with one line of text, and a test set of one sentence.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch

from madx.pipeline.engines.engine import Event, Needs
from madx.pipeline.plan import Plan
from madx.pipeline.project import project, read_recipe
from madx.pipeline.run import run_plan
from madx.stages.session import Session
from madx.step import Result, Step
from madx.store import Store

TASK = 'kind = "tagging"\nmetric = "accuracy"\nlabels = ["NOUN", "VERB"]\n'
LABELS = '[data.{}]\ntrain = "labels.tsv"\ndev = "labels.tsv"\ntest = "labels.tsv"\n'


def make_catalogue(folder: Path, languages: int) -> list[str]:
    """Codes from `qaa`: those that ISO 639 leaves to users come first."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    codes = [a + b + c for a in "qxzwvu" for b in letters for c in letters][:languages]
    (folder / "languages").mkdir()
    (folder / "tasks").mkdir()
    for code in ("eng", *codes):
        (folder / f"{code}.txt").write_text(f"one sentence of {code}\n")
        (folder / "languages" / f"{code}.toml").write_text(
            f'name = "Language {code}"\nscript = "Latn"\n[[text]]\nfile = "{code}.txt"\n'
        )
    (folder / "labels.tsv").write_text("dogs\tNOUN\nsleep\tVERB\n")
    (folder / "tasks" / "tags.toml").write_text(TASK + "".join(LABELS.format(code) for code in ("eng", *codes)))
    return codes


def plan_of(folder: Path, codes: list[str], seeds: int) -> Plan:
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'name = "many"\nmodel = "mini"\ntasks = ["tags"]\nsource = "eng"\ntargets = {json.dumps(codes)}\n'
        f'methods = ["madx"]\nseeds = {list(range(1, seeds + 1))}\n'
    )
    planner, _ = project(read_recipe(recipe, []), recipe, folder, folder / "results", [folder], "cpu")
    return planner.plan()


class Nothing(Step):
    """A step that costs nothing, so what is left is what scheduling costs."""

    stage: ClassVar[str] = "nothing"
    number: int
    below: tuple["Nothing", ...] = ()

    @property
    def subject(self) -> str:
        return str(self.number)

    def run(self, folder: Path, session: Session) -> Result:
        return {}


class Instant:
    """An engine whose workers take no time: they write that the step is done."""

    def __init__(self, session: Session) -> None:
        self.session, self.names = session, list[str]()

    def submit(self, step: Step, needs: Needs) -> None:
        self.names.append(step.name)

    def results(self) -> Iterator[Event]:
        names, self.names = self.names, []
        for name in names:
            self.session.store.folder(name).mkdir(parents=True)
            self.session.store.finish(name, {"seconds": 0.0, "result": {}, "memory_mb": 0})
            yield Event(name, "done")


def schedule(folder: Path, steps: int, engine: bool) -> float:
    """Seconds a step; a hundred chains, side by side."""
    chains: list[Nothing | None] = [None] * 100
    made = []
    for number in range(steps):
        below = chains[number % 100]
        step = Nothing(number=number, below=(below,) if below else ())
        # a chain of hundreds would be one value within another
        chains[number % 100] = step if number % 1000 < 900 else None
        made.append(step)
    nothing: Any = None
    plan = Plan(recipe=nothing, encoder=nothing, steps=tuple(made))
    session = Session(Store(folder), torch.device("cpu"))
    began = time.perf_counter()
    run_plan(plan, session, lambda progress: None, Instant(session) if engine else None)
    return (time.perf_counter() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", type=int, default=2300)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10_000, help="of the plan that is scheduled")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codes = make_catalogue(folder, arguments.languages)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.chdir(folder)
        began = time.perf_counter()
        plan = plan_of(folder, codes, arguments.seeds)
        took = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{len(plan.steps)} steps planned in {took:.1f} s; {peak:.0f} MB at most, {before:.0f} of them before")
        for engine in (False, True):
            each = schedule(folder / f"store-{engine}", arguments.steps, engine)
            what = "driver alone, finished steps written" if engine else "in this process, with claims and notes"
            print(f"{arguments.steps} empty steps: {1000 * each:.2f} ms each ({what})")


if __name__ == "__main__":
    main()
