"""A run's folder: what a finished plan leaves for people and for other programs."""

import os
import platform
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from madx import __version__
from madx.catalog.find import Catalogue
from madx.config import InputError, named
from madx.foreign import read_json_object
from madx.pipeline import about
from madx.pipeline.plan import Failed, Plan
from madx.pipeline.rescore import score_run
from madx.prediction.models import Below, Model, ModelsFile, TaskOfModels, write_models
from madx.report.run_file import LARGEST
from madx.scores.score import Score
from madx.stages.evaluate import Evaluation
from madx.stages.language import LanguageStage
from madx.stages.predictions import PREDICTIONS, predictions_path
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import Result, Step, closure
from madx.writing import write_bytes, write_record, write_text

RECIPE, RESOLVED = "recipe.toml", "recipe.resolved.toml"


def write_run(
    plan: Plan, session: Session, catalogue: Catalogue, folder: Path, seconds: float, recipe: Path | None = None,
    failed: Sequence[Failed] = (),
) -> list[Score]:  # fmt: skip
    """The resolved recipe, predictions/, models.json, run.json and scores.csv of a finished plan.

    `recipe`: the file that a person wrote. Where that is the folder's own, it stays as it is, with its comments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = recipe is not None and recipe.resolve() == (folder / RECIPE).resolve()
    write_text(folder / (RESOLVED if own else RECIPE), plan.recipe.toml())
    cells = [_cell(cell.method, cell.seed, cell.evaluation, folder, session) for cell in plan.cells if cell.evaluation]
    models = _models(plan, session, catalogue)
    used = {name for m in models.models for name in (m.task_model, *(part.folder for part in m.below))}
    _link_adapters(folder / "adapters", sorted(used | {n for cell in cells for n in cell["adapters"]}), session)
    write_models(folder, models)
    write_record(
        folder / "run.json",
        {
            "name": plan.recipe.name,
            "model": plan.encoder.model_dump(include={"name", "digest", "precision"}),
            "source": "+".join(data.language for data in plan.cells[0].stage.train),
            "methods": list(plan.recipe.methods),
            "bootstrap": plan.recipe.evaluation.bootstrap,
            "tasks": _tasks(plan),
            "unlabelled": _unlabelled(plan, session),
            "cells": cells,
            "failed": [
                {"task": c.task, "method": c.method, "target": c.target, "seed": c.seed, "why": why}
                for c, why in failed
            ],
            "host": {
                "machine": platform.machine(), "system": platform.system(), "python": platform.python_version(),
                "device": str(session.device),
            },
            "versions": {
                "madx-adapters": __version__,
                **{name: version(name) for name in ("torch", "transformers", "seqeval", "numpy")},
            },
            "seconds_this_time": round(seconds, 2),
            "steps": {
                step.name: {**_facts(session.store.result(step.name)), **about.sizes(step, session)}
                for step in plan.steps
            },
            "settings": about.settings(plan),
            "legend": about.legend(plan),
            "languages": about.languages(plan, catalogue),
            "texts": about.texts(plan, session),
            "tests": about.tests(plan, session, _before(folder)),
            "licences": about.licences(plan),
            "curves": about.curves(plan, session),
            "inputs": _inputs(plan),
            "read": [statement.model_dump() for statement in session.read.values()],
        },
    )  # fmt: skip
    return score_run(folder)


def noted(plan: Plan, folder: Path) -> Plan:
    """With a note where a run of other settings lies in the folder, which this one will replace."""
    before = folder / (RESOLVED if (folder / RESOLVED).exists() else RECIPE)
    with suppress(OSError, UnicodeDecodeError):
        if (folder / "run.json").exists() and before.read_text(encoding="utf-8") != plan.recipe.toml():
            said = (
                f"{folder} has a run of other settings; its scores and report are made anew (another `name` keeps both)"
            )
            return replace(plan, notes=(*plan.notes, said))
    return plan


def _before(folder: Path) -> list[dict[str, Any]]:
    """What the folder's run.json says of test sets, if it is one."""
    with suppress(InputError):
        tests = read_json_object(folder / "run.json", LARGEST).get("tests")
        return [test for test in tests if isinstance(test, dict)] if isinstance(tests, list) else []
    return []


