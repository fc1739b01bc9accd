"""What there is to predict with: a run's folder (models.json), or a task adapter's folder or address alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from madx.catalog.find import Catalogue
from madx.catalog.task import Columns, TaskSpec
from madx.config import Frozen, InputError, nearest, validate
from madx.foreign import Line, Name, inside, read_json_object
from madx.formats.manifest import read_manifest
from madx.methods.loading import stored_in
from madx.methods.method import Stored
from madx.methods.sparse import FILE as SPARSE
from madx.sharing.address import Address, parse_address
from madx.sharing.fetch import fetch
from madx.stages.entropy import Adapts, EntropyMinimisation, ProbabilityMean
from madx.tasks.kinds import KINDS, kind_of
from madx.writing import write_json

MODELS = "models.json"
LARGEST = 64 << 20  # bytes
_HEADS = {
    "tagging": "tagging", "classification": "classification", "multiple_choice": "multiple-choice",
    "question_answering": "question-answering", "dependency_parsing": "parsing",
    "image_retrieval": "retrieval",
}  # fmt: skip


class TaskOfModels(Frozen):
    """Of a task what is needed to read and to label."""

    kind: Line
    metric: Line
    labels: tuple[str, ...]
    columns: Columns
    max_length: int = Field(ge=16, le=1 << 17)  # tokens

    def spec(self, name: str) -> TaskSpec:
        return TaskSpec(name=name, kind=self.kind, metric=self.metric, labels=self.labels, columns=self.columns)


class Below(Frozen):
    """A folder under the run's adapters/, and what it holds."""

    folder: Name
    stored: Stored


class Model(Frozen):
    """What answers for a language; `below`: what is stacked for it, first to last."""

    task: Name
    method: Name
    language: Name
    seed: int = Field(ge=0, lt=1 << 63)
    trains: Stored
    task_model: Name
    below: tuple[Below, ...]
    romanised: bool = False  # what the encoder reads of the language
    entropy_steps: int = Field(0, ge=0, le=1000)  # of the method emea, for each sentence
    averaged: bool = False  # of the method ensemble-logits
    dev: float | None  # the task's metric on the source's dev set, in percent


class ModelsFile(Frozen):
    """models.json of a run's folder. The encoder's name is what a recipe calls it."""

    encoder: Line
    digest: Line
    tasks: dict[Name, TaskOfModels]
    models: tuple[Model, ...]
    names: dict[Name, tuple[Line, ...]] = {}  # of the languages, which may be a person's own


def _adapts(model: Model) -> Adapts | None:
    if model.averaged:
        return ProbabilityMean()
    return EntropyMinimisation(steps=model.entropy_steps) if model.entropy_steps else None


class Folders(NamedTuple):
    """Where a language's model lies; `below`: what is stacked for the language, first to last, and what each is."""

    task: Path
    below: tuple[tuple[Path, Stored], ...] = ()
    romanised: str | None = None  # the language by whose rules it reads text


class Chosen(NamedTuple):
    """One task's model, and its languages."""

    task: TaskSpec
    encoder: str
    digest: str | None  # of the encoder that it was trained on, where that is said
    trains: Stored
    adapts: Adapts | None
    max_length: int
    languages: dict[str, Folders]
    aliases: dict[str, str]  # their other names in lower case, to their codes
    any_language: Folders | None  # for a language that isn't among them
    note: str  # what was chosen, in one line
    any_language_by: tuple[str, ...] = ()  # methods of the run that label in any language
    method: str | None = None  # of a run
    seed: int | None = None
    own: Path | None = None  # the folder of a person's adapter on top

    def folders(self, language: str | None, where: str) -> Folders:
        """Raises InputError where nothing answers for the language."""
        if language is None:
            if self.any_language is None:
                raise InputError(
                    f"{where}: in which language? Say it (--language, language=), or give each line a 'language'"
                )
            return self.any_language
        found = self.languages.get(self.aliases.get(language.lower(), language), self.any_language)
        if found is None:
            anything = f"; by method {' or '.join(self.any_language_by)}: any language" if self.any_language_by else ""
            raise InputError(
                f"{where}: no model for '{language}'{_known(language, sorted(self.languages))} "
                f"(with its adapter: --adapter {language}=ADDRESS, adapters={{'{language}': ADDRESS}}{anything})"
            )
        return found


