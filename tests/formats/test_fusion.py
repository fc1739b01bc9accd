"""Fusion folders and setups: round trips and refusals."""

import json
from pathlib import Path

import pytest
import torch

from madx.adapters.fusion import FusionSpec
from madx.adapters.heads import Head, HeadSpec
from madx.adapters.setup import Fuse, Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.convert import convert_setup
from madx.formats.fusion import load_fusion, load_setup, save_fusion, save_setup, setup_from_dict, setup_to_dict

IDS = torch.tensor([[1, 40, 50, 60, 2]])


@pytest.fixture
def fused(encoder: Encoder) -> Encoder:
    encoder.adapters.add("lang", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    encoder.adapters.add("ta", BottleneckSpec(reduction_factor=2.0))
    encoder.adapters.add("tb", BottleneckSpec(reduction_factor=2.0))
    encoder.adapters.add_fusion("ta,tb", FusionSpec(), "ta", "tb")
    for parameter in encoder.adapters.parameters():
        parameter.data.normal_(std=0.2)
    encoder.adapters.activate(Stack("lang", Fuse("ta", "tb")))
    return encoder


@torch.no_grad()
def test_a_setup_computes_the_same_after_a_round_trip(fused: Encoder, tmp_path: Path) -> None:
    wanted = fused.hidden(IDS)
    head = Head(HeadSpec(head_type="tagging", num_labels=3), fused.width)
    save_setup(tmp_path / "setup", fused, fused.adapters.active, {"tags": head})
    fused.clear()
    heads = load_setup(tmp_path / "setup", fused)
    assert fused.adapters.active == Stack("lang", Fuse("ta", "tb"))
    assert torch.equal(fused.hidden(IDS), wanted)
    assert torch.equal(heads["tags"].logits(wanted), head.logits(wanted))
    for name in ("lang/pytorch_adapter.bin", "ta,tb/pytorch_model_adapter_fusion.bin", "tags/pytorch_model_head.bin"):
        assert (tmp_path / "setup" / name).exists()


def test_a_fusion_that_cannot_be_right_is_refused(fused: Encoder, tmp_path: Path) -> None:
    save_fusion(tmp_path / "f", fused, Fuse("ta", "tb"))
    about = json.loads((tmp_path / "f" / "adapter_fusion_config.json").read_text())
    for wrong, message in (
        ({"adapter_names": ["ta", "zz"]}, "'zz', which is not loaded"),
        ({"config": {"key": True}}, "has not the keys"),
        ({"config": {**about["config"], "key": "yes"}}, "key"),
        ({"name": None}, "missing"),
    ):
        (tmp_path / "f" / "adapter_fusion_config.json").write_text(json.dumps({**about, **wrong}))
        with pytest.raises(InputError, match=message):
            load_fusion(tmp_path / "f", fused)


@pytest.mark.parametrize(
    "value",
    [None, {}, {"type": "Stack", "children": []}, {"type": "single", "children": [3]},
     {"type": "Dance", "children": ["a"]},
     {"type": "Split", "children": [{"type": "single", "children": ["a"]}]}],
)  # fmt: skip
def test_a_setup_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        setup_from_dict(value, "adapter_setup.json")


def test_a_setup_cannot_climb_out_of_its_folder(fused: Encoder, tmp_path: Path) -> None:
    setup = setup_to_dict(Stack("../lang", "ta"))
    (tmp_path / "adapter_setup.json").write_text(json.dumps({"adapter_setup": setup, "head_setup": None}))
    with pytest.raises(InputError, match="is no name"):
        load_setup(tmp_path, fused)


@pytest.mark.parametrize("name", ["{outside}", "../outside", "a/../../outside", "", ".."])
def test_a_heads_name_cannot_write_outside(fused: Encoder, tmp_path: Path, name: str) -> None:
    head = Head(HeadSpec(head_type="tagging", num_labels=3), fused.width)
    save_setup(tmp_path / "box" / "setup", fused, fused.adapters.active, {"tags": head})
    path = tmp_path / "box" / "setup" / "tags" / "head_config.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "name": name.format(outside=tmp_path / "outside")}))
    fused.clear()
    with pytest.raises(InputError, match="is no name"):
        convert_setup(tmp_path / "box" / "setup", tmp_path / "box" / "to", fused)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box"]


def test_links_in_a_setup_are_refused(fused: Encoder, tmp_path: Path) -> None:
    save_setup(tmp_path / "setup", fused, fused.adapters.active)
    (tmp_path / "setup" / "lang").rename(tmp_path / "elsewhere")
    (tmp_path / "setup" / "lang").symlink_to(tmp_path / "elsewhere")
    fused.clear()
    with pytest.raises(InputError, match="leads out of"):
        load_setup(tmp_path / "setup", fused)
    (tmp_path / "setup" / "lang").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "setup" / "lang")
    config = tmp_path / "setup" / "ta" / "adapter_config.json"
    config.rename(tmp_path / "config")
    config.symlink_to(tmp_path / "config")
    with pytest.raises(InputError, match="is a link"):
        load_setup(tmp_path / "setup", fused)


def test_a_setup_of_a_thousand_storeys_is_refused_in_one_line(fused: Encoder, tmp_path: Path) -> None:
    setup = '{"type": "Stack", "children": [' * 400 + '{"type": "single", "children": ["lang"]}' + "]}" * 400
    (tmp_path / "adapter_setup.json").write_text(f'{{"adapter_setup": {setup}, "head_setup": null}}')
    with pytest.raises(InputError):
        load_setup(tmp_path, fused)


def test_a_named_fusion_has_no_place_in_a_setup(fused: Encoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own name"):
        save_setup(tmp_path, fused, Stack("lang", Fuse("ta", "tb", name="mine")))
