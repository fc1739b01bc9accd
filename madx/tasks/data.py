"""Labelled data of one language and split, named by its content."""

from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from madx.catalog.task import HubData, TaskSpec
from madx.config import Frozen, InputError, file_digest
from madx.corpora.documents import find_file
from madx.tasks.examples import Example
from madx.tasks.kinds import KINDS

Split = Literal["train", "dev", "test"]


class LabelledData(Frozen):
    """Files (or a Hub data set) with their digests. `task` holds no other language's data."""

    task: TaskSpec
    language: str
    has_spaces: bool
    split: Split
    files: tuple[str, ...]
    digests: tuple[str, ...]
    hub: HubData | None = None

    def identity(self) -> dict[str, Any]:
        """Everything but where the files lie."""
        return self.model_dump(exclude={"files"})

    @property
    def kind(self) -> ModuleType:
        return KINDS[self.task.kind]

    def load(self) -> list[Example]:
        """Raises InputError with file:line for what can't be right."""
        if not self.files and self.hub is not None:
            return self.kind.read_hub(self.hub, self.split, self.task)  # type: ignore[no-any-return]
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
    bare = task.model_copy(
        update={"data": {}, "hub": None, "description": "", "licence": "", "noncommercial": (), "source": ""}
    )
    names, hub = getattr(splits, split), task.hub_data(language)
    if names:
        try:
            files = [find_file(name, data) for name in names]
        except InputError:
            if hub is None:
                raise
        else:
            return LabelledData(
                task=bare, language=language, has_spaces=has_spaces, split=split,
                files=tuple(map(str, files)), digests=tuple(map(file_digest, files)),
            )  # fmt: skip
    if hub is None:
        return None
    # without a pinned revision the name is all there is
    return LabelledData(task=bare, language=language, has_spaces=has_spaces, split=split, files=(), digests=(), hub=hub)
