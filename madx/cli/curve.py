"""The worth of text: a recipe's scores by the lines of text that its targets have."""

from __future__ import annotations

from typing import Annotated

import typer

from madx.cli.options import RESULTS, CatalogOption, Data, Debug, Device, Json, Quiet, Recipe, Results, Set
from madx.config import InputError
from madx.pipeline.project import project, read_recipe

LINES = "300,1000,3000,10000"


def curve(
    recipe: Recipe = None,
    lines: Annotated[
        str, typer.Option(help="Numbers of lines; 0: without text; more than there are: all of them.")
    ] = LINES,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Evaluate a recipe with ever more of its targets' text: curve.csv and a figure in the run's folder."""
    from madx.cli.show import execute, print_rows
    from madx.pipeline.curve import TABLE, by_amount

    planner, session = project(read_recipe(recipe, set_), recipe, data, results, catalog, device)
    folder, rows = by_amount(planner, session, results, _numbers(lines), lambda plan: execute(plan, session, quiet))
    where = f"table and figure: {folder / TABLE}"
    print_rows(rows, lambda row: f"{row.lines:,} lines: {row.value:.1f} ({row.tokens:,} tokens)", where, as_json)


def _numbers(said: str) -> list[int]:
    parts = said.split(",")
    if not all(part.strip().isdecimal() and len(part) < 13 for part in parts) or len(set(parts)) < len(parts):
        raise InputError(f"--lines {said}: write different whole numbers with commas between: {LINES}")
    return sorted(map(int, parts))
