"""`madx adapters import` and `export` of what isn't one adapter alone, on the command line's own terms."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from madx.adapters.fusion import FusionSpec
from madx.adapters.heads import Head, HeadSpec
from madx.adapters.setup import Fuse, Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.cli import app
from madx.config import InputError
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import save_adapter
from madx.formats.fusion import load_fusion, load_setup, save_fusion, save_setup
from madx.formats.heads import save_head, save_lm_head

FAMILY = "xlm-roberta"
SETUP = Stack("lang", Fuse("ta", "tb"))


@pytest.fixture
def made(encoder_folder: Callable[[str], Path]) -> Encoder:
    encoder = load_encoder(resolve_encoder(str(encoder_folder(FAMILY))), torch.device("cpu"))
    encoder.adapters.add("lang", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec(), init_weights_seed=7))
    for name in ("ta", "tb"):
        encoder.adapters.add(name, BottleneckSpec(reduction_factor=4.0))
    encoder.adapters.add_fusion("ta,tb", FusionSpec(), "ta", "tb")
    for parameter in encoder.adapters.parameters():
        parameter.data.normal_(std=0.2)
    return encoder


def convert(command: str, source: Path, to: Path, model: Path) -> None:
    done = CliRunner().invoke(app, ["adapters", command, str(source), "--to", str(to), "--model", str(model)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output


def same_files(a: Path, b: Path) -> None:
    """Everything that is in `a` is in `b`, byte for byte but for a pickle's."""
    for file in a.rglob("*"):
        if file.suffix in (".json", ".safetensors"):
            assert file.read_bytes() == (b / file.relative_to(a)).read_bytes(), file


@pytest.mark.parametrize("head", [None, "task", "masked-LM"])
def test_an_adapter_there_and_back(made: Encoder, tmp_path: Path, head: str | None) -> None:
    save_adapter(tmp_path / "theirs", made, "lang", pickle=True)
    if head == "task":
        save_head(tmp_path / "theirs", made, Head(HeadSpec(head_type="tagging", num_labels=3), made.width), "lang")
    elif head == "masked-LM":
        save_lm_head(tmp_path / "theirs", made, "lang")
    convert("import", tmp_path / "theirs", tmp_path / "ours", Path(made.ref.path))
    about = json.loads((tmp_path / "ours" / "madx.json").read_text())
    assert about["kind"] == ("task adapter" if head == "task" else "language adapter")
    convert("export", tmp_path / "ours", tmp_path / "back", Path(made.ref.path))
    same_files(tmp_path / "theirs", tmp_path / "back")
    assert (tmp_path / "back" / "pytorch_adapter.bin").exists()
    assert json.loads((tmp_path / "back" / "adapter_config.json").read_text())["config"]["init_weights_seed"] == 7


def test_a_setup_there_and_back(made: Encoder, tmp_path: Path) -> None:
    head = Head(HeadSpec(head_type="tagging", num_labels=3), made.width)
    save_setup(tmp_path / "theirs", made, SETUP, {"tags": head})
    convert("import", tmp_path / "theirs", tmp_path / "ours", Path(made.ref.path))
    same_files(tmp_path / "theirs", tmp_path / "ours")
    made.clear()
    assert list(load_setup(tmp_path / "ours", made)) == ["tags"]
    assert made.adapters.active == SETUP


def test_a_fusion_there_and_back(made: Encoder, tmp_path: Path) -> None:
    save_fusion(tmp_path / "f", made, Fuse("ta", "tb"))
    with pytest.raises(InputError, match="fuses 'ta'; put that adapter's folder at"):
        convert("import", tmp_path / "f", tmp_path / "ours", Path(made.ref.path))
    for name in ("ta", "tb"):
        save_adapter(tmp_path / name, made, name)
    convert("import", tmp_path / "f", tmp_path / "ours", Path(made.ref.path))
    same_files(tmp_path / "f", tmp_path / "ours")
    assert load_fusion(tmp_path / "ours", made) == "ta,tb"
