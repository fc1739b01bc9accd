"""The four kinds of task, by the name that a task's file uses. Each is a module with the same functions."""

from types import ModuleType

from madx.tasks import classification, multiple_choice, question_answering, tagging

KINDS: dict[str, ModuleType] = {
    "tagging": tagging,
    "classification": classification,
    "multiple-choice": multiple_choice,
    "question-answering": question_answering,
}
