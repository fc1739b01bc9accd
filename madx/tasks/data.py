"""Labelled data of one language and split, named by its content."""

from pathlib import Path
from typing import Annotated, Literal

from madx.catalog.task import HubData, TaskSpec
from madx.config import PLACE, Frozen, InputError, file_digest
from madx.corpora.documents import find_file
from madx.tasks.examples import Example
from madx.tasks.kinds import Kind, kind_of

Split = Literal["train", "dev", "test"]


class LabelledData(Frozen):
    """Files (or a Hub data set) with their digests."""

    task: TaskSpec
    language: str
    has_spaces: bool
    split: Split
    files: Annotated[tuple[str, ...], PLACE]
    digests: tuple[str, ...]
    hub: HubData | None = None

    @property
    def kind(self) -> Kind:
        return kind_of(self.task)

    def load(self) -> list[Example]:
        """Raises InputError with file:line for what can't be right."""
        if not self.files and self.hub is not None:
            return self.kind.read_hub(self.hub, self.split, self.task)
        examples = [example for file in self.files for example in self.kind.read(Path(file), self.task)]
        if not examples:
            raise InputError(f"{', '.join(self.files)}: no examples")
        # ids are unique over several files
        return [e if len(self.files) == 1 else e._replace(id=str(i)) for i, e in enumerate(examples)]


def labelled_data(
    task: TaskSpec, language: str, split: Split, data: Path | None, has_spaces: bool = True
) -> LabelledData | None:
    """The split of a language, or None where the task has none. Files win over the Hub where they are there."""
    splits = task.data.get(language)
    if splits is None:
        return None
    names, hub = getattr(splits, split), task.hub_data(language)
    if names:
        try:
            files = [find_file(name, data) for name in names]
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