def _cell(method: str, seed: int, evaluation: Evaluation, folder: Path, session: Session) -> dict[str, Any]:
    """Its predictions copied, and its line of run.json."""
    task, target = evaluation.task.subject, evaluation.test.language
    path = predictions_path(folder, task, method, target, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = session.folder(evaluation) / PREDICTIONS
    with named(made):
        predictions = made.read_bytes()
    write_bytes(path, predictions)
    steps = closure([evaluation])
    return {
        "file": str(path.relative_to(folder)),
        "task": task,
        "method": method,
        "target": target,
        "seed": seed,
        "seconds": round(sum(session.store.result(step.name)["seconds"] for step in steps), 2),
        "adapters": [step.name for step in steps if step.stage not in (TextStage.stage, Evaluation.stage)],
    }


def _models(plan: Plan, session: Session, catalogue: Catalogue) -> ModelsFile:
    """What can be predicted with: every cell, with or without a test set."""
    tasks, models = {}, []
    for cell in plan.cells:
        stage, spec = cell.stage, cell.stage.train[0].task
        tasks[spec.name] = TaskOfModels(
            kind=spec.kind, metric=spec.metric, labels=spec.labels, columns=spec.columns, max_length=stage.max_length
        )
        dev = [evaluation["dev"] for evaluation in session.result(stage).get("evaluations", ())]
        models.append(
            Model(
                task=spec.name, method=cell.method, language=cell.target, seed=cell.seed,
                trains=stage.method.stored, task_model=stage.name,
                romanised=cell.romanised,
                **(cell.adapts.told() if cell.adapts else {}),
                below=tuple(Below(folder=s.name, stored=s.stored) for s in cell.language.each) if cell.language else (),
                dev=None if not dev else max(dev) if stage.checkpoint == "best" else dev[-1],
            )
        )  # fmt: skip
    languages = map(catalogue.language, sorted({model.language for model in models}))
    names = {language.code: (language.name, *language.aliases) for language in languages}
    return ModelsFile(
        encoder=plan.encoder.name, digest=plan.encoder.digest, tasks=tasks, models=tuple(models), names=names
    )


def _tasks(plan: Plan) -> dict[str, dict[str, Any]]:
    """What is needed to score predictions again."""
    tasks: dict[str, dict[str, Any]] = {}
    for cell in plan.cells:
        task = cell.stage.train[0].task
        about = tasks.setdefault(
            task.name, {"kind": task.kind, "metric": task.metric, "labels": list(task.labels), "unspaced": []}
        )
        if cell.test and not cell.test.has_spaces and cell.target not in about["unspaced"]:
            about["unspaced"].append(cell.target)
    return tasks


def _unlabelled(plan: Plan, session: Session) -> list[dict[str, Any]]:
    """What is known of targets that have no test set: does the adapter fit the text, does the tokenizer?"""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in plan.cells:
        if cell.test is None and isinstance(cell.language, LanguageStage):
            text, adapter = session.result(cell.language.text), session.result(cell.language)
            rows[cell.task, cell.target] = {
                "task": cell.task,
                "target": cell.target,
                **{key: text[key] for key in ("tokens", "unknown_rate", "subwords_per_word")},
                **{key: adapter[key] for key in ("held_out_before", "held_out_after")},
            }
    return list(rows.values())


def _link_adapters(folder: Path, names: list[str], session: Session) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        link, beside = folder / name, folder / f".{name}.{secrets.token_hex(6)}.part"
        if link.is_symlink() or not link.exists():  # a copy that somebody has put there stays
            # relative, so that the results can be moved; and never absent, whoever else writes the same run
            beside.symlink_to(os.path.relpath(session.store.folder(name).resolve(), folder.resolve()))
            os.replace(beside, link)


def _facts(done: Result) -> dict[str, Any]:
    facts = {k: v for k, v in done["result"].items() if k != "evaluations" and v not in ([], {}, None)}
    figures = {key: done[key] for key in ("seconds", "memory_mb", "device") if key in done}
    return {**figures, **facts, **about.dev_score(done["result"])}


def _inputs(plan: Plan) -> dict[str, list[str]]:
    """Digests of everything that was read."""
    inputs: dict[str, list[str]] = {}
    for step in plan.steps:
        for what, digests in _read_by(step).items():  # a language may have several texts
            inputs[what] = list(dict.fromkeys([*inputs.get(what, ()), *digests]))
    for cell in plan.cells:
        for data in (*cell.stage.train, *cell.stage.dev, *([cell.test] if cell.test else [])):
            inputs[f"{data.task.name}/{data.language}/{data.split}"] = list(data.digests)
    return inputs


def _read_by(step: Step) -> dict[str, list[str]]:
    match step:
        case TextStage():
            return {f"text/{step.corpus.language}": list(step.corpus.digests)}
        case LanguageStage(alignment=alignment) if alignment is not None:
            parallel = alignment.parallel
            return {f"parallel/{parallel.source}-{parallel.target}": list(parallel.digests)}
    return {}
