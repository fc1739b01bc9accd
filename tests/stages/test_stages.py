"""What the three stages promise of each other."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.stages.session import Session
from madx.stages.task_model import in_encoder
from madx.step import AdapterStep
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
        session.store.finish(folder.name, {"seconds": 0.0, "memory_mb": 0, "result": {}})
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


@torch.no_grad()
def test_a_task_may_have_a_languages_name(tiny: Encoder, tmp_path: Path) -> None:
    """`pos` and `ner` are languages too (ISO 639-3); on disk both keep their names."""
    method, ids, name = BottleneckAdapter(), torch.tensor([[1, 50, 60, 2]]), in_encoder("ner")
    language = tiny.adapters.add("ner", BottleneckSpec(invertible=InvertibleSpec()))
    method.attach(tiny, name, seed=1, session=Session(Store(tmp_path), tiny.device))
    method.retarget(tiny, name, "ner")
    assert tiny.adapters.get("ner") is language
    assert tiny.adapters.invertible is language.invertible
    both = tiny.hidden(ids)
    method.retarget(tiny, name, None)
    assert not torch.allclose(tiny.hidden(ids), both)
    save_adapter(tmp_path / "language", tiny, "ner")
    method.save(tmp_path / "task", tiny, name, save_as="ner")
    tiny.clear()
    assert load_adapter(tmp_path / "task", tiny)[0] == "ner"
    load_adapter(tmp_path / "language", tiny)
    method.load(tmp_path / "task", tiny, name)
    method.retarget(tiny, name, "ner")
    assert torch.equal(tiny.hidden(ids), both)


def test_weights_of_another_encoder_are_not_loaded_in_part(
    tiny: Encoder, tmp_path: Path, encoder_folder: Callable[[str], Path]
) -> None:
    Full().save(tmp_path, tiny, "", save_as="")
    other = load_encoder(resolve_encoder(str(encoder_folder("bert"))), torch.device("cpu"))
    with pytest.raises(InputError, match=r"encoder\.safetensors: '.*' is not in both"):
        Full().load(tmp_path, other, "")
