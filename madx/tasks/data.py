"""Labelled data of one language and split, named by its content."""

from collections import Counter
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from madx.catalog.task import HubData, TaskSpec
from madx.config import PLACE, Frozen, InputError, file_digest
from madx.corpora.documents import find_file
from madx.corpora.romanise import everywhere, romaniser
from madx.tasks.examples import Example, Reading
from madx.tasks.kinds import Kind, kind_of

Split = Literal["train", "dev", "test"]


LONG = 200  # words, which no sentence has


class Statement(Frozen):
    """What a labelled data set was found to hold; `str` says it in a line."""

    task: str
    language: str
    split: Split
    sizes: dict[str, int]  # sentences and words, examples, questions
    labels: dict[str, int]  # how often each is seen
    unseen: tuple[str, ...]  # the task's labels that aren't
    layout: str  # what the files were recognised as
    skipped: dict[str, int]  # what is in them and is no word or example

    def __str__(self) -> str:
        """`pos eng train: 12,544 sentences, 204,607 words, 17 labels, CoNLL-U`"""
        parts = [f"{count:,} {what}" for what, count in self.sizes.items()]
        if self.labels:
            of = f" of {len(self.labels) + len(self.unseen)}" if self.unseen else ""
            parts.append(f"{len(self.labels)}{of} labels")
        parts.append(self.layout)
        if self.sizes.get("sentences") == 1 and self.sizes.get("words", 0) > LONG:
            parts.append("as one sentence: are the blank lines between sentences missing?")
        if self.skipped:
            parts.append("passed over: " + ", ".join(f"{count:,} {what}" for what, count in self.skipped.items()))
        return f"{self.task} {self.language} {self.split}: {', '.join(parts)}"


class LabelledData(Frozen):
    """Files (or a Hub data set) with their digests."""

    version: ClassVar[int] = 2  # 2: tag schemes are converted, columns and quoting recognised
    task: TaskSpec
    language: str
    has_spaces: bool
    split: Split
    files: Annotated[tuple[str, ...], PLACE]
    digests: tuple[str, ...]
    hub: HubData | None = None
    romanised: bool = False

    @property
    def kind(self) -> Kind:
        return kind_of(self.task)

    def load(self) -> list[Example]:
        """Raises InputError with file:line for what can't be right."""
        return self.read().examples

    def read(self) -> Reading:
        """The examples, and what was recognised and passed over: see `statement`. Raises InputError with file:line."""
        if not self.files and self.hub is not None:
            readings = [self.kind.read_hub(self.hub, self.split, self.task)]
        else:
            readings = [self.kind.read(Path(file), self.task) for file in self.files]
        examples = [example for reading in readings for example in reading.examples]
        if not examples:
            raise InputError(f"{', '.join(self.files) or self.hub}: no examples")
        if len(readings) > 1:  # ids are unique over several files
            examples = [e._replace(id=str(i)) for i, e in enumerate(examples)]
        if self.romanised:
            change = romaniser(self.language)
            examples = [e._replace(inputs=everywhere(change, e.inputs)) for e in examples]
        layout = "; ".join(dict.fromkeys(reading.layout for reading in readings))
        layout += ", labels by [read_as]" if self.task.read_as else ""
        return Reading(examples, layout, sum((reading.skipped for reading in readings), Counter()))

    def statement(self, reading: Reading) -> Statement:
        """What was read, for people and as data."""
        sizes, labels = self.kind.contents(reading.examples)
        unseen = tuple(label for label in self.task.labels if label not in labels)
        return Statement(
            task=self.task.name, language=self.language, split=self.split, sizes=sizes,
            labels=dict(sorted(labels.items())), unseen=unseen, layout=reading.layout,
            skipped={what: count for what, count in reading.skipped.items() if count},
        )  # fmt: skip


def with_images(task: TaskSpec, data: Path | None, beside: Path | None = None) -> TaskSpec:
    """The task with its files of images found and named by what they hold. Raises InputError."""
    files = [find_file(name, data, beside) for name in task.images]
    changed = {"images": tuple(map(str, files)), "image_digests": tuple(map(file_digest, files))}
    return task.model_copy(update=changed) if files else task


def labelled_data(
    task: TaskSpec,
    language: str,
    split: Split,
    data: Path | None,
    has_spaces: bool = True,
    beside: Path | None = None,
) -> LabelledData | None:
    """The split of a language, or None where the task has none. Files win over the Hub where they are there."""
    splits = task.data.get(language)
    if splits is None:
        return None
    names, hub = getattr(splits, split), task.hub_data(language)
    if names:
        try:
            files = [find_file(name, data, beside) for name in names]
        except InputError:
            if hub is None:
                raise
        else:
            return LabelledData(
                task=task, language=language, has_spaces=has_spaces, split=split,
                files=tuple(map(str, files)), digests=tuple(map(file_digest, files)),
            )  # fmt: skip
    if hub is None:
        return None
    # without a pinned revision the name is all there is
    return LabelledData(task=task, language=language, has_spaces=has_spaces, split=split, files=(), digests=(), hub=hub)
