"""Hyper-X: the network's formula, who learns from what, and that a language's ordinary adapter is what it gave."""

from pathlib import Path

import pytest
import torch

from madx.adapters.bank import Adapter
from madx.adapters.generator import layer_of
from madx.adapters.hyper import STD, HyperNetwork
from madx.adapters.spec import BottleneckSpec
from madx.catalog.find import Catalogue
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.methods.hyper import FILE, HyperX
from madx.methods.loading import LOADED_BY
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2]])
SPEC = BottleneckSpec(reduction_factor=4.0)
METHOD = HyperX(spec=SPEC, languages=("eng", "swe", "fao"))


def test_the_formula() -> None:
    torch.manual_seed(0)
    adapter = Adapter(BottleneckSpec(reduction_factor=2.0, placement=("attention", "ffn"), leave_out=(1,)), 12, 4, 12)
    network = HyperNetwork(adapter, tasks=2, languages=3).double()
    assert len(network.maps) == 8  # a weight and a bias, down and up, at two places: all layers'
    made = network(1, 2)
    assert made.keys() == dict(adapter.named_parameters()).keys()
    for name, tensor in made.items():
        place, own = name.split(".")[1].split("_")[0], name.split(".", 2)[2].replace(".", "/")
        about = [network.tasks.weight[1], network.languages.weight[2], network.layers.weight[layer_of(name)]]
        hidden = (network.mix.weight @ torch.cat(about) + network.mix.bias).clamp(min=0)
        wanted = torch.einsum("nh,h->n", network.maps[f"{place}/{own}"], hidden)
        assert torch.allclose(tensor.flatten(), wanted, atol=1e-12), name


def test_it_begins_as_small_as_a_bottleneck() -> None:
    torch.manual_seed(0)
    adapter = Adapter(SPEC, 128, 6, 128)
    weights = torch.cat([t.flatten() for k, t in HyperNetwork(adapter, 2, 3)(0, 1).items() if "weight" in k])
    assert float(weights.detach().std()) == pytest.approx(STD, rel=0.5)


def test_text_and_labels_teach_the_vectors_that_they_used(tiny: Encoder, tmp_path: Path) -> None:
    session = Session(Store(tmp_path), tiny.device)
    with METHOD.borrowed(tiny):
        parameters = METHOD.attach(tiny, "task tags", 1, session)
        assert any(key.startswith("lm_head.") for key in parameters)
        for p in parameters.values():
            p.requires_grad_(True)

        def taught(key: str) -> list[int]:
            gradient = parameters[key].grad
            assert gradient is not None
            return (gradient.abs().sum(1) > 0).nonzero().flatten().tolist()  # type: ignore[no-any-return]

        METHOD.read_text(tiny, "task tags", "swe")
        tiny.masked_lm_loss(tiny.hidden(IDS)[0], IDS[0]).backward()
        assert (taught("tasks.weight"), taught("languages.weight")) == ([0], [1])
        METHOD.retarget(tiny, "task tags", "eng")
        tiny.hidden(IDS).square().sum().backward()
        assert (taught("tasks.weight"), taught("languages.weight")) == ([0, 1], [0, 1])
        assert taught("layers.weight") == [0, 1]


def test_a_languages_adapter_is_what_the_network_gave(encoder: Encoder, tmp_path: Path) -> None:
    session, head = Session(Store(tmp_path / "store"), encoder.device), list(encoder.lm_head.trainable())
    plain = encoder.hidden(IDS)
    before = [p.detach().clone() for p in head]
    given = {}
    with METHOD.borrowed(encoder):
        METHOD.attach(encoder, "task tags", 1, session)
        for p in head:
            p.data.add_(1.0)
        for language in METHOD.languages:
            METHOD.retarget(encoder, "task tags", language)
            given[language] = encoder.hidden(IDS).detach()
        METHOD.save(tmp_path, encoder, "task tags", save_as="tags")
    assert all(torch.equal(p, old) for p, old in zip(head, before, strict=True))
    assert torch.equal(encoder.hidden(IDS), plain)
    assert not torch.allclose(given["eng"], given["swe"])
    for language, states in given.items():
        with encoder.lent():
            encoder.add(language, SPEC).load_state_dict(METHOD.generate(tmp_path, encoder, language))
            (tmp_path / language).mkdir()
            save_adapter(tmp_path / language, encoder, language)
        with encoder.lent():
            loaded, _ = load_adapter(tmp_path / language, encoder)
            LOADED_BY["hyper"].load(tmp_path, encoder, "task tags")
            LOADED_BY["hyper"].retarget(encoder, "task tags", loaded)
            assert torch.allclose(encoder.hidden(IDS), states, atol=1e-6)
    with pytest.raises(InputError, match=f"{FILE}: not the network of such adapters"):
        METHOD.model_copy(update={"languages": ("eng",)}).generate(tmp_path, encoder, "eng")


def test_a_language_that_it_does_not_know_is_refused(project: Path) -> None:
    overrides = ["methods=['hyper-x']", "targets=['swe', 'nno']", "without_text=['nno']"]
    planner = Planner(load_recipe(project / "recipe.toml", overrides), Catalogue(project), None, project)
    with pytest.raises(InputError, match="hyper-x: 'nno' is not among the languages that it is trained on"):
        planner.plan()
