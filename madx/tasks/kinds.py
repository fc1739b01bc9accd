"""The four kinds of task, by the name that a task's file uses. Each is a module with the same functions.

`read_positions(batch)` says where a task reads the encoder: rows and columns, or None for everywhere. `summed_loss` and
`decode` get the states there: (M, D), or (B, T, D).
"""

from types import ModuleType

from madx.tasks import classification, multiple_choice, question_answering, tagging

KINDS: dict[str, ModuleType] = {
    "tagging": tagging,
    "classification": classification,
    "multiple-choice": multiple_choice,
    "question-answering": question_answering,
}
