"""EMEA: a mixture's weights go down the entropy of each sentence's predictions, and are equal again for the next."""

from typing import Any

import pytest
import torch

from madx.adapters.setup import Mix, Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.methods.bottleneck import BottleneckAdapter
from madx.stages.entropy import EntropyMinimisation, ProbabilityMean
from madx.stages.task_model import TaskModel
from madx.tasks.batches import parts_by_length
from madx.tasks.entropy import mean_entropy
from madx.tasks.examples import Example
from madx.tasks.kinds import kind_of

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 60, 50, 2]])
SPEC = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec())


def mixed(encoder: Encoder, count: int) -> torch.Tensor:
    torch.manual_seed(0)
    names = [f"l{number}" for number in range(count)]
    for name in names:
        for parameter in encoder.add(name, SPEC).parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    for parameter in encoder.add("pos", BottleneckSpec()).parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    weights = torch.full((1 + encoder.num_layers, count), 1 / count)
    encoder.adapters.mixes["swe"] = weights
    encoder.setups["swe"] = Mix(*names, name="swe")
    encoder.activate("swe", "pos")
    return weights


def test_a_mixture_of_one_is_that_one_and_weights_choose(encoder: Encoder) -> None:
    mixed(encoder, 3)
    for number in range(3):
        chosen = torch.zeros(1 + encoder.num_layers, 3)
        chosen[:, number] = 1.0
        encoder.adapters.mixes["swe"] = chosen
        encoder.activate("swe", "pos")
        states = encoder.hidden(IDS)
        encoder.activate(f"l{number}", "pos")
        assert torch.allclose(encoder.hidden(IDS), states, atol=1e-5)


def test_outputs_are_summed_layer_by_layer(tiny: Encoder) -> None:
    weights = mixed(tiny, 2)
    weights[1] = torch.tensor([0.75, 0.5])
    seen = []

    def watch(name: str) -> None:
        bottleneck = tiny.adapters.get(name).at(0, "ffn")
        assert bottleneck is not None
        bottleneck.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))

    for name in ("l0", "l1", "pos"):
        watch(name)
    tiny.activate("swe", "pos")
    tiny.hidden(IDS)
    (one_in, one), (_, other), (entered, _) = seen
    assert tiny.adapters.active == Stack(Mix("l0", "l1", name="swe"), "pos")
    assert entered.shape == one_in.shape
    assert torch.isfinite(0.75 * one + 0.5 * other).all()
    read = torch.tensor([0, 1, 1]), torch.tensor([1, 2, 3])
    assert torch.allclose(tiny.hidden(IDS, torch.ones_like(IDS), read=read), tiny.hidden(IDS)[read], atol=1e-5)
    with pytest.raises(ValueError, match="no inverse"):
        tiny.adapters.unembed(torch.zeros(1, 16))


def test_the_step_is_the_gradients(tiny: Encoder) -> None:
    weights = mixed(tiny, 2)
    head = torch.nn.Linear(tiny.width, 5)

    def entropy() -> torch.Tensor:
        return mean_entropy(head(tiny.hidden(IDS[:1])))

    before = float(entropy().detach())
    z = torch.zeros_like(weights).requires_grad_(True)
    tiny.adapters.mixes["swe"] = z.softmax(-1)
    (gradient,) = torch.autograd.grad(entropy(), z)
    EntropyMinimisation(steps=1, rate=0.5).adapt(tiny, entropy)
    assert torch.allclose(tiny.adapters.mixes["swe"], (-0.5 * gradient).softmax(-1), atol=1e-6)
    assert float(entropy().detach()) < before
    EntropyMinimisation(steps=10).adapt(tiny, entropy)  # at the authors' rate the outputs stay an average
    assert torch.allclose(tiny.adapters.mixes["swe"].sum(-1), torch.ones(len(weights)), atol=1e-5)
    assert (tiny.adapters.mixes["swe"] >= 0).all()
    EntropyMinimisation(steps=5, rate=0.1).adapt(tiny, entropy)
    again = tiny.adapters.mixes["swe"]
    EntropyMinimisation(steps=5, rate=0.1).adapt(tiny, entropy)  # from equal weights, whatever was before
    assert torch.equal(tiny.adapters.mixes["swe"], again)
    tiny.activate("l0")
    EntropyMinimisation().adapt(tiny, entropy)  # no mixture: nothing to do


@pytest.mark.parametrize("kind", ["tagging", "classification", "multiple-choice"])
def test_the_mean_of_each_adapters_probabilities(tiny: Encoder, kind: str) -> None:
    mixed(tiny, 3)
    labels = () if kind == "multiple-choice" else ("A", "B", "C")
    task = TaskSpec(name="pos", kind=kind, metric="accuracy", labels=labels)
    ProbabilityMean().check(task)
    torch.manual_seed(1)
    head = kind_of(task).head(task, tiny.width)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    model = TaskModel(tiny, BottleneckAdapter(), task, head.eval(), 32)
    inputs: list[Any] = {
        "tagging": [["the", "dog"], ["sea"]],
        "classification": [("the dog", None), ("sea", None)],
        "multiple-choice": [("it rained", "effect", ("wet", "dry")), ("sun", "cause", ("light", "sea"))],
    }[kind]
    examples = [Example(str(number), given, None) for number, given in enumerate(inputs)]
    tiny.activate("swe", "pos")
    mixture = tiny.adapters.active

    def probabilities() -> list[list[float]]:
        """Of each answer, flat."""
        with torch.no_grad(), tiny.evaluating():
            features = model.features(examples)
            ((_, batch),) = parts_by_length(features, tiny)
            states = model.states(batch)
            logits = head(states) if kind != "multiple-choice" else head(states).view(2, 2)
            return logits.double().softmax(-1).tolist()  # type: ignore[no-any-return]

    alone = []
    for number in range(3):
        tiny.activate(f"l{number}", "pos")
        alone.append(torch.tensor(probabilities()))
    assert not torch.allclose(alone[0], alone[1], atol=1e-3)
    tiny.activate("swe", "pos")
    with torch.no_grad(), tiny.evaluating():
        ((_, batch),) = parts_by_length(model.features(examples), tiny)
        said, states = ProbabilityMean().answering(model, batch)
    mean = torch.stack(alone).mean(0)
    assert torch.allclose(said(states).exp().view(mean.shape).double(), mean.double(), atol=1e-5)
    assert model.kind.decode(said, states, batch) is not None
    assert tiny.adapters.active == mixture
    model.adapts = ProbabilityMean()
    assert len(model.explain(examples, model.features(examples))) == 2
    assert tiny.adapters.active == mixture


@pytest.mark.parametrize("kind", ["parsing", "question-answering"])
def test_answers_without_classes_are_refused(kind: str) -> None:
    metric, labels = ("las", ("root", "nsubj")) if kind == "parsing" else ("qa-f1", ())
    task = TaskSpec(name="mine", kind=kind, metric=metric, labels=labels)
    with pytest.raises(InputError, match="what answers mine has no probabilities that could be averaged"):
        ProbabilityMean().check(task)


def test_entropy_in_nats() -> None:
    assert float(mean_entropy(torch.zeros(3, 4))) == pytest.approx(float(torch.tensor(4.0).log()))
    assert float(mean_entropy(torch.tensor([[100.0, 0.0]]))) == pytest.approx(0.0, abs=1e-6)
