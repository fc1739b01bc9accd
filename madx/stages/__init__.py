"""The three arrows of MAD-X: language.py, task.py, evaluate.py. They read as the paper does."""

from madx.stages.evaluate import Evaluation
from madx.stages.language import ImportedAdapter, LanguageStage
from madx.stages.task import TaskStage

__all__ = ["Evaluation", "ImportedAdapter", "LanguageStage", "TaskStage"]

# an Evaluation names the stage above it, which is defined with its help (the dev set is scored as a test set is)
Evaluation.model_rebuild(_types_namespace={"TaskStage": TaskStage})
