"""AdapterHub's unions, in and out: one name for a LoRA, a prefix and a bottleneck."""

import json
from pathlib import Path

import pytest
import torch

from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.anything import load_anything
from madx.formats.peer_union import save_peer_union
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.beside import Ia3, Lora
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.prefix import PrefixTuning
from madx.methods.unipelt import UniPelt
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 2]])


@pytest.fixture
def union(encoder_of_bert: Encoder, tmp_path: Path) -> Encoder:
    """`mine`: all three, none of them zero."""
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    parts = {"a": Lora(rank=2, matrices=("query", "value", "intermediate")), "b": PrefixTuning(length=2),
             "c": BottleneckAdapter(spec=BottleneckSpec(reduction_factor=4))}  # fmt: skip
    for name, method in parts.items():
        for parameter in method.attach(encoder_of_bert, name, 1, session).values():
            parameter.data.normal_(std=0.3)
    encoder_of_bert.setups["mine"] = Stack(*parts)
    encoder_of_bert.activate("mine")
    return encoder_of_bert


def test_a_union_is_written_and_read_and_computes_the_same(union: Encoder, tmp_path: Path) -> None:
    wanted = union.hidden(IDS)
    for one in ("a", "b", "c"):
        union.activate(one)
        assert not torch.allclose(union.hidden(IDS), wanted, atol=1e-3)
    save_peer_union(tmp_path / "out", union, "mine", save_as="both")
    with union.lent():
        union.clear()
        bare = union.hidden(IDS)
        name = load_anything(tmp_path / "out", union)
        assert name == "both"
        union.activate(name)
        assert torch.allclose(union.hidden(IDS), wanted, atol=1e-6)
        union.activate()
        assert torch.equal(union.hidden(IDS), bare)


def test_gates_by_hand_and_through_a_folder(encoder_of_bert: Encoder, tmp_path: Path) -> None:
    encoder, method = encoder_of_bert, UniPelt(rank=2, length=2, bottleneck_size=4, reduction_factor=4)
    method.check(encoder)
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    ids = torch.tensor([[1, 50, 60, 70, 2], [1, 90, 60, 2, 0]])
    with method.borrowed(encoder):
        parameters = method.attach(encoder, "task pos", 1, session)
        for parameter in parameters.values():
            parameter.data.normal_(std=0.3)
        assert not encoder.packs
        wanted = encoder.hidden(ids, (ids != 0).long())
        wanted.square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())
        lora = encoder.changes["task pos lora"].get_submodule("parts")  # type: ignore[attr-defined]
        part = next(iter(lora.children()))
        x, y = torch.randn(2, 3, encoder.width), torch.randn(2, 3, encoder.width)
        share = torch.stack([torch.sigmoid(row @ part.gate.weight[0] + part.gate.bias).mean() for row in x])
        by_hand = y + share[:, None, None] * (2.0 / 2) * (x @ part.a_RI.T @ part.b_OR.T)
        assert torch.allclose(part._add(part, (x,), y), by_hand, atol=1e-6)
        method.save(tmp_path / "out", encoder, "task pos", save_as="pos")
        gates = [name for name in parameters if ".gate" in name]
        assert len(gates) == 2 * (2 + 1 + 1) * encoder.num_layers  # of queries, values, prefix, bottleneck
        for name in gates:
            if name.endswith("bias"):
                parameters[name].data.fill_(-50.0)  # shut
        shut = encoder.hidden(ids, (ids != 0).long())
        assert not torch.allclose(shut, wanted, atol=1e-3)
    with encoder.lent():
        encoder.activate(load_anything(tmp_path / "out", encoder))
        assert torch.allclose(encoder.hidden(ids, (ids != 0).long()), wanted, atol=1e-6)


def test_one_matrix_for_queries_and_values_is_refused(tiny: Encoder) -> None:
    with pytest.raises(InputError, match="separate matrices"):
        UniPelt().check(tiny)


def test_what_a_union_can_be_is_said(union: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    save_peer_union(folder, union, "mine", save_as="both")
    good = json.loads((folder / "adapter_config.json").read_text())
    weights = load_tensors(folder / "adapter.safetensors")

    def refused(configs: object, match: str) -> None:
        changed = {**good, "config": {"architecture": "union", "configs": configs}}
        (folder / "adapter_config.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match=match):
            load_anything(folder, union)

    lora, prefix, bottleneck = good["config"]["configs"]
    refused(None, "without 'configs'")
    refused([lora, lora], "a union of")
    refused([lora, {"architecture": "prompt_tuning"}], "a union of")
    refused([lora, prefix], "unexpected tensor")
    refused([{**lora, "use_gating": True}, prefix, bottleneck], "gates on a part")
    save_tensors(folder / "adapter.safetensors", {**weights, "bert.else": torch.zeros(1)})
    refused([lora, prefix, bottleneck], "unexpected tensor")
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    Ia3().attach(union, "d", 1, session)
    union.setups["other"] = Stack("c", "d")
    with pytest.raises(InputError, match="plain LoRAs"):
        save_peer_union(tmp_path / "other", union, "other", save_as="other")
