"""Search over a recipe's keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from madx.cli.options import RESULTS, CatalogOption, Data, Debug, Device, Json, Quiet, Results, Set
from madx.config import InputError
from madx.pipeline.project import project, read_recipe

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import Recipe
    from madx.stages.session import Session


def search(
    recipe: Annotated[Path, typer.Argument(help="A recipe.")],
    over: Annotated[list[str], typer.Option("--over", help="KEY=LOW..HIGH or KEY=[A, B]. Repeatable.")],
    by: Annotated[str, typer.Option(help="dev: the source's dev score; held-out: targets' held-out loss.")] = "dev",
    trials: Annotated[int, typer.Option(min=1, help="In all, those of earlier calls counted.")] = 20,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find good values of a recipe's keys without a target's labels (Optuna); writes best.toml, a recipe."""
    from madx.cli.show import execute
    from madx.pipeline.search import OBJECTIVES
    from madx.pipeline.search import over as parsed
    from madx.pipeline.search import search as search_over

    if by not in OBJECTIVES:
        raise InputError(f"--by {by}: {' or '.join(OBJECTIVES)}")

    def prepare(tried: Recipe) -> tuple[Planner, Session]:
        return project(tried, recipe, data, results, catalog, device)

    read = read_recipe(recipe, set_)
    found = search_over(
        read, [parsed(one) for one in over], OBJECTIVES[by], trials, results / read.name, prepare,
        lambda plan, session: execute(plan, session, quiet),
    )  # fmt: skip
    if as_json:
        print(json.dumps({**found._asdict(), "recipe": str(found.recipe)}, indent=1, ensure_ascii=False))
        return
    print(f"best of {found.trials}: trial {found.trial}, {by} {found.value:.4g}")
    for key, value in found.settings.items():
        print(f"  {key} = {value}")
    print(f"\nrecipe: {found.recipe}")
