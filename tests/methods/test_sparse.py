"""LT-SFT: theta = theta_0 + delta_L + delta_T, exactly, at the entries that moved farthest, and nothing left behind."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.encoders.changes import WeightChange
from madx.encoders.encoder import Encoder
from madx.methods.sparse import FILE, LotteryTicket, SparseFineTuning, farthest, trainable
from madx.stages.session import Session
from madx.step import Step
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 60, 50, 2]])


def weights(encoder: Encoder) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in encoder.base.named_parameters()}


def test_changes_are_added_in_turn_and_leave_no_bit_behind(encoder: Encoder) -> None:
    parameters, before = dict(encoder.base.named_parameters()), weights(encoder)
    key = next(name for name, p in parameters.items() if p.dim() == 2)
    at = {"swe": torch.tensor([0, 3, 5]), "task": torch.tensor([3, 4])}
    deltas = {"swe": torch.tensor([0.5, 0.25, -1.0]), "task": torch.tensor([0.125, 7.0])}
    for name in at:
        encoder.changes[name] = WeightChange(parameters, {key: deltas[name]}, {key: at[name]})
    plain = encoder.hidden(IDS)
    encoder.activate("swe", "task")
    expected = before[key].flatten().clone()
    for name in at:
        expected[at[name]] = expected[at[name]] + deltas[name]
    assert torch.equal(parameters[key].flatten(), expected)
    encoder.activate("task")
    assert parameters[key].flatten()[0] == before[key].flatten()[0]
    encoder.activate()
    assert torch.equal(encoder.hidden(IDS), plain)
    assert all(torch.equal(value, before[name]) for name, value in weights(encoder).items())


def test_a_change_stands_below_an_adapter(tiny: Encoder) -> None:
    parameters = dict(tiny.base.named_parameters())
    key = next(name for name, p in parameters.items() if p.dim() == 2 and "embed" not in name)
    tiny.changes["swe"] = WeightChange(parameters, {key: torch.randn(parameters[key].numel())}, {key: None})
    nn.init.normal_(tiny.adapters.add("pos", BottleneckSpec()).at(0, "ffn").up.weight)  # type: ignore[union-attr]
    seen = []
    for setup in ((), ("swe",), ("pos",), ("swe", "pos")):
        tiny.activate(*setup)
        seen.append(tiny.hidden(IDS))
    assert all(not torch.allclose(a, b) for i, a in enumerate(seen) for b in seen[:i])
    with pytest.raises(KeyError, match="no adapter 'dan'"):
        tiny.activate("dan", "swe")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 1.0])
def test_the_farthest_entries_are_kept(share: float) -> None:
    torch.manual_seed(0)
    deltas = {"a": torch.randn(40), "b": torch.randn(60).round(), "c": torch.zeros(11)}
    kept = farthest(deltas, share)
    count = max(1, round(share * 111))
    assert sum(len(at) for at in kept.values()) == count
    flat = sorted((abs(float(v)) for d in deltas.values() for v in d), reverse=True)
    assert sorted((abs(float(deltas[k][i])) for k, at in kept.items() for i in at), reverse=True) == flat[:count]


class Ticket(Step):
    stage = "language"  # type: ignore[misc]

    @property
    def subject(self) -> str:
        return "swe"


@pytest.fixture
def chosen(tiny: Encoder, tmp_path: Path) -> tuple[Session, Ticket]:
    """A first training that has moved two tensors."""
    session, ticket, method = Session(Store(tmp_path), torch.device("cpu")), Ticket(), LotteryTicket(share=0.01)
    session.keep(tiny, tiny.ref)
    with session.store.claim(ticket.name) as folder, method.borrowed(tiny):
        assert folder is not None
        deltas = method.attach(tiny, "swe", 1, session)
        torch.manual_seed(0)
        for delta in deltas.values():
            delta.data.normal_()
        method.save(folder, tiny, "swe", save_as="swe")
        session.store.finish(folder.name, {"seconds": 0.0, "memory_mb": 0, "result": {}})
    return session, ticket


def test_the_second_training_moves_the_chosen_entries_alone(
    tiny: Encoder, chosen: tuple[Session, Ticket], tmp_path: Path
) -> None:
    session, ticket = chosen
    before, method = weights(tiny), SparseFineTuning(ticket=ticket)
    with method.borrowed(tiny):
        parameters = method.attach(tiny, "swe", 1, session)
        total = sum(before[name].numel() for name in trainable(tiny, norms=False))
        assert sum(p.numel() for p in parameters.values()) == round(0.01 * total)
        optimizer = torch.optim.AdamW(parameters.values(), lr=0.5, fused=True)  # as the stages do
        tied = tiny.lm_head.decoder.weight_RD.clone()
        for _ in range(2):
            optimizer.zero_grad()
            tiny.hidden(IDS).square().sum().backward()
            optimizer.step()
        assert torch.equal(tiny.lm_head.decoder.weight_RD, tied)
        tiny.hidden(IDS)
        for name, value in weights(tiny).items():
            moved = (value != before[name]).flatten().nonzero().flatten()
            at = tiny.changes["swe"].places.get(name)
            assert set(moved.tolist()) <= set([] if at is None else at.tolist()), name
        assert sum(int((p != 0).sum()) for p in parameters.values()) > 0
        trained = weights(tiny)
        method.save(tmp_path, tiny, "swe", save_as="swe")
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())
    with method.borrowed(tiny):
        method.load(tmp_path, tiny, "swe")
        method.retarget(tiny, "swe", None)
        assert all(torch.equal(value, trained[name]) for name, value in weights(tiny).items())


def test_the_pull_is_the_mean_of_magnitudes(tiny: Encoder, chosen: tuple[Session, Ticket]) -> None:
    method = LotteryTicket(share=0.5, l1=0.2)
    with method.borrowed(tiny):
        deltas = method.attach(tiny, "swe", 1, chosen[0])
        for delta in deltas.values():
            delta.data.uniform_(-1, 1)
        flat = torch.cat([delta.double().flatten() for delta in deltas.values()])
        penalty = method.penalty(tiny, "swe")
        assert penalty is not None
        assert float(penalty.detach()) == pytest.approx(0.2 * float(flat.detach().abs().mean()), rel=1e-5)


def test_what_is_no_change_of_this_encoder_is_refused(
    tiny: Encoder, chosen: tuple[Session, Ticket], tmp_path: Path
) -> None:
    from madx.formats.tensors import save_tensors

    name = trainable(tiny, norms=False)[0]
    for tensors, why in (
        ({"elsewhere.at": torch.tensor([0]), "elsewhere.delta": torch.ones(1)}, "'elsewhere' is no change"),
        ({f"{name}.at": torch.tensor([1 << 40]), f"{name}.delta": torch.ones(1)}, "places outside of the weight"),
        ({f"{name}.delta": torch.ones(1)}, "is no change"),
    ):
        save_tensors(tmp_path / FILE, tensors)
        with pytest.raises(InputError, match=why):
            SparseFineTuning(ticket=chosen[1]).load(tmp_path, tiny, "swe")
