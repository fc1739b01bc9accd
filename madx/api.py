"""madx in Python: what the command line does, as functions. These names stay for the 1.x line.

>>> import madx
>>> adapter = madx.train_language("faroese.txt", "mini", language="fao", steps=300)
>>> results = madx.run("recipe.toml")
>>> results.scores
>>> madx.Predictor("results/mine").predict(["Hví ikki?"], language="fao")
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from madx.adapters.setup import Average, BatchSplit, Fuse, Parallel, Split, Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError, RunError
from madx.device import Precision, choose_device, choose_precision
from madx.encoders.attach import attach as attach_to
from madx.encoders.encoder import Encoder
from madx.encoders.encoder import load_encoder as load_reference
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import save_adapter
from madx.formats.anything import load_anything
from madx.formats.manifest import read_manifest
from madx.pipeline.estimate import labels_of
from madx.pipeline.helpers import make
from madx.pipeline.plan import Plan
from madx.pipeline.project import project, read_recipe
from madx.pipeline.recipe import Recipe, recipe_from
from madx.pipeline.results import Results
from madx.pipeline.run import Progress
from madx.pipeline.told import Teller
from madx.pipeline.whole import run_steps, run_whole
from madx.prediction.predictor import Predictor
from madx.sharing.address import parse_address
from madx.sharing.fetch import fetch
from madx.stages.session import Session

__all__ = [
    "Average", "BatchSplit", "BottleneckSpec", "Encoder", "Fuse", "InputError", "InvertibleSpec", "Parallel",
    "Predictor", "Results", "RunError", "Split", "Stack", "attach", "evaluate", "load", "load_encoder", "run", "save",
    "train_language", "train_personal", "train_task",
]  # fmt: skip

Tell = Callable[[Progress], None]
PathLike = str | Path
HERE = Path("no recipe file")  # beside which there are no files but the working directory's


def load_encoder(name: str = "mini", device: str = "auto", precision: Precision = "auto") -> Encoder:
    """A frozen pretrained encoder with places for adapters: `mini`, a directory, or a Hub id.

    Raises InputError in one line.
    """
    where = choose_device(device)
    ref = resolve_encoder(name).model_copy(update={"precision": choose_precision(precision, where)})
    return load_reference(ref, where, ref.precision)


def attach(model: nn.Module, spec: BottleneckSpec | None = None, name: str = "adapter") -> Encoder:
    """Places for adapters in a transformers model that you have already; with `spec`, one new adapter, active.

    The model's encoder is frozen, its heads and a pooler aren't; the adapters are a module of it, for `Trainer` too.
    Raises InputError for a family of encoders that madx doesn't know, and for a model that has adapters already.
    """
    encoder = attach_to(model)
    if spec is not None:
        encoder.add(name, spec)
        encoder.activate(name)
    return encoder


def load(address: PathLike, encoder: Encoder | str | None = None, name: str | None = None) -> Encoder:
    """A published or local adapter, put into its encoder and made active; digests and base weights are checked.

    `address`: a Hub id (`me/mini-swe`), `https://HOST/DIRECTORY/swe`, or a folder. `encoder`: one in memory, or a name;
    None: the one that the adapter's manifest names. `name`: what it is called there. Raises InputError in one line.
    """
    folder = fetch(parse_address(str(address)))
    if encoder is None:
        base = read_manifest(folder).get("base_model")
        if not isinstance(base, dict) or not isinstance(base.get("name"), str):
            raise InputError(f"{address}: it doesn't say which encoder it was made for; give encoder=")
        encoder = base["name"]
    into = load_encoder(encoder) if isinstance(encoder, str) else encoder
    into.activate(load_anything(folder, into, load_as=name))
    return into


def save(encoder: Encoder, name: str, folder: PathLike) -> Path:
    """Write an adapter that is in an encoder as AdapterHub's `adapters` 1.3 reads it."""
    save_adapter(Path(folder), encoder, name)
    return Path(folder)


