"""Run a plan on a store, and write the run's folder. Nothing finished is done twice; nothing finished is lost."""

import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from madx.config import RunError
from madx.device import peak_memory
from madx.pipeline.plan import Plan
from madx.scores.bootstrap import draws, interval
from madx.scores.paired import Difference, Drawn, differences
from madx.scores.rows import write_rows
from madx.scores.score import Score
from madx.stages.evaluate import PREDICTIONS, read_predictions
from madx.stages.scoring import count
from madx.stages.session import Session, Step, step_name
from madx.store import read_json, write_bytes, write_json, write_text
from madx.tasks.metrics import metrics_of


class Progress(NamedTuple):
    """What has become of a step; another process may have made it, or be making it."""

    what: str  # "start" | "done" | "made" | "reused" | "waiting"
    number: int
    total: int
    name: str
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def run_plan(
    plan: Plan, session: Session, tell: Callable[[Progress], None], check: Callable[[], None] = lambda: None
) -> None:
    """Every step that isn't finished, in order; what another process is making is passed over, and waited for last.

    `check` is called after every step, and while nothing can be done.
    """
    total = len(plan.steps)
    todo = {}
    for number, (name, step) in enumerate(plan.steps, 1):
        if session.store.is_done(name):
            tell(Progress("reused", number, total, name))
        else:
            todo[name] = (number, step)
    needed = {name: [n for n in _upstream(step)[:-1] if n in todo] for name, (_, step) in todo.items()}
    waiting: set[str] = set()
    while todo:
        before = len(todo)
        for name, (number, step) in list(todo.items()):
            if any(n in todo for n in needed[name]):
                continue
            with session.store.claim(name) as folder:
                if folder is not None:
                    tell(Progress("start", number, total, name))
                    result, seconds = _run_step(step, folder, session)
                    session.store.finish(name, {"seconds": seconds, "result": result, "memory_mb": _memory(session)})
            if session.store.is_done(name):
                made, what = session.store.result(name), "made" if folder is None else "done"
                warnings = tuple(made["result"].get("warnings", ()))
                tell(Progress(what, number, total, name, made["seconds"], warnings))
                del todo[name]
            elif name not in waiting:
                waiting.add(name)
                tell(Progress("waiting", number, total, name))
            check()
        if len(todo) == before:
            time.sleep(0.1)


def _run_step(step: Step, folder: Path, session: Session) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    try:
        result = step.run(folder, session)
    except OSError as error:
        raise RunError(f"{folder}: {error.strerror or error}") from error
    # a resumed step has trained for longer than this process has
    return result, round(max(time.perf_counter() - began, result.get("training_seconds", 0.0)), 2)


def _memory(session: Session) -> int:
    return peak_memory(session.device) >> 20


def estimate(plan: Plan, session: Session) -> dict[str, float | None]:
    """Seconds that each step to do will take, by what steps of its kind took before in this store; None: unknown."""
    rates: dict[str, list[float]] = {}
    for name in (p.name for p in session.store.root.glob("*-*") if (p / "done.json").exists()):
        rates.setdefault(name.split("-")[0], []).append(session.store.result(name)["seconds"])
    means = {stage: sum(seconds) / len(seconds) for stage, seconds in rates.items()}
    return {name: means.get(step.stage) for name, step in plan.steps if not session.store.is_done(name)}


# ------------------------------------------------------------------------------------------- the run's folder


