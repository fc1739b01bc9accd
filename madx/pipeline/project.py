"""From a recipe and a few places to what plans it and where its steps run; for the command line and for Python."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from madx.config import InputError

if TYPE_CHECKING:
    from madx.catalog.find import Catalogue
    from madx.encoders.encoder import Encoder
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import Recipe
    from madx.stages.session import Session


QUICKSTART = Path(__file__).parents[1] / "quickstart"


def catalogue_of(extra: list[Path] | None) -> Catalogue:
    from madx.catalog.find import Catalogue

    return Catalogue(*(extra or []))


def recipe_file(path: Path | None) -> Path:
    """A recipe, or the one in a project's folder; None: the bundled quick start's."""
    if path is None:
        return QUICKSTART / "recipe.toml"
    return path / "recipe.toml" if path.is_dir() else path


def read_recipe(path: Path | None, overrides: list[str] | None) -> Recipe:
    from madx.pipeline.recipe import load_recipe

    return load_recipe(recipe_file(path), overrides or [])


def earlier_results(path: Path, results: Path) -> Path | None:
    """Another folder of results, beside the recipe or above, that has steps."""
    beside = recipe_file(path).parent
    places = (place / results.name for place in (beside, beside.resolve().parent))
    found = (place for place in places if place.resolve() != results.resolve())
    return next((folder for folder in found if (folder / ".store").is_dir()), None)


def project(
    recipe: Recipe,
    path: Path | None,
    data: Path | None,
    results: Path,
    catalog: list[Path] | None,
    device: str,
    encoder: Encoder | None = None,
    shared: str | None = None,
) -> tuple[Planner, Session]:
    """What plans a recipe and where its steps run.

    `path`: as `recipe_file` takes it; beside that file the recipe's own are looked for. `encoder`: the recipe's, where
    it is in memory already. `shared`: where machines share finished steps. Raises InputError for a device, a folder, a
    tracker or such a place that isn't there.
    """
    from madx.device import choose_device, choose_precision, set_threads
    from madx.pipeline.planner import Planner
    from madx.shared import Shared
    from madx.stages.session import Session
    from madx.store import Store

    if data is not None and not data.is_dir():
        raise InputError(f"--data {data}: no such directory")
    for tracker in recipe.trackers:
        if find_spec(tracker) is None:
            raise InputError(f"trackers: '{tracker}' is not installed; pip install 'madx-adapters[{tracker}]'")
    if path is None:
        data = data or QUICKSTART
    set_threads()
    where = encoder.device if encoder else choose_device(device)
    store = Store(results / ".store", Shared(shared) if shared else None)
    session = Session(store, where, data, tuple(recipe.trackers))
    beside = recipe_file(path).parent  # its languages/, tasks/ and files are the first
    precision = encoder.precision if encoder else choose_precision(recipe.precision, session.device)
    planner = Planner(recipe, catalogue_of([*(catalog or []), beside]), data, beside, precision)
    if encoder is not None:
        session.keep(encoder, planner.encoder)
    return planner, session
