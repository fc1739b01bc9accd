"""A recipe's targets: named, or described instead: `all`, `seen`, `unseen`, `script:Cyrl`, `family:Bantu`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from madx.catalog.find import Catalogue
from madx.catalog.language import Language
from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.encoders.reference import seen_as
from madx.pipeline.grid import GRID

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner

PLAIN = ("all", "seen", "unseen")
MARKED = ("script:", "family:")


def is_filter(name: str) -> bool:
    return name in PLAIN or name.startswith(MARKED)


def filtered(filters: Sequence[str], codes: Sequence[str], catalogue: Catalogue, encoder: str) -> list[str]:
    """The languages that some filter takes, in their order.

    Raises InputError for a filter that takes none of them, and for `seen` and `unseen` where what the encoder was
    pretrained on isn't known.
    """
    taken = set()
    for name in filters:
        own = [code for code in codes if _takes(name, catalogue.language(code), encoder)]
        if not own:
            raise InputError(f"targets: '{name}' is none of the {len(codes)} languages that have what the task needs")
        taken.update(own)
    return [code for code in codes if code in taken]


def _takes(name: str, language: Language, encoder: str) -> bool:
    kind, _, value = name.partition(":")
    if kind == "script":
        return language.script.lower() == value.lower()
    if kind == "family":
        return value.lower() in (branch.lower() for branch in language.family)
    if kind == "all":
        return True
    group = seen_as(encoder)
    if group is None:
        raise InputError(f"targets: '{name}': which languages '{encoder}' was pretrained on isn't known; name them")
    return (group in language.seen_by) == (kind == "seen")


class Targets:
    """Of each task and method: the recipe's, unless a method is held away; described ones where there is a test set
    and what the method needs.
    """

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self._found: dict[tuple[str, str], list[str]] = {}

    def of(self, task: TaskSpec, method: str) -> list[str]:
        key = (task.name, method)
        if key not in self._found:
            self._found[key] = self._of(task, method)
        return self._found[key]

    @cached_property
    def named(self) -> list[str]:
        """Those that the recipe has by name."""
        names = [name for name in self.planner.recipe.target_list if not is_filter(name)]
        return list(dict.fromkeys(self.planner.catalogue.language(name, "targets").code for name in names))

    def _of(self, task: TaskSpec, method: str) -> list[str]:
        planner, row = self.planner, GRID[method]
        limit = planner.recipe.limit.get(method)
        codes = self._named_of(task)
        if filters := [name for name in planner.recipe.target_list if is_filter(name)]:
            described = filtered(filters, self._all_of(task), planner.catalogue, planner.encoder.name)
            possible = [code for code in described if not row.needs_text or row.possible(planner, code)]
            codes = list(dict.fromkeys([*codes, *possible]))
        if limit and limit.targets:
            wanted = {planner.catalogue.language(name, f"limit.{method}.targets").code for name in limit.targets}
            if not filters and (other := sorted(wanted - {*self.named, *planner.source_codes})):
                raise InputError(f"limit.{method}.targets: '{other[0]}' is none of the recipe's targets")
            codes = [code for code in codes if code in wanted]
        return codes

    def _named_of(self, task: TaskSpec) -> list[str]:
        """A target needs no labels: without a test set it is trained and predicted for, and has no score."""
        targets = [code for code in self.named if code not in self.planner.source_codes]
        without = [code for code in targets if self.planner.labelled(task, code, "test") is None]
        if without:
            self.planner.note(
                f"{task.name}: no test set for {', '.join(without)}; trained and predicted for, not scored"
            )
        return targets

    def _all_of(self, task: TaskSpec) -> list[str]:
        codes = [code for code in task.test_languages() if code not in self.planner.source_codes]
        if not any(GRID[method].needs_text for method in self.planner.recipe.methods):
            return codes
        without = [code for code in codes if not self.planner.has_adapter_or_text(code)]
        if without:
            self.planner.note(f"{task.name}: no text for {', '.join(without)}; left out")
        return [code for code in codes if code not in without]
