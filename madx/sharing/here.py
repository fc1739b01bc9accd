"""The adapters of a results folder, with what its runs use them for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from madx.config import InputError, RunError
from madx.foreign import read_json_object
from madx.formats.manifest import read_manifest
from madx.sharing.index import Entry, entry_of

LARGEST = 64 << 20  # bytes of a run's models.json


class Use(NamedTuple):
    """Of an adapter, by the runs beside it. `dev`: the task's metric on the source's dev set, in percent."""

    methods: tuple[str, ...] = ()
    seed: int | None = None
    dev: float | None = None


def made_here(results: Path) -> Iterator[tuple[Entry, Path, Use]]:
    """Every finished adapter of its store, trained or imported. Raises InputError for one that says what can't be."""
    uses = _uses(results)
    for folder in sorted((results / ".store").glob("*-*")):
        if (folder / "done.json").exists() and (folder / "adapter_config.json").exists():
            use = uses.get(folder.name, Use())
            seed = (read_manifest(folder).get("hyper_parameters") or {}).get("seed")
            yield entry_of(folder, folder.name), folder, use._replace(seed=seed if isinstance(seed, int) else use.seed)


def _uses(results: Path) -> dict[str, Use]:
    found: dict[str, Use] = {}
    for path in sorted(results.glob("*/models.json")):
        with suppress(InputError, RunError):  # a damaged one costs its words, not the list
            models: Any = read_json_object(path, LARGEST).get("models")
            for model in models if isinstance(models, list) else []:
                with suppress(KeyError, TypeError):
                    method, task = str(model["method"]), str(model["task_model"])
                    for name in (task, *(str(below["folder"]) for below in model["below"])):
                        before = found.get(name, Use())
                        methods = tuple(dict.fromkeys((*before.methods, method)))
                        mine = Use(methods, int(model["seed"]), model["dev"]) if name == task else before
                        found[name] = mine._replace(methods=methods)
    return found
