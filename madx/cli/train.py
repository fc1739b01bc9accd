"""Stages one and two by themselves: language train, task train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from madx.cli.options import RESULTS, CatalogOption, Data, Debug, Device, Quiet, Results, Set
from madx.cli.show import execute
from madx.config import InputError, nearest
from madx.pipeline.project import project

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner
    from madx.stages.session import Session
    from madx.step import Step

HERE = Path("command line")  # beside which there are no files but the working directory's


def _train(planner: Planner, wanted: Sequence[Step], session: Session, quiet: bool) -> None:
    """These steps and all that they stand on; prints their folders."""
    from madx.pipeline.whole import run_steps

    for folder in run_steps(planner, session, wanted, lambda plan: execute(plan, session, quiet)):
        print(folder)


def language_train(
    codes: Annotated[list[str], typer.Argument(help="Languages, e.g. fao quy.")],
    model: Annotated[str, typer.Option(help="Encoder.")] = "mini",
    text: Annotated[list[Path] | None, typer.Option(help="Own text files (one language).")] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage one for one or more languages. Prints the adapters' folders."""
    from madx.pipeline.recipe import recipe_from

    if text and len(codes) > 1:
        raise InputError("--text belongs to one language; give one code")
    base: dict[str, Any] = {"name": "language", "model": model, "tasks": ["none"], "targets": codes}
    if text:
        base["text"] = {codes[0]: [str(path) for path in text]}
    recipe = recipe_from(base, "command line", set_ or [])
    planner, session = project(recipe, HERE, data, results, catalog, device)
    _train(planner, [planner.language_adapter(planner.language(code).code) for code in codes], session, quiet)


def task_train(
    task: Annotated[str, typer.Argument(help="A task of the catalogue.")],
    model: Annotated[str, typer.Option(help="Encoder.")] = "mini",
    source: Annotated[str, typer.Option(help="Source language.")] = "eng",
    method: Annotated[str, typer.Option(help="madx, tlr, task-only, full.")] = "madx",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage two on the source language, over its language adapter. Prints the folders."""
    from madx.pipeline.grid import GRID
    from madx.pipeline.recipe import recipe_from

    base = {
        "name": "task",
        "model": model,
        "tasks": [task],
        "source": source,
        "targets": [source],
        "methods": [method],
        "seeds": [seed],
    }
    if method not in GRID:
        raise InputError(f"--method {method}: no such method{nearest(method, list(GRID))}")
    recipe = recipe_from(base, "command line", set_ or [])
    planner, session = project(recipe, HERE, data, results, catalog, device)
    _train(planner, [planner.source_stage(planner.task(task), method, seed)], session, quiet)
