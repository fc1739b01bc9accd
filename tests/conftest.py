"""Tiny random encoders of every family, with a small tokenizer of their own; and a tiny project to run."""

import os
import signal

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported
os.environ["MADX_JOBS"] = "1"  # a helper takes seconds to start

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny_encoders import FAMILIES, make_encoder

from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder

torch.set_num_threads(1)
# who starts the tests in the background may have had SIGINT ignored, for them and for what they start
signal.signal(signal.SIGINT, signal.default_int_handler)
ENGLISH = [
    ("the dog sleeps", "DET NOUN VERB"),
    ("a cat eats fish", "DET NOUN VERB NOUN"),
    ("two birds sing", "NUM NOUN VERB"),
    ("the old man reads a book", "DET ADJ NOUN VERB DET NOUN"),
    ("she walks home", "PRON VERB NOUN"),
    ("we see the sea", "PRON VERB DET NOUN"),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Whatever a test's commands have asked for in this process."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = make_encoder(tmp_path_factory.mktemp(model_type), model_type)
        return made[model_type]

    return folder


@pytest.fixture(params=sorted(FAMILIES))
def encoder(request: pytest.FixtureRequest, encoder_folder: Callable[[str], Path]) -> Encoder:
    """Each family in turn."""
    return load_encoder(resolve_encoder(str(encoder_folder(request.param))), torch.device("cpu"))


@pytest.fixture
def tiny(encoder_folder: Callable[[str], Path]) -> Encoder:
    """One family, where one is enough."""
    return load_encoder(resolve_encoder(str(encoder_folder("modernbert"))), torch.device("cpu"))


@pytest.fixture
def encoder_of_bert(encoder_folder: Callable[[str], Path]) -> Encoder:
    """A family whose linear layers have biases and are each by itself."""
    return load_encoder(resolve_encoder(str(encoder_folder("bert"))), torch.device("cpu"))


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


@pytest.fixture
def project(tmp_path: Path, encoder_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that becomes the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_project(tmp_path, encoder_folder("modernbert"))


@pytest.fixture(scope="session")
def finished(encoder_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose recipe has been run, MAD-X alone; to be copied. For what comes after a run."""
    import madx

    folder = write_project(tmp_path_factory.mktemp("finished"), encoder_folder("modernbert"))
    recipe = (folder / "recipe.toml").read_text().replace("steps = 12", "steps = 3").replace("epochs = 3", "epochs = 1")
    lines = [line for line in recipe.splitlines() if not line.startswith(("methods", "seeds"))]
    (folder / "recipe.toml").write_text("methods = ['madx']\nseeds = [1]\n" + "\n".join(lines))
    madx.run(folder / "recipe.toml", results=folder / "results", catalog=[folder], data=folder, device="cpu")
    return folder
