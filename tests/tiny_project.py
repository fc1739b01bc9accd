"""A user's folder with all that a run needs, in small; the sentences are our own."""

from pathlib import Path

ENGLISH = [
    ("the dog sleeps", "DET NOUN VERB"),
    ("a cat eats fish", "DET NOUN VERB NOUN"),
    ("two birds sing", "NUM NOUN VERB"),
    ("the old man reads a book", "DET ADJ NOUN VERB DET NOUN"),
    ("she walks home", "PRON VERB NOUN"),
    ("we see the sea", "PRON VERB DET NOUN"),
]
RECIPE = """
name = "tiny"
model = "{model}"
tasks = ["tags"]
source = "eng"
targets = ["swe"]
methods = ["madx", "tlr", "source-adapter", "no-language-adapter", "task-only", "full", "full-target-mlm"]
seeds = [1, 2]

[text]
eng = "eng.txt"
swe = "swe.txt"

[language_adapter]
steps = 12
batch_tokens = 128
max_length = 16

[task_adapter]
epochs = 3
batch_size = 4

[evaluation]
bootstrap = 50
"""
TASK = """
kind = "tagging"
metric = "accuracy"
labels = ["ADJ", "DET", "NOUN", "NUM", "PRON", "VERB"]

[data.eng]
train = "eng.tsv"
dev = "eng.tsv"
test = "eng.tsv"
[data.swe]
test = "swe.tsv"
"""


def labelled(rows: list[tuple[str, str]]) -> str:
    return "".join(
        "".join(f"{w}\t{t}\n" for w, t in zip(words.split(), tags.split(), strict=True)) + "\n" for words, tags in rows
    )


def write_project(folder: Path, model: Path) -> Path:
    """A user's folder: recipe.toml, text, labels, tasks/tags.toml."""
    (folder / "tasks").mkdir()
    (folder / "tasks" / "tags.toml").write_text(TASK)
    (folder / "recipe.toml").write_text(RECIPE.format(model=model))
    (folder / "eng.tsv").write_text(labelled(ENGLISH * 3))
    (folder / "swe.tsv").write_text(labelled([("hunden sover", "NOUN VERB"), ("en katt äter", "DET NOUN VERB")]))
    for code, words in (("eng", "the dog sees a house near the sea"), ("swe", "hunden ser ett hus nära havet")):
        lines = [f"{words} {i} gånger {i * 7 % 13} och {i * i} igen" for i in range(250)]
        (folder / f"{code}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
