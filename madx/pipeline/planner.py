"""Recipe to plan: what each method, target and seed trains and is evaluated with."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from madx.catalog.find import Catalogue
from madx.catalog.language import Language, TextSource
from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.corpora.prepare import Corpus
from madx.corpora.romanise import check_romaniser
from madx.encoders.reference import resolve_encoder
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.method import Method
from madx.pipeline.budget import Budget
from madx.pipeline.grid import GRID, Row
from madx.pipeline.joint import Joint
from madx.pipeline.plan import Cell, Plan, plan_of
from madx.pipeline.recipe import Recipe
from madx.pipeline.several_tasks import labels_of_sources
from madx.pipeline.sources import Sources
from madx.pipeline.targets import Targets
from madx.stages.language import LanguageStage
from madx.stages.task import TaskStage
from madx.stages.text import TextStage
from madx.step import AdapterStep, Step
from madx.tasks.data import LabelledData, Split, labelled_data, with_images
from madx.tasks.kinds import kind_of
from madx.training.fit import Schedule


class Planner:
    """Builds the steps of a recipe; the same value is built once."""

    def __init__(
        self,
        recipe: Recipe,
        catalogue: Catalogue,
        data: Path | None,
        beside: Path | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        self.recipe, self.catalogue, self.data, self.beside = recipe, catalogue, data, beside
        self.sources = Sources(recipe, catalogue, data, beside)
        encoder = resolve_encoder(recipe.model, recipe.revision)
        self.encoder = encoder.model_copy(update={"precision": precision})
        self.source_codes = [catalogue.language(name, "source").code for name in recipe.source]
        self.notes: list[str] = []
        self._labelled: dict[tuple[str, str, Split], LabelledData | None] = {}
        self._targets = Targets(self)
        self._texts: dict[str, TextStage] = {}
        self._ready: dict[str, AdapterStep] = {}
        self._adapters: dict[tuple[Row, str], AdapterStep] = {}
        self._stages: dict[tuple[str, Row, tuple[str, ...], int], TaskStage] = {}
        self._without_text = {self.language(name).code for name in recipe.without_text}
        self.romanised = {self.language(name).code for name in recipe.romanise}
        if self.romanised:
            check_romaniser()
        self.joint = Joint(self)

    def plan(self) -> Plan:
        """Every cell of the recipe."""
        cells = [
            self.cell(task, method, target, seed)
            for task in map(self.task, self.recipe.tasks)
            for method in self.recipe.methods
            for seed in self._seeds(method)
            for target in [*self.targets_of(task, method), *self._tested_sources(task, method)]
        ]
        return self.plan_of([step for cell in cells for step in cell.needs], cells)

    def plan_of(self, wanted: Iterable[Step], cells: Sequence[Cell] = ()) -> Plan:
        """Some steps and all that they stand on."""
        return plan_of(self.recipe, self.encoder, wanted, cells, self.notes)

    def cell(self, task: TaskSpec, method: str, target: str, seed: int) -> Cell:
        """What `method` trains for `task`, and answers `target` with. Everybody who wants to know asks here."""
        row = GRID[method]
        stage = self._task_stage(task, row, target, self.targets_of(task, method), seed)
        adapts = row.adapts(self.recipe)
        if adapts is not None:
            adapts.check(task)
        code = {"target": target, "source": self.source_codes[0], "none": None}[row.evaluated_with]
        return Cell(
            task.name, method, target, seed, stage,
            language=self._swapped_in(row, stage, code) if code else None,
            test=self.labelled(task, target, "test"),
            weights=self.recipe.evaluation.weights,
            adapts=adapts,
            romanised=target in self.romanised,
        )  # fmt: skip

    def _swapped_in(self, row: Row, stage: TaskStage, code: str) -> AdapterStep:
        return self._adapter(row, code) if row.out_of is None else row.out_of(stage, code)

    def source_stage(self, task: TaskSpec, method: str, seed: int) -> TaskStage:
        """Stage two alone. Raises InputError for a method whose stage two is made for targets."""
        if GRID[method].needs_targets:
            raise InputError(f"method {method}: it is trained for targets, which a recipe names; use a recipe")
        return self.cell(task, method, self.source_codes[0], seed).stage

    # ---------------------------------------------------------------------------------------- languages and tasks

    def language(self, name: str) -> Language:
        return self.catalogue.language(name)

    def task(self, name: str) -> TaskSpec:
        """Raises InputError where its file can't be right."""
        task = self.catalogue.task(name)
        kind_of(task)
        return with_images(task, self.data, self.beside)

    def labelled(self, task: TaskSpec, code: str, split: Split) -> LabelledData | None:
        key = (task.name, code, split)
        if key not in self._labelled:
            spaces = self.language(code).has_spaces
            data = labelled_data(task, code, split, self.data, spaces, self.beside)
            if code in self.romanised:
                data = self._romanised_labels(task, code, data)
            self._labelled[key] = data
        return self._labelled[key]

    def _romanised_labels(self, task: TaskSpec, code: str, data: LabelledData | None) -> LabelledData | None:
        if task.kind == "question-answering":
            raise InputError(
                f"romanise: '{code}' is in it, and the answers of {task.name} are places in its own writing; "
                "leave that language or that task out"
            )
        return data and data.model_copy(update={"romanised": True})

    def targets_of(self, task: TaskSpec, method: str) -> list[str]:
        return self._targets.of(task, method)

    def note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def has_adapter_or_text(self, code: str) -> bool:
        return self.has_ready(code) or (code not in self._without_text and bool(self.sources.text(code)))

    def has_ready(self, code: str) -> bool:
        """Whether the recipe names an adapter for it."""
        return code in self.sources.ready

    def has_lines(self, code: str, count: int) -> bool:
        """Whether it has so many lines of text."""
        return code not in self._without_text and self.sources.has_lines(code, count)

    def _tested_sources(self, task: TaskSpec, method: str) -> list[str]:
        """Sources that are scored too; not by what starts from a target's own encoder."""
        if GRID[method].start is not None:
            return []
        return [code for code in self.source_codes if self.labelled(task, code, "test") is not None]

    def _seeds(self, method: str) -> tuple[int, ...]:
        limit = self.recipe.limit.get(method)
        return limit.seeds if limit and limit.seeds else self.recipe.seeds

    # -------------------------------------------------------------------------------------------------- stage one

    def text(self, code: str) -> TextStage:
        if code not in self._texts:
            self._texts[code] = self._text(code)
        return self._texts[code]

    def _text(self, code: str) -> TextStage:
        language = self.language(code)
        sources = self.sources.text(code)
        if code in self._without_text:
            raise InputError(f"'{code}' is in without_text, and a method needs its text; hold it to others by [limit]")
        if not sources:
            missing = next((f" ({source.file}: no such file)" for source in language.text if source.file), "")
            said = f"'{code}' ({language.name}) has no text in the catalogue{missing}"
            hint = "." if self.data else "; was --data DIR forgotten?"
            raise InputError(f'{said}{hint} Give it some: [text] {code} = "FILE"')
        return self.text_of(language, sources)

    def text_of(self, language: Language, sources: list[TextSource]) -> TextStage:
        settings = self.recipe.language_adapter
        if language.code in self.romanised:
            sources = [source.model_copy(update={"romanised": language.code}) for source in sources]
        needed = settings.steps * settings.batch_tokens
        return TextStage(
            encoder=self.encoder,
            corpus=Corpus(
                language=language.code,
                has_spaces=language.has_spaces,
                sources=tuple(sources),
                digests=self.sources.text_digests(sources),
                tokenizer=self.encoder.digest,
                block_size=settings.max_length,
                # rounded up, so that a few steps more don't mean another text
                max_tokens=1 << max(20, needed.bit_length()),
                lines=self.sources.at_most(language.code),
            ),
        )

    def language_adapter(self, code: str) -> AdapterStep:
        """The language's own: ready-made where the recipe names one, else trained on its text."""
        if code not in self._ready:
            ready = self.sources.ready_made(code, self.encoder, "adapter")
            self._ready[code] = ready if ready is not None else self.language_stage(code)
        return self._ready[code]

    def _adapter(self, row: Row, code: str) -> AdapterStep:
        """The language's, as a method makes it."""
        if (row, code) not in self._adapters:
            self._adapters[row, code] = row.adapter(self, code)
        return self._adapters[row, code]

    def others(self, code: str) -> list[str]:
        """The recipe's other languages that have an adapter or text for one, sources first."""
        every = dict.fromkeys([*self._languages, *self.sources.ready])
        return [other for other in every if other != code and self.has_adapter_or_text(other)]

    @property
    def languages_with_text(self) -> list[str]:
        """The recipe's languages that have some, sources first."""
        return [code for code in self._languages if self.has_lines(code, 1)]

    @property
    def _languages(self) -> list[str]:
        """Sources, targets that it names, and relatives."""
        relatives = [self.language(name).code for name in self.recipe.relatives]
        return list(dict.fromkeys([*self.source_codes, *self._targets.named, *relatives]))

    def language_stage(self, code: str) -> LanguageStage:
        """Stage one on the language's text, as the recipe has it; methods take it and change what they do otherwise."""
        settings = self.recipe.language_adapter
        return LanguageStage(
            encoder=self.encoder,
            text=self.text(code),
            method=BottleneckAdapter(spec=settings.spec),
            schedule=Schedule(
                steps=settings.steps, learning_rate=settings.learning_rate, warm_up=settings.warm_up
            ),
            batch_tokens=settings.batch_tokens,
            softmax=settings.softmax,
            compiled=settings.compile,
            seed=settings.seed,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------------- stage two

    def _task_stage(self, task: TaskSpec, row: Row, target: str, targets: Sequence[str], seed: int) -> TaskStage:
        codes = {
            "sources": self.source_codes, "sources and targets": [*self.source_codes, *targets], "target": [target],
            "none": [],
        }[row.below]  # fmt: skip
        key = (task.name, row, (*codes, "" if row.start is None else target), seed)
        if key not in self._stages:
            below = [self._adapter(row, code) for code in dict.fromkeys(codes)]
            start = row.start(self, target) if row.start else None
            self._stages[key] = self._new_task_stage(task, row, below, start, seed)
        return self._stages[key]

    def _new_task_stage(
        self, task: TaskSpec, row: Row, below: Sequence[AdapterStep], start: LanguageStage | None, seed: int
    ) -> TaskStage:
        settings, trained = self.recipe.stage_two(task.name), row.trains(self.recipe)
        method = self._within_budget(trained.method)
        train, dev = labels_of_sources(self, task)
        cycle = row.below in ("sources and targets", "target")
        first = TaskStage(
            encoder=self.encoder,
            train=train,
            dev=dev,
            method=method,
            below=tuple(below),
            cycle=cycle,
            start=start,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=trained.learning_rate,
            warm_up=settings.warm_up,
            max_length=settings.max_length,
            checkpoint="last" if settings.average else settings.checkpoint,
            average=settings.average,
            temperature=settings.temperature if len(train) > 1 else 1.0,
            lower_layers="run" if cycle else settings.lower_layers,  # under another adapter they are other states
            unfreeze_every=settings.unfreeze_every if method.stored == "adapter" else 0,
            seed=seed,
        )
        return trained.after(self, first)

    def _within_budget(self, method: Method) -> Method:
        if self.recipe.budget is None:
            return method
        sized, said = self._budget.fit(method)
        if said:
            self.note(f"budget: {said}")
        return sized

    @functools.cached_property
    def _budget(self) -> Budget:
        return Budget(self.encoder, self.recipe.budget or "")
