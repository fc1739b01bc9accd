"""Recipe to plan: the steps, in an order in which each stands on those before it, and the cells they fill."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from madx.catalog.find import Catalogue
from madx.catalog.language import Language, TextSource
from madx.catalog.task import TaskSpec
from madx.config import InputError, file_digest
from madx.corpora.documents import files_of, find_file
from madx.corpora.parallel import ParallelFiles, ParallelText
from madx.corpora.prepare import Corpus
from madx.encoders.reference import EncoderRef, resolve_encoder
from madx.formats.manifest import check
from madx.methods.full import Full
from madx.methods.grid import GRID, Row
from madx.methods.task_adapter import TaskAdapter
from madx.pipeline.recipe import Recipe
from madx.sharing.address import parse_address
from madx.sharing.fetch import digests_of, fetch
from madx.stages import Evaluation, ImportedAdapter, LanguageStage, TaskStage
from madx.stages.language import Alignment
from madx.stages.session import Step, step_name
from madx.stages.text import TextStage
from madx.tasks.data import LabelledData, Split, labelled_data
from madx.training.fit import Schedule


@dataclass(frozen=True)
class Cell:
    """One score to be: what the evaluation step says is a value for (task, method, source, target, seed)."""

    task: str
    method: str
    target: str
    seed: int
    evaluation: Evaluation


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    encoder: EncoderRef
    steps: tuple[tuple[str, Step], ...]  # name, step
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


def own_file(name: str, data: Path | None, beside: Path | None) -> Path:
    """A file that a recipe names: beside it, under --data or under the working directory."""
    path = beside / name if beside and (beside / name).exists() else find_file(name, data)
    return path.resolve()


def text_sources(language: Language, data: Path | None, own: tuple[str, ...], beside: Path | None) -> list[TextSource]:
    """Where a language's text is: a recipe's own files; else the catalogue's files; else its first Hub corpus."""
    if own:
        return [TextSource(file=str(own_file(name, data, beside))) for name in own]
    files = [source for source, _ in files_there(language, data)]
    return files or [source for source in language.text if source.hub][:1]


def files_there(language: Language, data: Path | None) -> list[tuple[TextSource, Path]]:
    """The catalogue's text of a language that is on this machine."""
    found = []
    for source in language.text:
        if source.file is not None:
            with suppress(InputError):
                found.append((source, find_file(source.file, data)))
    return found


