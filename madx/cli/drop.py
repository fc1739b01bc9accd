"""AdapterDrop: speed and score by the number of lower layers that go without the task adapter."""

from __future__ import annotations

from typing import Annotated

import typer

from madx.cli.options import RESULTS, CatalogOption, Data, Debug, Device, Json, Quiet, Recipe, Results, Set
from madx.config import InputError
from madx.pipeline.project import project, read_recipe


def drop(
    recipe: Recipe = None,
    layers: Annotated[str | None, typer.Option(help="How many to drop, FIRST-LAST; default: 0 to all but one.")] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Evaluate a recipe with 0, 1, ... lower layers dropped (AdapterDrop): drop.csv and figures in the run's folder."""
    from madx.cli.show import execute, print_rows
    from madx.pipeline.drop import TABLE, drop_layers

    planner, session = project(read_recipe(recipe, set_), recipe, data, results, catalog, device)
    counts = _counts(layers, session.encoder(planner.encoder).num_layers)
    folder, rows = drop_layers(planner, session, results, counts, lambda plan: execute(plan, session, quiet))
    where = f"table and figures: {folder / TABLE}"
    print_rows(
        rows, lambda row: f"{row.dropped} dropped: {row.value:.1f}, {row.examples_per_s:.0f} examples/s", where, as_json
    )


def _counts(said: str | None, num_layers: int) -> list[int]:
    if said is None:
        return list(range(num_layers))
    first, _, last = said.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or not int(first) <= int(last or first) <= num_layers:
        raise InputError(f"--layers {said}: write FIRST-LAST, between 0 and the encoder's {num_layers}")
    return list(range(int(first), int(last or first) + 1))
