"""From options to what a command works with: catalogue, planner, session."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from madx.cli.options import QUICKSTART
from madx.config import InputError

if TYPE_CHECKING:
    from madx.catalog.find import Catalogue
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import Recipe
    from madx.stages.session import Session


def catalogue_of(extra: list[Path] | None) -> Catalogue:
    from madx.catalog.find import Catalogue

    return Catalogue(*(extra or []))


def read_recipe(path: Path | None, overrides: list[str] | None) -> Recipe:
    """None: the bundled quick start's."""
    from madx.pipeline.recipe import load_recipe

    return load_recipe(path or QUICKSTART / "recipe.toml", overrides or [])


def project(
    recipe: Recipe, path: Path | None, data: Path | None, results: Path, catalog: list[Path] | None, device: str
) -> tuple[Planner, Session]:
    """What plans a recipe and where its steps run. `path`: the recipe's file; None: the bundled quick start's.

    Raises InputError for a device, a folder or a tracker that isn't there.
    """
    from madx.device import choose_device, choose_precision, set_threads
    from madx.pipeline.planner import Planner
    from madx.stages.session import Session
    from madx.store import Store

    if data is not None and not data.is_dir():
        raise InputError(f"--data {data}: no such directory")
    for tracker in recipe.trackers:
        if find_spec(tracker) is None:
            raise InputError(f"trackers: '{tracker}' is not installed; pip install 'madx-adapters[{tracker}]'")
    quick = [QUICKSTART] if path is None else []
    if path is None:
        data = data or QUICKSTART
    set_threads()
    session = Session(Store(results / ".store"), choose_device(device), data, tuple(recipe.trackers))
    beside = QUICKSTART if path is None else path.parent
    precision = choose_precision(recipe.precision, session.device)
    return Planner(recipe, catalogue_of([*(catalog or []), *quick]), data, beside, precision), session
