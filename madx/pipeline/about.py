"""What a run says of itself beside its scores: languages, texts, test sets, methods in words, sizes, curves."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from madx.catalog.find import Catalogue
from madx.catalog.language import TextSource
from madx.config import Frozen, digest
from madx.corpora.contamination import contamination
from madx.corpora.documents import documents
from madx.corpora.health import health
from madx.encoders.reference import seen_as
from madx.pipeline.grid import GRID
from madx.pipeline.plan import Plan
from madx.stages.evaluate import Evaluation
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import Step
from madx.tasks.data import LabelledData
from madx.training.log import LOG

CURVE_POINTS = 60
Json = dict[str, Any]


def languages(plan: Plan, catalogue: Catalogue) -> Json:
    """Of every source and target."""
    sources = [data.language for data in plan.cells[0].stage.train]
    group, found = seen_as(plan.encoder.name), {}
    for code in dict.fromkeys([*sources, *(cell.target for cell in plan.cells)]):
        language = catalogue.language(code)
        found[code] = {
            "name": language.name,
            "script": language.script,
            "family": list(language.family),
            "seen": None if group is None else group in language.seen_by,
        }
    return found


def texts(plan: Plan, session: Session) -> Json:
    """By language: how much there is, what the tokenizer makes of it, where it is from. Of several the largest."""
    found: Json = {}
    for step in plan.steps:
        if isinstance(step, TextStage):
            result = session.result(step)
            if result["tokens"] >= found.get(step.subject, {"tokens": 0})["tokens"]:
                found[step.subject] = {
                    **{key: result[key] for key in ("tokens", "unknown_rate", "subwords_per_word")},
                    "sources": [{"name": s.name, "licence": s.licence} for s in _once(step.corpus.sources)],
                }
    return found


def _once(sources: Iterable[TextSource]) -> Iterator[TextSource]:
    yield from {(source.name, source.licence): source for source in sources}.values()


def licences(plan: Plan) -> Json:
    """Of the tasks' labels."""
    tasks = {cell.task: cell.stage.train[0].task for cell in plan.cells}
    return {
        name: {"name": task.description or name, "licence": task.licence or "unknown"} for name, task in tasks.items()
    }


def legend(plan: Plan) -> dict[str, str]:
    return {method: GRID[method].in_words for method in plan.recipe.methods}


def settings(plan: Plan) -> dict[str, str]:
    """Every number and choice of how adapters are trained, defaults among them: the recipe's tables, by dotted key."""
    recipe, found = plan.recipe, dict[str, str]()
    tables = {name: value for name, value in recipe if isinstance(value, Frozen)}
    for table, settings in {**tables, **{f"task.{name}": value for name, value in recipe.task.items()}}.items():
        plain = settings.model_dump(mode="json", exclude_none=True)
        found |= {f"{table}.{key}": str(value) for key, value in plain.items()}
    return found


def dev_score(result: Json) -> Json:
    """Of a stage two: what its kept checkpoint has on the source's dev set."""
    evaluations = {entry["step"]: entry["dev"] for entry in result.get("evaluations", ()) if "dev" in entry}
    kept = result.get("best_step") or max(evaluations, default=None)  # none was chosen: the last, or their average
    return {"dev": evaluations[kept]} if kept in evaluations else {}


# ------------------------------------------------------------------------------------------------ test sets


def tests(plan: Plan, session: Session, before: Iterable[Json]) -> list[Json]:
    """Health and contamination of each test set; `before`: what an earlier run.json says, for what is still the same.

    Training text is all that a language's stage one and, for the source, stage two were trained on.
    """
    known = {entry.get("of"): entry for entry in before}
    tested = {(cell.task, cell.target): (cell.test, cell.stage.train) for cell in plan.cells if cell.test}
    stages: dict[str, list[TextStage]] = {}
    for step in plan.steps:
        if isinstance(step, TextStage):
            stages.setdefault(step.subject, []).append(step)
    return [
        _test(test, [data for data in train if data.language == code], stages.get(code, []), plan, session, known)
        for (_, code), (test, train) in tested.items()
        if test is not None
    ]


def _test(
    test: LabelledData, train: list[LabelledData], texts: list[TextStage], plan: Plan, session: Session,
    known: Mapping[str | None, Json],
) -> Json:  # fmt: skip
    of = digest([plan.encoder.digest, digest(test), *map(digest, train), *(step.name for step in texts)])
    if of in known:
        return known[of]
    sentences = [text for example in test.load() for text in test.kind.texts(example)]
    tokenizer = session.encoder(plan.encoder).tokenizer
    found = health(
        sentences,
        lambda batch: tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"],
        tokenizer.unk_token_id,
    )

    def training() -> Iterator[str]:
        for step in texts:
            for source in step.corpus.sources:
                yield from documents(source, session.data)
        for data in train:
            for example in data.load():
                yield from data.kind.texts(example)

    contaminated = contamination({"test": sentences}, training(), test.has_spaces)["test"]
    return {
        "task": test.task.name, "target": test.language, "of": of, "health": found.model_dump(),
        "contamination": contaminated.model_dump(),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ sizes and curves


def sizes(step: Step, session: Session) -> Json:
    """Trained numbers (of a merge, or what else was computed or fetched, none) and bytes of what a step keeps; nothing
    of texts and evaluations."""
    if step.stage in (TextStage.stage, Evaluation.stage):
        return {}
    files = sorted(session.store.folder(step.name).rglob("*.safetensors"))
    trained = files if "training_seconds" in session.result(step) else []
    return {"parameters": sum(map(_numbers, trained)), "bytes": sum(file.stat().st_size for file in files)}


def _numbers(path: Path) -> int:
    """Trained ones: the whole numbers and bits beside a sparse file's weights say where these stand."""
    with safe_open(path, "numpy") as file:
        tensors = [file.get_slice(key) for key in file.keys()]
        floats = [tensor for tensor in tensors if tensor.get_dtype().startswith(("F", "BF", "C"))]
    return sum(math.prod(tensor.get_shape()) for tensor in floats)


def curves(plan: Plan, session: Session) -> dict[str, list[list[float]]]:
    """(step, training loss) of every training; of a long one, every so many."""
    found = {}
    for step in plan.steps:
        log = session.store.folder(step.name) / LOG
        if log.is_file():
            records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            points = [[r["step"], round(r["loss"], 4)] for r in records if r.get("loss") is not None]
            found[step.name] = points[:: max(1, -(-len(points) // CURVE_POINTS))]
    return {name: points for name, points in found.items() if points}