def write_run(plan: Plan, session: Session, folder: Path, seconds: float) -> list[Score]:
    """recipe.toml, predictions/, run.json and scores.csv of a finished plan."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "recipe.toml", plan.recipe.toml())
    sources = "+".join(data.language for data in plan.cells[0].evaluation.task.train)
    tasks: dict[str, Any] = {}
    cells = []
    for cell in plan.cells:
        evaluation = cell.evaluation
        task = evaluation.test.task
        about = tasks.setdefault(
            task.name, {"kind": task.kind, "metric": task.metric, "labels": list(task.labels), "unspaced": []}
        )
        if not evaluation.test.has_spaces and cell.target not in about["unspaced"]:
            about["unspaced"].append(cell.target)
        path = folder / "predictions" / task.name / cell.method / f"{cell.target}.seed{cell.seed}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, (session.folder(evaluation) / PREDICTIONS).read_bytes())
        upstream = _upstream(evaluation)
        cells.append(
            {
                "file": str(path.relative_to(folder)),
                "task": task.name,
                "method": cell.method,
                "target": cell.target,
                "seed": cell.seed,
                "seconds": round(sum(session.store.result(name)["seconds"] for name in upstream), 2),
                "adapters": [n for n in upstream if not n.startswith(("text-", "evaluation-"))],
            }  # fmt: skip
        )
    adapters = sorted({name for cell in cells for name in cell["adapters"]})
    _link_adapters(folder / "adapters", adapters, session)
    steps = {name: session.store.result(name) for name, _ in plan.steps}
    write_json(
        folder / "run.json",
        {
            "name": plan.recipe.name,
            "model": {"name": plan.encoder.name, "digest": plan.encoder.digest},
            "source": sources,
            "bootstrap": plan.recipe.evaluation.bootstrap,
            "tasks": tasks,
            "cells": cells,
            "host": {
                "machine": platform.machine(), "system": platform.system(), "python": platform.python_version(),
                "device": str(session.device),
            },
            "versions": {n: version(n) for n in ("madx-adapters", "torch", "transformers", "seqeval", "numpy")},
            "seconds_this_time": round(seconds, 2),
            "steps": {
                name: {"seconds": done["seconds"], "memory_mb": done["memory_mb"], **_facts(done["result"])}
                for name, done in steps.items()
            },
            "inputs": _inputs(plan),
        },
    )  # fmt: skip
    return score_run(folder)


def score_run(folder: Path) -> list[Score]:
    """scores.csv and differences.csv from predictions/ and run.json alone."""
    run = read_json(folder / "run.json")
    scores = []
    drawn: dict[tuple[str, str], dict[tuple[str, str, int], Drawn]] = {}
    for cell in run["cells"]:
        about = run["tasks"][cell["task"]]
        gold, predicted = read_predictions(folder / cell["file"])
        metrics = metrics_of(about["kind"], about["metric"], about["labels"], cell["target"] not in about["unspaced"])
        for number, metric in enumerate(metrics):
            counts = count(metric, gold, predicted)
            value = float(metric.value(counts.sum(0)))
            resampled = draws(counts, metric.value, run["bootstrap"])
            low, high = interval(value, resampled)
            if number == 0:
                key = (cell["method"], cell["target"], cell["seed"])
                drawn.setdefault((cell["task"], metric.name), {})[key] = Drawn(value, resampled)
            scores.append(
                Score(
                    model=run["model"]["name"],
                    task=cell["task"],
                    metric=metric.name,
                    method=cell["method"],
                    source=run["source"],
                    target=cell["target"],
                    seed=cell["seed"],
                    value=value,
                    ci_low=low,
                    ci_high=high,
                    n=len(gold),
                    steps_seconds=cell["seconds"],
                    adapter_ids="+".join(cell["adapters"]),
                    primary=number == 0,
                )  # fmt: skip
            )
    write_rows(folder / "scores.csv", Score, scores)
    sources = run["source"].split("+")
    rows = [row for (task, name), cells in drawn.items() for row in differences(task, name, cells, sources)]
    write_rows(folder / "differences.csv", Difference, rows)
    return scores


def _upstream(step: Any) -> list[str]:
    """Names of a step and of all that it stands on."""
    names: dict[str, None] = {}

    def visit(value: Any) -> None:
        toward = getattr(getattr(value, "alignment", None), "toward", None)
        below = (*getattr(value, "below", ()), toward)
        parts = [getattr(value, name, None) for name in ("text", "start", "task")]
        for part in (*parts, *below, getattr(value, "language", None)):
            if hasattr(part, "stage"):
                visit(part)
        names[step_name(value)] = None

    visit(step)
    return list(names)


def _link_adapters(folder: Path, names: list[str], session: Session) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        link = folder / name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(session.store.folder(name).resolve())


def _facts(result: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in result.items() if k not in ("evaluations",) and v not in ([], {}, None)}


def _inputs(plan: Plan) -> dict[str, list[str]]:
    inputs: dict[str, list[str]] = {}
    for _, step in plan.steps:
        corpus = getattr(step, "corpus", None)
        if corpus is not None:
            inputs[f"text/{corpus.language}"] = list(corpus.digests)
        alignment = getattr(step, "alignment", None)
        if alignment is not None:
            parallel = alignment.parallel
            inputs[f"parallel/{parallel.source}-{parallel.target}"] = list(parallel.digests)
    for cell in plan.cells:
        stage = cell.evaluation.task
        for data in (*stage.train, *stage.dev, cell.evaluation.test):
            inputs[f"{data.task.name}/{data.language}/{data.split}"] = list(data.digests)
    return inputs
