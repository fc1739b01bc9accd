"""LoRA, IA3 and BitFit: the formulas, PEFT's own numbers and folders, and an encoder that is bit for bit as it was."""

import json
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM

from madx.adapters.beside import LowRank, Scaled, ScaledInput
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.peft import CONFIG, linear_parts, load_peft
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.beside import BesideLinears, Ia3, Lora
from madx.methods.bitfit import BitFit
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.method import Method
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 60, 50, 2]])
# peft 0.21 asks transformers by an old name
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
ALL = ("query", "key", "value", "intermediate", "output")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Store(tmp_path / "store"), torch.device("cpu"))


def attached(encoder: Encoder, method: Method, name: str, session: Session) -> dict[str, torch.nn.Parameter]:
    """With weights that do something."""
    parameters = method.attach(encoder, name, 1, session)
    torch.manual_seed(2)
    for parameter in parameters.values():
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    encoder.activate()
    encoder.activate(name)
    return parameters


def test_the_formulas() -> None:
    torch.manual_seed(0)
    linear, x = torch.nn.Linear(4, 6), torch.randn(2, 3, 4)
    plain = linear(x)
    low, out, inner = LowRank(4, 6, 2, scale=1.5), Scaled(6), ScaledInput(4)
    with low.hook(linear):
        assert torch.equal(linear(x), plain)  # zero at the start
    for parameter in (low.b_OR, out.l_O, inner.l_I):
        parameter.data.normal_()
    update = low.b_OR @ low.a_RI
    expected = {low: x @ (linear.weight + 1.5 * update).T + linear.bias, out: plain * out.l_O,
                inner: (x * inner.l_I) @ linear.weight.T + linear.bias}  # fmt: skip
    for part, y in expected.items():
        with part.hook(linear):
            assert torch.allclose(linear(x), y, atol=1e-6)
    assert torch.equal(linear(x), plain)


@pytest.mark.parametrize("method", [Lora(rank=3, matrices=ALL), Ia3(), BitFit()], ids=lambda m: m.what)
def test_the_encoder_is_bit_for_bit_what_it_was(
    encoder: Encoder, method: Method, session: Session, tmp_path: Path
) -> None:
    """In every family; what was saved gives the same states again, packed or padded."""
    if isinstance(method, BitFit) and encoder.model_type in ("modernbert", "eurobert"):
        with pytest.raises(InputError, match="has no biases"):
            method.check(encoder)
        return
    method.check(encoder)
    before = {name: p.detach().clone() for name, p in encoder.base.named_parameters()}
    hooks = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in encoder.base.named_modules()}
    plain = encoder.hidden(IDS)
    with method.borrowed(encoder):
        attached(encoder, method, "pos", session)
        changed = encoder.hidden(IDS).detach()
        method.save(tmp_path, encoder, "pos", save_as="pos")
    assert not torch.allclose(changed, plain, atol=1e-5)
    assert torch.equal(encoder.hidden(IDS), plain)
    assert {n: (len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in encoder.base.named_modules()} == hooks
    after = dict(encoder.base.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) and not after[name].requires_grad for name, value in before.items())
    mask = torch.ones_like(IDS)
    mask[0, 5:] = 0
    read = mask.nonzero(as_tuple=True)
    with method.borrowed(encoder):
        method.load(tmp_path, encoder, "pos")
        method.retarget(encoder, "pos", None)
        assert torch.allclose(encoder.hidden(IDS), changed, atol=1e-6)
        assert torch.allclose(encoder.hidden(IDS, mask, read=read), encoder.hidden(IDS, mask)[read], atol=1e-5)


@pytest.mark.parametrize("method", [Lora(rank=3, matrices=ALL), Ia3(), BitFit()], ids=lambda m: m.what)
def test_only_what_is_its_own_gets_gradients(encoder_of_bert: Encoder, method: Method, session: Session) -> None:
    encoder = encoder_of_bert
    with method.borrowed(encoder):
        parameters = attached(encoder, method, "pos", session)
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        encoder.hidden(IDS).square().mean().backward()
        own = [key for key in parameters if "position" not in key]
        assert all(parameters[key].grad is not None for key in own if not key.startswith("change.pooler"))
        if isinstance(method, BesideLinears):
            assert not any(p.requires_grad for p in encoder.base.parameters())
    assert not any(p.requires_grad for p in encoder.base.parameters())


