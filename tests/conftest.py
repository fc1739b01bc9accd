"""Tiny random encoders of every family, with a small tokenizer of their own; and tiny projects to run."""

import os
import signal

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is
os.environ["MADX_JOBS"] = "1"  # a helper takes seconds to start

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny_encoders import FAMILIES, make_encoder
from tiny_project import write_project

from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder

torch.set_num_threads(1)
# who starts the tests in the background may have had SIGINT ignored, for them and for what they start
signal.signal(signal.SIGINT, signal.default_int_handler)


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
