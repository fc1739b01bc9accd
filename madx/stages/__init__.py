"""The three arrows of MAD-X: language.py, task.py, evaluate.py. They read as the paper does."""

from madx.stages.evaluate import Evaluation
from madx.stages.language import ImportedAdapter, LanguageStage
from madx.stages.task import TaskStage

__all__ = ["Evaluation", "ImportedAdapter", "LanguageStage", "TaskStage"]
