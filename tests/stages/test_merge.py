"""Merged adapters: the weighted mean of every parameter, weights by the family tree, and what is refused."""

import math
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.language import Language
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.stages.merge import MergedAdapter, Weighted, nearness, softmax, softmax_of_nearness
from madx.stages.session import Session
from madx.step import AdapterStep
from madx.store import Store

SPEC = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec())


class Made(AdapterStep):
    """A language adapter that is there already."""

    stage: ClassVar[str] = "language"
    language: str

    @property
    def subject(self) -> str:
        return self.language


def make(session: Session, encoder: Encoder, language: str, spec: BottleneckSpec) -> Made:
    step = Made(language=language)
    with session.store.claim(step.name) as folder:
        assert folder is not None
        for parameter in encoder.adapters.add(language, spec).parameters():
            torch.nn.init.normal_(parameter)
        save_adapter(folder, encoder, language)
        session.store.finish(folder.name, {"seconds": 0.0, "memory_mb": 0, "result": {}})
    return step


def run(session: Session, step: MergedAdapter) -> dict[str, object]:
    with session.store.claim(step.name) as folder:
        assert folder is not None
        result = step.run(folder, session)
        session.store.finish(step.name, {"seconds": 0.0, "memory_mb": 0, "result": result})
    return result


def test_every_parameter_is_the_weighted_mean(encoder: Encoder, tmp_path: Path) -> None:
    session = Session(Store(tmp_path), torch.device("cpu"))
    session.keep(encoder, encoder.ref)
    steps = [make(session, encoder, language, SPEC) for language in ("eng", "swe", "dan")]
    states = {}
    for step in steps:
        _, adapter = load_adapter(session.folder(step), encoder)
        states[step.subject] = {key: tensor.double() for key, tensor in adapter.state_dict().items()}
    weights = {"eng": 0.5, "swe": 0.2, "dan": 0.3}
    parts = tuple(Weighted(adapter=step, weight=weights[step.subject]) for step in steps)
    merged = MergedAdapter(encoder=encoder.ref, language="fao", parts=parts)
    assert run(session, merged)["merged_from"] == weights
    assert merged.upstream == tuple(steps)
    assert merged.attach(encoder, session) == "fao"
    for key, tensor in encoder.adapters.get("fao").state_dict().items():
        wanted = sum(weights[language] * state[key] for language, state in states.items())
        assert torch.allclose(tensor.double(), wanted, atol=1e-6), key
    assert any(key.startswith("invertible.") for key in encoder.adapters.get("fao").state_dict())


def test_other_shapes_are_refused(tiny: Encoder, tmp_path: Path) -> None:
    session = Session(Store(tmp_path), torch.device("cpu"))
    session.keep(tiny, tiny.ref)
    one, other = make(session, tiny, "eng", SPEC), make(session, tiny, "swe", BottleneckSpec(reduction_factor=4.0))
    parts = (Weighted(adapter=one, weight=0.5), Weighted(adapter=other, weight=0.5))
    with pytest.raises(InputError, match="the adapters of eng and swe have other shapes"):
        run(session, MergedAdapter(encoder=tiny.ref, language="fao", parts=parts))


def language(code: str, *family: str) -> Language:
    return Language(code=code, name=code, script="Latn", family=family)


def test_relatives_weigh_more_and_weights_sum_to_one() -> None:
    fao = language("fao", "Indo-European", "Germanic", "North Germanic", "West Scandinavian")
    isl = language("isl", "Indo-European", "Germanic", "North Germanic", "West Scandinavian")
    eng = language("eng", "Indo-European", "Germanic", "West Germanic")
    fin = language("fin", "Uralic", "Finnic")
    assert nearness(fao, isl) == 1.0
    assert nearness(fao, eng) == pytest.approx(2 * 2 / 7)
    assert nearness(fao, fin) == 0.0
    weights = softmax_of_nearness(fao, [isl, eng, fin])
    assert sum(weights) == pytest.approx(1.0)
    assert weights[0] > 0.9 > weights[1] > weights[2]
    raised = torch.softmax(torch.tensor([1.0, 4 / 7, 0.0], dtype=torch.float64) / 0.1, 0)
    assert weights == pytest.approx(raised.tolist())


def test_weights_by_nearness_are_a_softmax_over_the_nearest() -> None:
    near = [0.9, 0.2, 0.5, 0.5]
    raised = [math.exp(n / 0.25) for n in near]
    assert softmax(near, 0.25) == pytest.approx([r / sum(raised) for r in raised])
    assert softmax(near, 0.25, top=2) == pytest.approx(
        [raised[0] / (raised[0] + raised[2]), 0.0, raised[2] / (raised[0] + raised[2]), 0.0]
    )
    assert softmax(near, 0.25, top=9) == softmax(near, 0.25)
