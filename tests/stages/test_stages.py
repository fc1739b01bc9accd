"""What the three stages promise of each other."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import save_adapter
from madx.stages.session import Session
from madx.stages.step import AdapterStep
from madx.store import Store


class Made(AdapterStep):
    """A language adapter that is there already."""

    stage: ClassVar[str] = "language"

    @property
    def subject(self) -> str:
        return "swe"


@pytest.fixture
def session(tmp_path: Path, tiny: Encoder) -> Session:
    session = Session(Store(tmp_path), torch.device("cpu"))
    with session.store.claim(Made().name) as folder:
        assert folder is not None
        tiny.adapters.add("swe", BottleneckSpec(invertible=InvertibleSpec()))
        save_adapter(folder, tiny, "swe")
        session.store.finish(folder.name, {})
    tiny.clear()
    return session


def test_a_language_adapter_below_a_task_adapter_is_frozen(session: Session, tiny: Encoder) -> None:
    """Nothing is computed for gradients that nobody uses."""
    Made().attach(tiny, session)
    task = tiny.adapters.add("ner", BottleneckSpec())
    tiny.adapters.activate("swe", "ner")
    tiny.hidden(torch.tensor([[1, 50, 60, 2]])).square().mean().backward()
    assert all(p.grad is None for p in tiny.adapters.get("swe").parameters())
    assert all(p.grad is not None for p in task.parameters())