class Planner:
    """Builds the steps of a recipe; the same value is built once."""

    def __init__(self, recipe: Recipe, catalogue: Catalogue, data: Path | None, beside: Path | None = None) -> None:
        self.recipe, self.catalogue, self.data, self.beside = recipe, catalogue, data, beside
        self.encoder = resolve_encoder(recipe.model, recipe.revision)
        self.notes: list[str] = []
        self._digests: dict[Path, str] = {}
        self._labelled: dict[tuple[str, str, Split], LabelledData | None] = {}
        self._languages: dict[tuple[str, bool, bool], LanguageStage | ImportedAdapter] = {}
        self._imported = {self.language(k).code: v for k, v in recipe.language_adapters.items()}
        self._own_parallel = {self.language(k).code: v for k, v in recipe.parallel.items()}
        self._own_text = {self.language(k).code: v for k, v in recipe.text.items()}

    def language(self, name: str) -> Language:
        return self.catalogue.language(name)

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = file_digest(path)
        return self._digests[path]

    def sources(self, code: str) -> list[TextSource]:
        return text_sources(self.language(code), self.data, self._own_text.get(code, ()), self.beside)

    def text(self, code: str) -> TextStage:
        language, settings = self.language(code), self.recipe.language_adapter
        sources = self.sources(code)
        if not sources:
            hint = "" if self.data else "; was --data DIR forgotten?"
            raise InputError(
                f"'{code}' ({language.name}) has no text in the catalogue{hint} Give it some: [text] {code} = \"FILE\""
            )
        digests = []
        for source in sources:
            if source.file is None:
                digests.append(f"{source.hub}/{source.config}@{source.revision}")
                continue
            lines = f":{source.lines[0]}-{source.lines[1]}" if source.lines else ""
            digests += [self._digest(p) + lines for p in files_of(find_file(source.file, self.data))]
        needed = settings.steps * settings.batch_tokens
        return TextStage(
            encoder=self.encoder,
            corpus=Corpus(
                language=code,
                has_spaces=language.has_spaces,
                sources=tuple(sources),
                digests=tuple(digests),
                tokenizer=self.encoder.digest,
                block_size=settings.max_length,
                # rounded up, so that a few steps more don't mean another text
                max_tokens=1 << max(20, needed.bit_length()),
            ),
        )

    def parallel(self, source: str, code: str) -> ParallelText | None:
        """A recipe's own parallel text; else the catalogue's files that both languages have."""
        if code in self._own_parallel:
            left, right = (str(own_file(name, self.data, self.beside)) for name in self._own_parallel[code])
            files = [ParallelFiles(source=left, target=right)]
        else:
            theirs, own = (self._parallel_files(c) for c in (source, code))
            files = [
                ParallelFiles(source=str(theirs[name][1]), target=str(path), name=name, licence=about.licence)
                for name, (about, path) in own.items()
                if name in theirs
            ]
        if not files:
            return None
        digests = [self._digest(Path(path)) for f in files for path in (f.source, f.target)]
        return ParallelText(source=source, target=code, files=tuple(files), digests=tuple(digests))

    def _parallel_files(self, code: str) -> dict[str, tuple[TextSource, Path]]:
        """A language's parallel text that is there, by source; the first file of each."""
        found: dict[str, tuple[TextSource, Path]] = {}
        for about, path in files_there(self.language(code), self.data):
            if about.parallel:
                found.setdefault(about.name, (about, path))
        return found

    def alignment(self, code: str) -> Alignment:
        source, settings = self.language(self.recipe.source[0]).code, self.recipe.language_adapter
        parallel = self.parallel(source, code)
        if parallel is None:
            raise InputError(
                f"madx-aligned: '{code}' has no parallel text with '{source}'; give it some ([parallel] {code} = "
                f'["SOURCE_FILE", "FILE"]) or leave it out ([limit.madx-aligned] targets = [...])'
            )
        return Alignment(
            parallel=parallel,
            toward=self.language_stage(source),
            weight=settings.alignment_weight,
            pairs=settings.alignment_pairs,
        )

    def language_stage(self, code: str, full: bool = False, aligned: bool = False) -> LanguageStage | ImportedAdapter:
        key = (code, full, aligned)
        if key not in self._languages:
            self._languages[key] = self._new_language_stage(*key)
        return self._languages[key]

    def _new_language_stage(self, code: str, full: bool, aligned: bool) -> LanguageStage | ImportedAdapter:
        settings = self.recipe.language_adapter
        if code in self._imported and not full and not aligned:
            address = parse_address(self._imported[code], beside=self.beside)
            try:
                folder = fetch(address)
                check(folder, self.encoder.digest)
            except InputError as error:
                raise InputError(f"language_adapters.{code}: {error}") from None
            return ImportedAdapter(
                encoder=self.encoder,
                language=code,
                origin=str(address),
                folder=str(folder),
                digests=digests_of(folder),
            )
        return LanguageStage(
            encoder=self.encoder,
            text=self.text(code),
            adapter=None if full else settings.spec,
            schedule=Schedule(
                steps=settings.steps,
                learning_rate=self.recipe.full.mlm_learning_rate if full else settings.learning_rate,
                warm_up=settings.warm_up,
            ),
            batch_tokens=settings.batch_tokens,
            alignment=self.alignment(code) if aligned else None,
            softmax="full" if full else settings.softmax,  # a trained decoder can't be cut
            seed=settings.seed,
        )

    def labelled(self, task: TaskSpec, code: str, split: Split) -> LabelledData | None:
        key = (task.name, code, split)
        if key not in self._labelled:
            self._labelled[key] = labelled_data(task, code, split, self.data, self.language(code).has_spaces)
        return self._labelled[key]

    def task_stage(self, task: TaskSpec, row: Row, target: str, targets: list[str], seed: int) -> TaskStage:
        settings = self.recipe.task_adapter
        sources = [self.language(name).code for name in self.recipe.source]
        train = [self.labelled(task, code, "train") for code in sources]
        for code, data in zip(sources, train, strict=True):
            if data is None:
                raise InputError(f"task '{task.name}' has no training data for the source language '{code}'")
        dev = [self.labelled(task, code, "dev") for code in sources]
        below = {"source": sources, "source and targets": [*sources, *targets], "none": []}[row.below]
        full = row.trains == "full"
        start = self.language_stage(target, full=True) if row.target_mlm_first else None
        assert not isinstance(start, ImportedAdapter)
        return TaskStage(
            encoder=self.encoder,
            train=tuple(d for d in train if d),
            dev=tuple(d for d in dev if d),
            method=Full() if full else TaskAdapter(spec=settings.spec),
            below=tuple(self.language_stage(code) for code in dict.fromkeys(below)),
            cycle=row.below == "source and targets",
            start=start,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=self.recipe.full.learning_rate if full else settings.learning_rate,
            warm_up=settings.warm_up,
            max_length=settings.max_length,
            checkpoint=settings.checkpoint,
            lower_layers="run" if full or row.below == "source and targets" else settings.lower_layers,
            seed=seed,
        )

    def targets_of(self, task: TaskSpec) -> list[str]:
        """The recipe's targets; "all": every language with a test set, and with text where a method needs it."""
        sources = {self.language(name).code for name in self.recipe.source}
        if self.recipe.targets != "all":
            codes = [self.language(name).code for name in self.recipe.targets]
            for code in codes:
                if self.labelled(task, code, "test") is None:
                    raise InputError(
                        f"task '{task.name}' has no test set for target '{code}' ({self.language(code).name})"
                    )
            return [code for code in dict.fromkeys(codes) if code not in sources]
        needs_text = any(GRID[m].evaluated_with == "target" or GRID[m].target_mlm_first for m in self.recipe.methods)
        codes = [code for code in task.test_languages() if code not in sources]
        without = [code for code in codes if needs_text and not self.sources(code) and code not in self._imported]
        if without:
            self.notes.append(f"{task.name}: no text for {', '.join(without)}; left out")
        return [code for code in codes if code not in without]

    def plan(self) -> Plan:
        cells = [cell for name in self.recipe.tasks for cell in self._cells(self.catalogue.task(name))]
        steps: dict[str, Step] = {}

        def add(step: Step) -> None:
            steps.setdefault(step_name(step), step)

        tasks = list({step_name(c.evaluation.task): c.evaluation.task for c in cells}.values())
        swapped = [c.evaluation.language for c in cells if c.evaluation.language is not None]
        languages = [a for task in tasks for a in (*task.below, *([task.start] if task.start else []))] + swapped
        for adapter in languages:  # texts and ready-made adapters first: bad input is found before any training
            add(adapter.text if isinstance(adapter, LanguageStage) else adapter)
        for step in (*languages, *tasks, *(c.evaluation for c in cells)):
            add(step)
        return Plan(self.recipe, self.encoder, tuple(steps.items()), tuple(cells), tuple(self.notes))

    def _cells(self, task: TaskSpec) -> list[Cell]:
        sources = [self.language(name).code for name in self.recipe.source]
        targets = self.targets_of(task)
        tested_sources = [code for code in sources if self.labelled(task, code, "test") is not None]
        cells = []
        for method in self.recipe.methods:
            row, limit = GRID[method], self.recipe.limit.get(method)
            seeds = limit.seeds if limit and limit.seeds else self.recipe.seeds
            wanted = {self.language(t).code for t in limit.targets} if limit and limit.targets else set(targets)
            for seed in seeds:
                for target in [*targets, *([] if row.target_mlm_first else tested_sources)]:
                    if target in targets and target not in wanted:
                        continue
                    if row.aligned and self.recipe.targets == "all" and self.parallel(sources[0], target) is None:
                        continue
                    stage = self.task_stage(task, row, target, [t for t in targets if t in wanted], seed)
                    code = {"target": target, "source": sources[0], "none": None}[row.evaluated_with]
                    test = self.labelled(task, target, "test")
                    assert test is not None
                    aligned = row.aligned and code not in sources
                    language = self.language_stage(code, aligned=aligned) if code else None
                    weights = self.recipe.evaluation.weights
                    evaluation = Evaluation(task=stage, language=language, test=test, weights=weights)
                    cells.append(Cell(task.name, method, target, seed, evaluation))
        return cells


def check_inputs(plan: Plan, is_done: Callable[[str], bool]) -> None:
    """Read every labelled and parallel file that is still needed, before any training. Raises InputError."""
    for name, step in plan.steps:
        if isinstance(step, LanguageStage) and step.alignment and not is_done(name):
            step.alignment.parallel.pairs()
    seen: set[str] = set()
    for cell in plan.cells:
        if is_done(step_name(cell.evaluation)):
            continue
        stage = cell.evaluation.task
        for data in (*stage.train, *stage.dev, cell.evaluation.test):
            key = "|".join((data.task.name, data.split, *data.files, str(data.hub)))
            if key not in seen:
                seen.add(key)
                data.load()
