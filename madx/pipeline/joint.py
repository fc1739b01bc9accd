"""What is trained for all of a recipe's languages together: the tree's adapters, and the generator."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from madx.catalog.language import Language
from madx.catalog.typology import features_of, values_of
from madx.catalog.uriel import vector_of
from madx.config import InputError
from madx.methods.hyper import HyperX
from madx.stages.generator import Described, GeneratedAdapter, GeneratorStage
from madx.stages.hyper import TextsBeside
from madx.stages.stacked import Stacked
from madx.stages.text import TextStage
from madx.stages.tree import NodeAdapter, TreeStage, path_of
from madx.training.fit import Schedule

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner


class Joint:
    """On the text of the recipe's sources, of its targets that have some, and of its `relatives`."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    @cached_property
    def languages(self) -> list[Language]:
        found = [self.planner.language(code) for code in self.planner.languages_with_text]
        if len(found) < 2:
            raise InputError(
                "hierarchical and generated adapters are trained on several languages' text; name `relatives`"
            )
        return found

    @cached_property
    def tree(self) -> TreeStage:
        return TreeStage(
            paths=tuple(map(path_of, self.languages)),
            spec=self.planner.recipe.language_adapter.spec.model_copy(update=self._size),
            **self._training,
        )

    def knows(self, code: str) -> bool:
        """Whether any node of a language's path has been trained."""
        return bool(self._path(code))

    def branch(self, code: str) -> Stacked:
        path = self._path(code)
        if not path:
            raise InputError(
                f"hierarchical: '{code}' has no text, and no language of its family is in the recipe; name some in "
                "`relatives`, or leave it out ([limit.hierarchical] targets = [...])"
            )
        return Stacked(called=code, parts=tuple(NodeAdapter(tree=self.tree, node=node) for node in path))

    def _path(self, code: str) -> tuple[str, ...]:
        nodes = {node for language in self.languages for node in path_of(language)}
        return tuple(node for node in path_of(self.planner.language(code)) if node in nodes)

    @cached_property
    def generator(self) -> GeneratorStage:
        settings = self.planner.recipe.joint
        return GeneratorStage(
            described=tuple(map(self._described, self.languages)),
            spec=self.planner.recipe.language_adapter.spec.model_copy(update={**self._size, "invertible": None}),
            layer_shared=settings.layer_shared,
            **self._training,
        )

    @property
    def hyper(self) -> HyperX:
        planner, codes = self.planner, [language.code for language in self.languages]
        without = [code for code in planner.source_codes if code not in codes]
        if without:
            raise InputError(f"hyper-x: the source {', '.join(without)} has no text; it is trained on text of all")
        return HyperX(spec=planner.recipe.task_adapter.spec.model_copy(update=self._size), languages=tuple(codes))

    @property
    def texts_beside(self) -> TextsBeside:
        settings = self.planner.recipe.language_adapter
        return TextsBeside(
            texts=self._texts,
            updates=self.planner.recipe.joint.text_updates,
            batch_tokens=settings.batch_tokens,
            alpha=self.planner.recipe.joint.alpha,
            softmax=settings.softmax,
        )

    def generated(self, code: str) -> GeneratedAdapter:
        return GeneratedAdapter(generator=self.generator, described=self._described(self.planner.language(code)))

    def _described(self, language: Language) -> Described:
        if self.planner.recipe.joint.typology == "uriel":
            return Described(language=language.code, values=vector_of(language.code))
        return Described(language=language.code, values=values_of(language, features_of(self.languages)))

    @property
    def _training(self) -> dict[str, Any]:
        """What both joint stages are trained with."""
        settings = self.planner.recipe.language_adapter
        return {
            "encoder": self.planner.encoder,
            "texts": self._texts,
            "schedule": self._schedule,
            "batch_tokens": settings.batch_tokens,
            "softmax": settings.softmax,
            "alpha": self.planner.recipe.joint.alpha,
            "seed": settings.seed,
        }

    @property
    def _texts(self) -> tuple[TextStage, ...]:
        return tuple(self.planner.text(language.code) for language in self.languages)

    @property
    def _size(self) -> dict[str, object]:
        return {"reduction_factor": self.planner.recipe.joint.reduction_factor}

    @property
    def _schedule(self) -> Schedule:
        settings, steps = self.planner.recipe.language_adapter, self.planner.recipe.joint.steps
        return Schedule(
            steps=steps or settings.steps * len(self.languages),
            learning_rate=settings.learning_rate,
            warm_up=settings.warm_up,
        )
