"""Weights in 8 bits on disk: what is read back is what was written, to half a step of each row's scale."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from madx.config import InputError
from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from madx.encoders.rounded import NAME, load_rounded, save_rounded


def test_matrices_are_within_half_a_step_and_the_rest_is_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {"a.weight": torch.randn(7, 5), "a.bias": torch.randn(7).half().float(), "cls.dense": torch.eye(4)}
    save_rounded(tmp_path / NAME, tensors, exact=("cls.",))
    back = load_rounded(tmp_path / NAME)
    assert set(back) == set(tensors)
    step_R1 = tensors["a.weight"].abs().amax(1, keepdim=True) / 127
    assert ((back["a.weight"] - tensors["a.weight"]).abs() <= step_R1 / 2 + 1e-7).all()
    assert torch.equal(back["a.bias"], tensors["a.bias"])
    assert torch.equal(back["cls.dense"], tensors["cls.dense"])
    save_rounded(tmp_path / "again.npz", back, exact=("cls.",))
    assert all(torch.allclose(a, back[name]) for name, a in load_rounded(tmp_path / "again.npz").items())


def test_an_encoder_of_rounded_weights_is_a_whole_one(encoder_folder: Callable[[str], Path], tmp_path: Path) -> None:
    plain = load_encoder(resolve_encoder(str(encoder_folder("bert"))), torch.device("cpu"))
    for file in encoder_folder("bert").iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    state = {k: v for k, v in plain.model.state_dict().items() if "decoder" not in k}
    save_rounded(tmp_path / NAME, state)
    rounded = load_encoder(resolve_encoder(str(tmp_path)), torch.device("cpu"))
    assert rounded.lm_head_is_trained
    ids = torch.tensor([[1, 50, 60, 2]])
    with torch.no_grad():
        assert torch.allclose(plain.hidden(ids), rounded.hidden(ids), atol=0.05)
    assert not torch.equal(plain.hidden(ids), rounded.hidden(ids))
    short = {k: v for k, v in state.items() if "layer.1.output" not in k}
    save_rounded(tmp_path / NAME, short)
    with pytest.raises(InputError, match="its weights lack"):
        load_encoder(resolve_encoder(str(tmp_path)), torch.device("cpu"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"model\.npz: not readable"):
        load_rounded(tmp_path / NAME)
