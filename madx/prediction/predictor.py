"""A predictor: an encoder, a task's model and languages' adapters, loaded once and kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self
from weakref import finalize

from madx.adapters.setup import Stack
from madx.config import InputError
from madx.corpora.romanise import everywhere, romaniser
from madx.device import choose_device, choose_precision
from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from madx.methods.loading import LOADED_BY
from madx.prediction.models import Chosen
from madx.prediction.on_top import choose_or_own, put_on_top
from madx.prediction.records import Reader, Record
from madx.stages.task_model import TaskModel, in_encoder
from madx.tasks.batches import Tokens
from madx.tasks.data import with_images
from madx.tasks.examples import Example
from madx.tasks.kinds import kind_of

STACKED = "the language's"  # in the encoder, what is stacked for the language at hand


class Labelled(NamedTuple):
    """A record and what was predicted: of each sentence, or of the row; (value, what is told beside it)."""

    record: Record
    predicted: list[tuple[Any, dict[str, Any]]]
    tokens: int = 0  # that the encoder read of it ...
    unknown: int = 0  # ... and which of them it doesn't know


class Predictor:
    """Labels text with what a run has trained, or with a published task adapter. Load once, predict often.

    `origin`: a run's folder, a task adapter's folder or address, or a person's own (`madx personal`). `task`, `method`,
    `seed`: of a run, where it has several; None: the best on the source's dev set. `adapters`: further languages'
    adapters, language to address. `images`: of a retrieval task, the files whose images are searched.
    It closes itself when nothing needs it any more, or at the end of a `with`.
    Raises InputError in one line.
    """

    def __init__(
        self,
        origin: str | Path,
        task: str | None = None,
        *,
        method: str | None = None,
        seed: int | None = None,
        adapters: Mapping[str, str] | None = None,
        images: Sequence[str | Path] = (),
        device: str = "auto",
    ) -> None:
        self.chosen: Chosen = choose_or_own(str(origin), task, method, seed, adapters or {})
        if images:
            searched = self.chosen.task.model_copy(update={"images": tuple(map(str, images))})
            self.chosen = self.chosen._replace(task=with_images(searched, None))
        where = choose_device(device)
        ref = resolve_encoder(self.chosen.encoder)
        made_on = self.chosen.digest or ref.digest
        if made_on != ref.digest and made_on.partition(":")[0] == ref.digest.partition(":")[0]:
            raise InputError(f"{origin}: trained on other weights of {ref.name} than those that are here")
        ref = ref.model_copy(update={"precision": choose_precision("auto", where)})
        self.encoder = load_encoder(ref, where, ref.precision)
        self.method = LOADED_BY[self.chosen.trains]
        self.kind = kind_of(self.chosen.task)
        self._tokens = Tokens(self.encoder.tokenizer, self.encoder.max_length)
        self._loaded: tuple[Path, TaskModel] | None = None
        self._names: dict[Path, str] = {}  # of the languages' parts that are in the encoder
        self._borrowed = ExitStack()
        finalize(self, self._borrowed.close)  # at the interpreter's end too, while there is still what it takes
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reader(self, pretokenized: bool = False) -> Reader:
        """What reads text and rows for this task."""
        return Reader(self.chosen.task, self._tokens.pieces, pretokenized)

    def predict(
        self, items: Iterable[str | Mapping[str, Any]], language: str | None = None, *, pretokenized: bool = False
    ) -> list[dict[str, Any]]:
        """Each item with its key `prediction`, as `madx predict` writes JSON lines (docs/predict.md).

        `items`: texts, or rows {"text": ...} or {"tokens": [...]} or what the task needs; a row's `language` wins over
        `language`. `pretokenized`: a text is a sentence, blanks part its words. Raises InputError with the item's
        number, from 1.
        """
        from madx.prediction.writers import as_row

        if isinstance(items, str):
            raise InputError("items: one text; a list of texts is wanted, [text] for one")
        reader = self.reader(pretokenized)
        records = [reader.record(item, f"item {number}") for number, item in enumerate(items, 1)]
        return [as_row(labelled, self.chosen.task) for labelled in self.label(records, language)]

    def check(self, records: Sequence[Record], language: str | None) -> None:
        """Whether there is a model for every record's language, before any work. Raises InputError."""
        for record in records:
            if not record.is_blank:
                self.chosen.folders(record.language or language, record.where)

    def label(self, records: Sequence[Record], language: str | None) -> list[Labelled]:
        """Records in their order; those of a language are computed together. Raises InputError."""
        self.check(records, language)
        groups: dict[str | None, list[int]] = {}
        for number, record in enumerate(records):
            if not record.is_blank:
                groups.setdefault(record.language or language, []).append(number)
        found = [Labelled(record, []) for record in records]
        with self._lock:
            for code, numbers in groups.items():
                model = self.ready(code, records[numbers[0]].where)
                inputs = [(n, given) for n in numbers for given in self._inputs(records[n])]
                read = self.chosen.folders(code, records[numbers[0]].where).romanised
                if read is not None:  # the encoder alone: a person gets back what was given
                    inputs = [(n, everywhere(romaniser(read), given)) for n, given in inputs]
                examples = [Example(str(i), given, None) for i, (_, given) in enumerate(inputs)]
                features = model.features(examples)
                for (number, _), told in zip(inputs, model.explain(examples, features), strict=True):
                    found[number].predicted.append(told)
                for feature in features:
                    number = inputs[feature.example][0]
                    tokens, unknown = model.tokens.known(feature.sequences)
                    found[number] = found[number]._replace(
                        tokens=found[number].tokens + tokens, unknown=found[number].unknown + unknown
                    )
        return found

    def _inputs(self, record: Record) -> list[Any]:
        return [sentence.words for sentence in record.sentences] if self.kind.OF_WORDS else [record.inputs]

    def ready(self, language: str | None, where: str) -> TaskModel:
        """The task's model over this language's adapter."""
        folders = self.chosen.folders(language, where)
        if self._loaded is None or self._loaded[0] != folders.task:
            self.close()
            self._borrowed.enter_context(self.method.borrowed(self.encoder))
            name = in_encoder(self.chosen.task.name)
            self.method.load(folders.task, self.encoder, name)
            _, head = self.kind.load_head(folders.task, self.encoder)
            if self.chosen.own is not None:
                name = put_on_top(self.encoder, name, folders.task, self.chosen.own)
            length = self.chosen.max_length
            model = TaskModel(self.encoder, self.method, self.chosen.task, head.eval(), length, called=name)
            model.adapts = self.chosen.adapts
            self._loaded = folders.task, model
        for folder, stored in folders.below:
            if folder not in self._names:
                name = f"language {len(self._names)}"
                LOADED_BY[stored].load(folder, self.encoder, name)
                self._names[folder] = name
        self.encoder.setups[STACKED] = Stack(*(self._names[folder] for folder, _ in folders.below))
        self._loaded[1].retarget(self.below(language))
        return self._loaded[1]

    def below(self, language: str | None) -> str | None:
        """What is stacked for a language that is `ready`, by its name in the encoder; None: nothing."""
        return STACKED if self.chosen.folders(language, "").below else None

    def close(self) -> None:
        """Take everything out of the encoder."""
        self._loaded, self._names = None, {}
        self._borrowed.close()
