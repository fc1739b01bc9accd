"""A step of a plan: a frozen value that makes a folder, named by everything that goes into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from madx.config import Frozen

if TYPE_CHECKING:
    from madx.encoders.encoder import Encoder
    from madx.methods.method import Stored
    from madx.stages.session import Session

Result = dict[str, Any]  # what a step reports: plain values, for done.json


class Step(Frozen):
    """Its fields are its entire input, the steps that it stands on among them."""

    stage: ClassVar[str]

    @property
    def subject(self) -> str:
        """The language or task that it is about."""
        raise NotImplementedError

    def check(self, session: Session) -> None:
        """What can be known to be wrong before any work. Raises InputError."""

    def run(self, folder: Path, session: Session) -> Result:
        """Make the folder's files from those of `upstream`; what there is to report. Raises InputError or RunError."""
        raise NotImplementedError

    @cached_property
    def name(self) -> str:
        """`<stage>-<language or task>-<digest>`; an upstream step is a field, so its name goes into this one."""
        return f"{self.stage}-{self.subject}-{self.digest_of_fields}"

    @cached_property
    def upstream(self) -> tuple[Step, ...]:
        """The steps among its fields, in their order, wherever they stand in them."""
        return tuple(dict.fromkeys(found for name in type(self).model_fields for found in _steps(getattr(self, name))))

    def __hash__(self) -> int:
        return hash(self.name)


class AdapterStep(Step):
    """A step whose folder holds the adapter of a language, its subject; or what stands for one."""

    @property
    def stored(self) -> Stored:
        """What its folder holds."""
        return "adapter"

    @property
    def each(self) -> tuple[AdapterStep, ...]:
        """The steps whose folders are loaded, in the order in which they are stacked."""
        return (self,)

    def attach(self, encoder: Encoder, session: Session) -> str:
        """Put the finished adapter into the encoder, frozen; its name there."""
        from madx.formats.adapterhub import load_adapter

        name, adapter = load_adapter(session.folder(self), encoder, load_as=self.subject)
        # frozen: nothing is saved or computed for gradients below the task adapter
        adapter.requires_grad_(False)
        return name


def _steps(value: object) -> Iterator[Step]:
    if isinstance(value, Step):
        yield value
    elif isinstance(value, Frozen):
        for name in type(value).model_fields:
            yield from _steps(getattr(value, name))
    elif isinstance(value, tuple):
        for part in value:
            yield from _steps(part)


def closure(steps: Iterable[Step]) -> list[Step]:
    """The steps and all that they stand on, each once, after what it stands on."""
    found: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.name not in found:
            for below in step.upstream:
                visit(below)
            found[step.name] = step

    for step in steps:
        visit(step)
    return list(found.values())
