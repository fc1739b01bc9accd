"""Pruning: score and bytes by the share of the task adapter's weights that is gone."""

from __future__ import annotations

from typing import Annotated

import typer

from madx.cli.options import RESULTS, CatalogOption, Data, Debug, Device, Json, Quiet, Recipe, Results, Set
from madx.config import InputError
from madx.pipeline.project import project, read_recipe


def prune(
    recipe: Recipe = None,
    sparsity: Annotated[
        str | None, typer.Option(help="Shares that go, such as 0,0.5,0.9; default: six of them.")
    ] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Evaluate a recipe with ever fewer weights in its task adapters: prune.csv and a figure in the run's folder."""
    from madx.cli.show import execute, print_rows
    from madx.pipeline.prune import SPARSITIES, TABLE, prune_adapters

    planner, session = project(read_recipe(recipe, set_), recipe, data, results, catalog, device)
    shares = SPARSITIES if sparsity is None else _shares(sparsity)
    folder, rows = prune_adapters(planner, session, results, shares, lambda plan: execute(plan, session, quiet))
    where = f"table and figure: {folder / TABLE}"
    print_rows(rows, lambda row: f"sparsity {row.sparsity:g}: {row.value:.1f}, {row.bytes:,} bytes", where, as_json)


def _shares(said: str) -> list[float]:
    try:
        shares = [float(part) for part in said.split(",")]
    except ValueError:
        shares = [-1.0]
    if not all(0 <= share < 1 for share in shares) or len(set(shares)) < len(shares):
        raise InputError(f"--sparsity {said}: write different shares from 0 to below 1, with commas between: 0,0.5,0.9")
    return shares
