"""What the three stages promise of each other."""

from pathlib import Path

import pytest
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import Frozen
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.methods.task_adapter import TaskAdapter
from madx.stages.language import attach_language
from madx.stages.session import Session, step_name
from madx.store import Store


class Made(Frozen):
    """A language adapter that is there already."""

    stage: str = "language"
    subject: str = "swe"


@pytest.fixture
def session(tmp_path: Path, tiny: Encoder) -> Session:
    session = Session(Store(tmp_path), torch.device("cpu"))
    with session.store.claim(step_name(Made())) as folder:
        assert folder is not None
        tiny.adapters.add("swe", BottleneckSpec(invertible=InvertibleSpec()))
        save_adapter(folder, tiny, "swe")
        session.store.finish(folder.name, {})
    tiny.clear()
    return session


def test_a_language_adapter_below_a_task_adapter_is_frozen(session: Session, tiny: Encoder) -> None:
    """Nothing is computed for gradients that nobody uses."""
    attach_language(Made(), tiny, session)  # type: ignore[arg-type]
    task = tiny.adapters.add("ner", BottleneckSpec())
    tiny.adapters.activate("swe", "ner")
    tiny.hidden(torch.tensor([[1, 50, 60, 2]])).square().mean().backward()
    assert all(p.grad is None for p in tiny.adapters.get("swe").parameters())
    assert all(p.grad is not None for p in task.parameters())


@torch.no_grad()
def test_a_task_may_have_a_languages_name(tiny: Encoder, tmp_path: Path) -> None:
    """`pos` and `ner` are languages too (ISO 639-3); on disk both keep their names."""
    method, ids = TaskAdapter(), torch.tensor([[1, 50, 60, 2]])
    language = tiny.adapters.add("ner", BottleneckSpec(invertible=InvertibleSpec()))
    method.prepare(tiny, "ner", seed=1)
    method.retarget(tiny, "ner", "ner")
    assert tiny.adapters.get("ner") is language
    assert tiny.adapters.invertible is language.invertible
    both = tiny.hidden(ids)
    method.retarget(tiny, "ner", None)
    assert not torch.allclose(tiny.hidden(ids), both)
    save_adapter(tmp_path / "language", tiny, "ner")
    method.save(tmp_path / "task", tiny, "ner")
    tiny.clear()
    assert load_adapter(tmp_path / "task", tiny)[0] == "ner"
    load_adapter(tmp_path / "language", tiny)
    method.load(tmp_path / "task", tiny, "ner")
    method.retarget(tiny, "ner", "ner")
    assert torch.equal(tiny.hidden(ids), both)