def _code(language: str) -> str:
    try:
        return Catalogue().language(language).code
    except InputError:
        return language


def _aliases(codes: Iterable[str], said: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Looked up once: a name that comes later, in a request, is no reason to read anything. `said`: by the run."""
    catalogue, found = Catalogue(), {}
    for code in codes:
        names = said.get(code, ())
        with suppress(InputError):
            language = catalogue.language(code)
            names = names or (language.name, *language.aliases)
        found.update({name.lower(): code for name in names})
    return found


def read_models(folder: Path) -> ModelsFile:
    """Raises InputError."""
    return validate(ModelsFile, read_json_object(folder / MODELS, LARGEST), str(folder / MODELS))


def write_models(folder: Path, models: ModelsFile) -> None:
    write_json(folder / MODELS, models.model_dump(mode="json"))


def choose(origin: str, task: str | None, method: str | None, seed: int | None, adapters: Mapping[str, str]) -> Chosen:
    """`origin`: a run's folder, or a task adapter's folder or address. `adapters`: language to address, beside.

    Of a run, the model with the best dev score that fits what is asked. Raises InputError, or RunError for a download.
    """
    folder = Path(origin).expanduser()
    if (folder / MODELS).exists():
        return _of_run(folder, task, method, seed, _fetched(adapters))
    if (folder / "run.json").exists():
        raise InputError(f"{folder}: a run without {MODELS}; run its recipe again: nothing is trained twice")
    project = folder.parent if folder.suffix == ".toml" else folder
    if (project / "recipe.toml").is_file() and not (project / "adapter_config.json").exists():
        raise InputError(f"{origin}: a project; what predicts is its run's folder, results/NAME (`name` in its recipe)")
    address = parse_address(origin)
    if method is not None or seed is not None:
        raise InputError(f"{origin}: not a run's folder, so there is no method and no seed to choose")
    return _of_adapter(fetch(address), origin, task, _fetched(adapters))


def _fetched(adapters: Mapping[str, str]) -> dict[str, Path]:
    addresses = {_code(name): parse_address(address) for name, address in adapters.items()}
    return {code: _folder_of(address) for code, address in addresses.items()}


def _folder_of(address: Address) -> Path:
    """A sparse change isn't published at an address; a folder of it here is taken as it is."""
    here = Path(address.place) / address.path
    return here if address.kind == "local" and (here / SPARSE).is_file() else fetch(address)


def _of_run(folder: Path, task: str | None, method: str | None, seed: int | None, own: Mapping[str, Path]) -> Chosen:
    known = read_models(folder)
    task = _named("task", task, list(dict.fromkeys(model.task for model in known.models)), folder)
    rows = [model for model in known.models if model.task == task]
    if method is not None:
        _named("method", method, list(dict.fromkeys(model.method for model in rows)), folder)
    if seed is not None and seed not in {model.seed for model in rows}:
        raise InputError(f"seed {seed}: the run has {', '.join(sorted({str(model.seed) for model in rows}))}")
    methods = dict.fromkeys(m.method for m in rows)
    any_language = tuple(name for name in methods if _for_any_language([m for m in rows if m.method == name]))
    rows = [m for m in rows if method in (None, m.method) and seed in (None, m.seed)]
    if not rows or task not in known.tasks:
        raise InputError(f"{folder}: no model of '{task}' with method {method} and seed {seed}")
    best = max(rows, key=lambda model: -1.0 if model.dev is None else model.dev)  # of equals the recipe's first
    why = _why(method, seed, len({(m.method, m.seed) for m in rows}))
    rows = [m for m in rows if (m.method, m.seed) == (best.method, best.seed)]

    def place(name: str) -> Path:
        found = folder / "adapters" / name
        if not found.is_dir():
            raise InputError(f"{found}: is not there; run the recipe again, or copy results/.store along with the run")
        return inside(folder.parent, found)

    languages = {
        m.language: Folders(
            place(m.task_model),
            tuple((place(part.folder), part.stored) for part in m.below),
            m.language if m.romanised else None,
        )
        for m in rows
    }
    languages |= {code: Folders(place(best.task_model), ((found, stored_in(found)),)) for code, found in own.items()}
    about = known.tasks[task]
    dev = "" if best.dev is None else f", dev {best.dev:.1f}"
    return Chosen(
        about.spec(task), known.encoder, known.digest, best.trains, _adapts(best),
        about.max_length, languages, _aliases(languages, known.names),
        Folders(place(best.task_model)) if _for_any_language(rows) else None,
        f"{task}: {best.method}, seed {best.seed}{dev}: {why}", any_language, best.method, best.seed,
    )  # fmt: skip


def _for_any_language(rows: Sequence[Model]) -> bool:
    """Whether a method has one model for all languages, with no language's adapter in it."""
    return not any(m.below for m in rows) and len({m.task_model for m in rows}) == len({m.seed for m in rows})


def _why(method: str | None, seed: int | None, possible: int) -> str:
    best = "the best on the source's dev set"
    if method is None and seed is None:
        return best
    if possible == 1:
        return "as asked"
    return f"as asked; {'of its methods' if method is None else 'of its seeds'} {best}"


def _known(asked: str, known: Sequence[str]) -> str:
    """The nearest of them, or all."""
    return nearest(asked, list(known)) or f"; there are: {', '.join(known)[:300]}"


def _named(what: str, asked: str | None, known: list[str], folder: Path) -> str:
    if asked is None and len(known) == 1:
        return known[0]
    if asked is None or asked not in known:
        said = (
            f"no {what} '{asked}'{_known(asked, known)}" if asked else f"which {what}? Say --{what}: {', '.join(known)}"
        )
        raise InputError(f"{folder}: {said}")
    return asked


def _of_adapter(folder: Path, origin: str, task: str | None, own: Mapping[str, Path]) -> Chosen:
    """A task adapter with its head. What it was trained over is said; a language's adapter is given beside."""
    head = folder / "head_config.json"
    if not head.exists():
        raise InputError(f"{origin}: no head there: a language adapter labels nothing; give a task adapter or a run")
    about, manifest = read_json_object(head), read_manifest(folder)
    config = about.get("config")
    kind = _HEADS.get(str(config.get("head_type"))) if isinstance(config, dict) else None
    name = task or manifest.get("task") or about.get("name")
    if kind is None or not isinstance(config, dict) or not isinstance(name, str):
        raise InputError(f"{head}: not the head of a kind of task that madx knows: {', '.join(_HEADS)}")
    labels = config.get("label2id")
    if not isinstance(labels, dict) or not all(isinstance(number, int) for number in labels.values()):
        labels = {str(number): number for number in range(int(config.get("num_labels", 2)))}
    settings: dict[str, Any] = manifest.get("hyper_parameters", {})
    spec = validate(
        TaskSpec,
        {"name": name, "kind": kind, "metric": KINDS[kind].METRICS[0], "labels": sorted(labels, key=labels.__getitem__),
         "columns": manifest.get("columns", {})},
        str(folder),
    )  # fmt: skip
    kind_of(spec)
    base = manifest.get("base_model") or {}
    encoder = base.get("name") or read_json_object(folder / "adapter_config.json").get("model_name")
    if not isinstance(encoder, str):
        raise InputError(f"{origin}: it doesn't say which encoder it was made for")
    over = manifest.get("language_adapters", [])
    length = settings.get("max_length", 256)
    return Chosen(
        spec, encoder, base.get("digest"), "adapter", None, length if isinstance(length, int) and length >= 16 else 256,
        {code: Folders(folder, ((found, stored_in(found)),)) for code, found in own.items()},
        _aliases(own, {}), Folders(folder),
        f"{name}: {origin}" + (f", trained over the adapter of {', '.join(over)}" if over else "")
        + ("" if own or not over else "; without a language adapter (--adapter LANGUAGE=ADDRESS)"),
    )  # fmt: skip


def adapter_options(given: Sequence[str]) -> dict[str, str]:
    """`LANGUAGE=ADDRESS`, as the command line has them. Raises InputError."""
    for one in given:
        if "=" not in one:
            raise InputError(f"--adapter {one}: write LANGUAGE=ADDRESS, e.g. swe={one}")
    return dict(one.split("=", 1) for one in given)