def test_over_a_language_adapter_and_beside_another(encoder: Encoder, session: Session) -> None:
    """The sub-layer's output, with the LoRA in it, is what an adapter at the same place works on."""
    with encoder.lent():
        attached(encoder, BottleneckAdapter(), "swe", session)
        attached(encoder, Lora(matrices=("output",)), "dan", session)
        attached(encoder, Lora(rank=2), "pos", session)
        merged = {}
        for name in ("dan", "pos"):
            for path, part in linear_parts(encoder, name).by_path.items():
                assert isinstance(part, LowRank)
                merged[path] = part.scale * part.b_OR @ part.a_RI
        seen: list[Tensor] = []
        for setup in ((), ("swe",), ("dan",), ("swe", "pos"), ("dan", "pos"), ("swe", "dan", "pos")):
            encoder.activate(*setup)
            seen.append(encoder.hidden(IDS).detach())
        assert all(not torch.allclose(a, b, atol=1e-5) for i, a in enumerate(seen) for b in seen[:i])
        encoder.activate("swe")
        for path, update in merged.items():
            encoder.base.get_submodule(path).weight.data.add_(update.detach())
        try:
            assert torch.allclose(encoder.hidden(IDS), seen[-1], atol=1e-5)
        finally:
            for path, update in merged.items():
                encoder.base.get_submodule(path).weight.data.sub_(update.detach())


@pytest.mark.parametrize("method", [Lora(rank=3, alpha=5.0, matrices=ALL), Ia3()], ids=lambda m: m.what)
def test_peft_reads_what_is_written_and_computes_the_same(
    encoder: Encoder, method: BesideLinears, session: Session, tmp_path: Path
) -> None:
    with method.borrowed(encoder):
        attached(encoder, method, "pos", session)
        ours = encoder.hidden(IDS).detach()
        method.save(tmp_path / "out", encoder, "pos", save_as="pos")
    model = AutoModelForMaskedLM.from_pretrained(encoder.ref.path).base_model
    theirs = peft.PeftModel.from_pretrained(model, str(tmp_path / "out")).eval()
    assert torch.allclose(theirs(input_ids=IDS).last_hidden_state, ours, atol=1e-5)


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_what_peft_writes_is_read_and_computes_the_same(encoder_of_bert: Encoder, kind: str, tmp_path: Path) -> None:
    """A task model's, with its prefix and a saved head."""
    encoder = encoder_of_bert
    model = AutoModelForMaskedLM.from_pretrained(encoder.ref.path).base_model
    config = {
        "lora": peft.LoraConfig(r=4, lora_alpha=6, target_modules=["query", "output.dense"]),
        "ia3": peft.IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"]),
    }[kind]
    theirs = peft.get_peft_model(model, config).eval()
    torch.manual_seed(0)
    for name, parameter in theirs.named_parameters():
        if "lora_" in name or "ia3_" in name:
            parameter.data.normal_(std=0.3)
    theirs.save_pretrained(str(tmp_path))
    expected = theirs(input_ids=IDS).last_hidden_state
    path = tmp_path / "adapter_model.safetensors"
    tensors = {key.replace("base_model.model.", "base_model.model.bert."): v for key, v in load_tensors(path).items()}
    save_tensors(path, {**tensors, "base_model.model.classifier.weight": torch.zeros(2, 16)})
    about = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**about, "modules_to_save": ["classifier"]}))
    load_peft(tmp_path, encoder, "pos")
    encoder.activate("pos")
    assert torch.allclose(encoder.hidden(IDS), expected, atol=1e-5)
    encoder.clear()


def test_what_is_no_plain_lora_of_this_encoder_is_refused(tiny: Encoder, session: Session, tmp_path: Path) -> None:
    method = Lora()
    with method.borrowed(tiny):
        attached(tiny, method, "pos", session)
        method.save(tmp_path, tiny, "pos", save_as="pos")
    about, weights = json.loads((tmp_path / CONFIG).read_text()), load_tensors(tmp_path / "adapter_model.safetensors")
    one = next(iter(weights))
    for change, tensors, why in (
        ({"use_dora": True}, weights, "use_dora = True is not supported"),
        ({"peft_type": "BOFT"}, weights, "peft_type 'BOFT' is not supported"),
        ({"lora_alpha": "8"}, weights, "lora_alpha is not a number"),
        ({}, {**weights, "base_model.model.else.lora_A.weight": torch.ones(2, 2)}, "'else' is no linear layer"),
        ({}, {**weights, "elsewhere": torch.ones(2, 2)}, "unexpected tensor 'elsewhere'"),
        ({}, {k: v for k, v in weights.items() if k != one}, "has not the tensors of a LORA"),
        ({}, {**weights, one: torch.ones(3, 5)}, "has not the tensors of a LORA"),
    ):
        (tmp_path / CONFIG).write_text(json.dumps({**about, **change}))
        save_tensors(tmp_path / "adapter_model.safetensors", tensors)
        with pytest.raises(InputError, match=why):
            load_peft(tmp_path, tiny, "pos")
