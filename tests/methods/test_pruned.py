"""Pruning: which weights go, that they stay away, and that what is left takes few bytes."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.manifest import PACKED
from madx.formats.sparse import KEPT, SHAPE, VALUES, pack, read_packed
from madx.formats.tensors import save_tensors
from madx.methods.pruned import PrunedAdapter, Score, matrices, prune_by_magnitude
from madx.stages.session import Session
from madx.store import Store
from madx.training.fit import Part, Run, Schedule, first_gradients, fit

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 60, 50, 2]])
SPEC = BottleneckSpec(reduction_factor=2)


def part(encoder: Encoder) -> Part:
    return Part(lambda: encoder.hidden(IDS).square().sum(), IDS.numel(), IDS.numel())


@pytest.mark.parametrize("score", ["random", "magnitude", "snip"])
def test_one_threshold_over_all_layers_and_zeros_stay_zero(tiny: Encoder, tmp_path: Path, score: Score) -> None:
    method = PrunedAdapter(spec=SPEC, sparsity=0.75, score=score)
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    with method.borrowed(tiny):
        parameters = method.attach(tiny, "pos", 1, session)
        before = {key: p.detach().clone() for key, p in matrices(tiny.adapters.get("pos")).items()}
        found: dict[str, torch.Tensor] = {}

        def gradients() -> Mapping[str, torch.Tensor]:
            found.update(first_gradients(parameters, [part(tiny)]))
            return found

        torch.manual_seed(3)
        method.begin(tiny, "pos", gradients)
        assert all(p.grad is None for p in parameters.values())
        left = {key: (p != 0) for key, p in matrices(tiny.adapters.get("pos")).items()}
        total = sum(p.numel() for p in before.values())
        assert sum(int(mask.sum()) for mask in left.values()) == round(0.25 * total)
        assert sum(p.numel() for p in parameters.values()) - total + round(0.25 * total) == method.count(tiny)
        if score != "random":  # a loop over single weights, in float64
            worth = {
                (key, i): abs(float(v)) * (abs(float(found[f"adapter.{key}"].flatten()[i])) if score == "snip" else 1.0)
                for key, p in before.items()
                for i, v in enumerate(p.flatten().double())
            }
            best = set(sorted(worth, key=lambda at: -worth[at])[: round(0.25 * total)])
            same = sum(bool(left[key].flatten()[i]) for key, i in best)
            assert same >= round(0.25 * total) - 2  # fp32's ties
        result = fit(parameters, Schedule(steps=5, learning_rate=1e-2), lambda step: [part(tiny)],
                     Run(tmp_path, 1, torch.device("cpu")))  # fmt: skip
        assert result["steps"] == 5
        for key, p in matrices(tiny.adapters.get("pos")).items():
            assert torch.equal(p != 0, left[key]), key
            assert not torch.equal(p.detach(), before[key] * left[key])
        method.save(tmp_path / "out", tiny, "pos", save_as="pos")
        whole = tiny.hidden(IDS)
    with tiny.lent():
        load_adapter(tmp_path / "out", tiny)
        tiny.activate("pos")
        assert torch.equal(tiny.hidden(IDS), whole)


def test_pruned_after_training_by_hand_and_small_on_disk(tiny: Encoder, tmp_path: Path) -> None:
    tiny.add("pos", BottleneckSpec(reduction_factor=1, placement=("attention", "ffn")))
    flat = (
        torch.cat([p.detach().flatten() for p in matrices(tiny.adapters.get("pos")).values()])
        .abs()
        .sort(descending=True)
        .values
    )
    threshold = flat[round(0.1 * len(flat)) - 1]
    save_adapter(tmp_path / "dense", tiny, "pos")
    wanted = {key: p.detach() * (p.abs() >= threshold) for key, p in matrices(tiny.adapters.get("pos")).items()}
    prune_by_magnitude(tiny.adapters.get("pos"), 0.9)
    for key, p in matrices(tiny.adapters.get("pos")).items():
        assert torch.equal(p.detach(), wanted[key])
    save_adapter(tmp_path / "pruned", tiny, "pos", packed=True)
    weights = 4 * len(flat)
    saved = (tmp_path / "dense" / "adapter.safetensors").stat().st_size - (tmp_path / "pruned" / PACKED).stat().st_size
    assert saved > 0.86 * weights - 6000  # 1 - 0.1 - 1/32 of the weights; names take more
    adapter = tiny.adapters.get("pos")
    _, again = load_adapter(tmp_path / "pruned", tiny, load_as="again")
    assert all(torch.equal(a, b) for a, b in zip(adapter.parameters(), again.parameters(), strict=True))


def test_tensors_come_back_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {"a": torch.randn(13, 7) * (torch.rand(13, 7) > 0.9), "b": torch.randn(5), "c": torch.zeros(50)}
    packed, path = pack(tensors), tmp_path / "x.safetensors"
    assert "b" in packed
    save_tensors(path, packed)
    again = read_packed(path)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items())
    for wrong in ({"a" + SHAPE: torch.tensor([1 << 40, 1 << 40])}, {"a" + SHAPE: torch.tensor([13, -7])},
                  {"a" + VALUES: torch.zeros(2)}, {"a" + KEPT: packed["a" + KEPT][:-1]}, {"b": torch.tensor([1])},
                  {"b": torch.tensor([float("nan")])}, {"a" + SHAPE: torch.tensor([13.0, 7.0])}):  # fmt: skip
        save_tensors(path, {**packed, **wrong})
        with pytest.raises(InputError, match=r"x\.safetensors: '[ab]'"):
            read_packed(path)