def run(
    recipe: PathLike | Mapping[str, Any],
    *,
    data: PathLike | None = None,
    results: PathLike = "results",
    catalog: Sequence[PathLike] = (),
    overrides: Sequence[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    encoder: Encoder | None = None,
    shared: str | None = None,
    keep_going: bool = False,
    tell: Tell | None = None,
) -> Results:
    """The whole pipeline: plan, stage one, stage two, zero-shot evaluation, report. What is finished is reused.

    `recipe`: a file, or its keys. `data`: the root of the catalogue's files. `overrides`: `key=value`. `jobs`: steps
    made at once. `shared`: an address at which machines share finished steps. `keep_going`: past a step that fails;
    `about["failed"]` has the cells that it cost. `tell` hears of every step; None: it is said on standard error, a line
    for each and one every half minute of a training. Raises InputError before any work, RunError after.
    """
    if isinstance(recipe, Mapping):
        path, loaded = HERE, recipe_from(dict(recipe), "recipe", list(overrides))
    else:
        path = Path(recipe)
        loaded = read_recipe(path, list(overrides))
    return _run(loaded, path, data, Path(results), catalog, device, jobs, encoder, tell, shared, keep_going)


def _run(
    recipe: Recipe, path: Path, data: PathLike | None, results: Path, catalog: Sequence[PathLike], device: str,
    jobs: int | None, encoder: Encoder | None, tell: Tell | None, shared: str | None = None, keep_going: bool = False,
) -> Results:  # fmt: skip
    root = None if data is None else Path(data)
    planner, session = project(recipe, path, root, results, [Path(c) for c in catalog], device, encoder, shared)
    folder, _ = run_whole(planner, session, results, path, lambda plan: _make(plan, session, tell, jobs, keep_going))
    return Results(folder)


def train_language(
    text: PathLike | Sequence[PathLike],
    encoder: Encoder | str = "mini",
    *,
    language: str,
    results: PathLike = "results",
    catalog: Sequence[PathLike] = (),
    device: str = "auto",
    tell: Tell | None = None,
    **settings: Any,
) -> Path:
    """Stage one: a language adapter for the language of `text`, one or more files; its folder.

    `language`: a code or name of the catalogue. `settings`: keys of a recipe's [language_adapter], such as steps,
    batch_tokens (tokens an update), learning_rate. Raises InputError before any work, RunError after.
    """
    files = [str(text)] if isinstance(text, str | Path) else [str(path) for path in text]
    keys: dict[str, Any] = {
        "name": "language", "model": _name(encoder), "tasks": ["none"], "targets": [language],
        "text": {language: files}, "language_adapter": settings,
    }  # fmt: skip
    recipe = recipe_from(keys, "train_language", [])
    planner, session = project(
        recipe, HERE, None, Path(results), [Path(c) for c in catalog], device, _in_memory(encoder)
    )
    step = planner.language_adapter(planner.language(language).code)
    (folder,) = run_steps(planner, session, [step], lambda plan: _make(plan, session, tell))
    return folder


def train_task(
    task: str,
    encoder: Encoder | str = "mini",
    *,
    source: str = "eng",
    method: str = "madx",
    seed: int = 1,
    data: PathLike | None = None,
    results: PathLike = "results",
    catalog: Sequence[PathLike] = (),
    device: str = "auto",
    tell: Tell | None = None,
    **keys: Any,
) -> Path:
    """Stage two: a task adapter and head on labelled `source` text, over its language adapter; its folder.

    `keys`: of a recipe, such as task_adapter = {"epochs": 3} or language_adapters = {"eng": ADDRESS}.
    Raises InputError before any work, RunError after.
    """
    everything = {
        "name": "task", "model": _name(encoder), "tasks": [task], "source": source, "targets": [source],
        "methods": [method], "seeds": [seed], **keys,
    }  # fmt: skip
    root = None if data is None else Path(data)
    planner, session = project(
        recipe_from(everything, "train_task", []), HERE, root, Path(results), [Path(c) for c in catalog], device,
        _in_memory(encoder),
    )  # fmt: skip
    step = planner.source_stage(planner.task(task), method, seed)
    (folder,) = run_steps(planner, session, [step], lambda plan: _make(plan, session, tell))
    return folder


def train_personal(
    origin: PathLike,
    labels: PathLike,
    to: PathLike,
    *,
    language: str | None = None,
    task: str | None = None,
    method: str | None = None,
    seed: int | None = None,
    adapters: Mapping[str, str] | None = None,
    device: str = "auto",
    epochs: int = 20,
    learning_rate: float = 1e-3,
    reduction_factor: float = 16.0,
) -> Path:
    """A person's own small adapter on top of a finished stack, learnt from tens of examples; its folder, `to`.

    `origin` to `adapters`: as `Predictor` takes them, and it takes the new folder in the place of `origin`. `labels`:
    a file that the task's own labels could stand in, of `language`. Raises InputError before any work, RunError after.
    """
    from madx.prediction.personal import train_personal as train

    predictor = Predictor(str(origin), task, method=method, seed=seed, adapters=adapters, device=device)
    train(
        predictor, str(origin), Path(labels), language, Path(to),
        epochs=epochs, learning_rate=learning_rate, reduction_factor=reduction_factor,
    )  # fmt: skip
    return Path(to)


def evaluate(
    task: str,
    targets: Sequence[str],
    encoder: Encoder | str = "mini",
    *,
    source: str = "eng",
    methods: Sequence[str] = ("madx",),
    data: PathLike | None = None,
    results: PathLike = "results",
    catalog: Sequence[PathLike] = (),
    device: str = "auto",
    jobs: int | None = None,
    tell: Tell | None = None,
    **keys: Any,
) -> Results:
    """Stage three, zero-shot, for `targets`; adapters that are missing are trained first.

    `keys`: of a recipe, such as seeds = (1,) or language_adapters = {"fao": ADDRESS}. Raises InputError, RunError.
    """
    everything = {
        "name": f"evaluate-{task}", "model": _name(encoder), "tasks": [task], "source": source,
        "targets": list(targets), "methods": list(methods), **keys,
    }  # fmt: skip
    recipe = recipe_from(everything, "evaluate", [])
    return _run(recipe, HERE, data, Path(results), catalog, device, jobs, _in_memory(encoder), tell)


def _make(
    plan: Plan, session: Session, tell: Tell | None, jobs: int | None = 1, keep_going: bool = False
) -> Mapping[str, Exception]:
    """By `tell`, or what says it on standard error."""
    if tell is None:
        teller = Teller(lambda line: print(line, file=sys.stderr, flush=True), labels_of(plan))
        session.watch, tell = teller.watch, teller.tell
    return make(plan, session, tell, jobs, keep_going)


def _name(encoder: Encoder | str) -> str:
    return encoder if isinstance(encoder, str) else encoder.ref.name


def _in_memory(encoder: Encoder | str) -> Encoder | None:
    return None if isinstance(encoder, str) else encoder
