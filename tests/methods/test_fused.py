"""AdapterFusion trained: which parameters, the penalty's formula, and folders that need nothing else."""

from pathlib import Path

import pytest
import torch

from madx.adapters.spec import BottleneckSpec
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import save_adapter
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.fused import FusedAdapters
from madx.stages.session import Session
from madx.step import Step
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 60, 50, 2]])


class Finished(Step):
    stage = "language"  # type: ignore[misc]
    code: str

    @property
    def subject(self) -> str:
        return self.code


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Store(tmp_path / "store"), torch.device("cpu"))


def finished(encoder: Encoder, session: Session, code: str, seed: int) -> Finished:
    step = Finished(code=code)
    with session.store.claim(step.name) as folder, encoder.lent():
        assert folder is not None
        torch.manual_seed(seed)
        for parameter in encoder.add(code, BottleneckSpec()).parameters():
            parameter.data.normal_(std=0.3)
        save_adapter(folder, encoder, code)
        session.store.finish(folder.name, {"seconds": 0.0, "memory_mb": 0, "result": {}})
    return step


def test_a_fusion_is_trained_over_a_language_saved_and_answers_alone(
    encoder: Encoder, session: Session, tmp_path: Path
) -> None:
    steps = (finished(encoder, session, "eng", 1), finished(encoder, session, "deu", 2))
    method, name = FusedAdapters(over=steps), "task pos"
    with method.borrowed(encoder):
        BottleneckAdapter().attach(encoder, "swe", 1, session)
        parameters = method.attach(encoder, name, 1, session)
        width, sites = encoder.width, encoder.num_layers
        assert sum(p.numel() for p in parameters.values()) == sites * (3 * width**2 + 2 * width)
        method.retarget(encoder, name, "swe")
        encoder.hidden(IDS).square().mean().backward()
        assert all(parameter.grad is not None for parameter in parameters.values())
        fused = [p for n in encoder.adapters.names if n.startswith(name) for p in encoder.adapters.get(n).parameters()]
        assert not any(p.requires_grad for p in fused)
        torch.manual_seed(3)
        for parameter in parameters.values():
            parameter.data.normal_(std=0.3)
        seen = [encoder.hidden(IDS).detach()]
        method.retarget(encoder, name, None)
        seen.append(encoder.hidden(IDS).detach())
        method.save(tmp_path / "out", encoder, name, save_as="pos")
    assert not torch.allclose(*seen, atol=1e-5)
    with FusedAdapters().borrowed(encoder):
        FusedAdapters().load(tmp_path / "out", encoder, name)
        FusedAdapters().retarget(encoder, name, None)
        assert torch.allclose(encoder.hidden(IDS), seen[1], atol=1e-6)
        assert not any(p.requires_grad for p in encoder.adapters.parameters())


def test_value_matrices_are_held_near_the_identity(tiny: Encoder, session: Session) -> None:
    method = FusedAdapters(over=(finished(tiny, session, "eng", 1), finished(tiny, session, "deu", 2)))
    with method.borrowed(tiny):
        values = [p for key, p in method.attach(tiny, "task pos", 1, session).items() if "value" in key]
        off_diagonal = 2 * 0.01 * 16 * 15 * 1e-12  # it begins 1e-6 away from the identity, in two layers
        assert float(method.penalty(tiny, "task pos").detach()) == pytest.approx(off_diagonal, rel=1e-3)  # type: ignore[union-attr]
        for weight in values:
            weight.data.normal_()
        expected = 0.01 * sum(float(((torch.eye(16) - w.detach()) ** 2).sum()) for w in values)
        assert float(method.penalty(tiny, "task pos").detach()) == pytest.approx(expected, rel=1e-5)  # type: ignore[union-attr]
