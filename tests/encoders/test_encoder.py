"""Every family of encoders: hooks change what they should and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_encoders import FAMILIES, make_encoder
from transformers import AutoModelForMaskedLM

from madx.adapters.fusion import FusionSpec
from madx.adapters.setup import Fuse
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError
from madx.encoders import families
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder

IDS = torch.tensor([[1, 50, 60, 70, 80, 2], [1, 90, 100, 2, 0, 0]])
MASK = IDS != 0
LANGUAGE = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec(), placement=("attention", "ffn"))


def add(encoder: Encoder, name: str, spec: BottleneckSpec) -> None:
    torch.manual_seed(sum(map(ord, name)))  # with other weights a ReLU may be dead everywhere, and its gradient zero
    adapter = encoder.adapters.add(name, spec)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


@torch.no_grad()
def test_without_an_active_adapter_it_is_the_base_bit_for_bit(encoder: Encoder) -> None:
    plain = AutoModelForMaskedLM.from_pretrained(encoder.ref.path).eval()
    wanted = plain(input_ids=IDS, attention_mask=MASK).logits
    add(encoder, "swe", LANGUAGE)
    hidden = encoder.hidden(IDS, MASK)
    assert torch.equal(encoder.masked_lm_logits(hidden), wanted)
    assert set(encoder.model.state_dict()) == set(plain.state_dict())


@torch.no_grad()
def test_adapters_act_in_order_and_can_be_swapped(encoder: Encoder) -> None:
    for name in ("swe", "por"):
        add(encoder, name, LANGUAGE)
    add(encoder, "ner", BottleneckSpec())
    outputs = []
    for stack in ((), ("swe",), ("por",), ("swe", "ner"), ("por", "ner"), ("ner", "swe")):
        encoder.adapters.activate(*stack)
        outputs.append(encoder.hidden(IDS, MASK))
    for i, one in enumerate(outputs):
        for other in outputs[i + 1 :]:
            assert not torch.allclose(one, other)
    encoder.adapters.activate("swe", "ner")
    assert torch.equal(encoder.hidden(IDS, MASK), outputs[3])


def test_only_the_active_adapters_get_gradients(encoder: Encoder) -> None:
    add(encoder, "swe", LANGUAGE)
    add(encoder, "por", LANGUAGE)
    encoder.adapters.activate("swe")
    encoder.masked_lm_logits(encoder.hidden(IDS, MASK)[MASK]).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.adapters.get("swe").parameters())
    assert all(p.grad is None for p in encoder.adapters.get("por").parameters())
    assert all(p.grad is None for p in encoder.model.parameters())


@torch.no_grad()
def test_every_layer_and_place_has_a_site(encoder: Encoder) -> None:
    assert sorted((s.layer, s.place) for s in encoder.sites) == [(i, p) for i in (0, 1) for p in ("attention", "ffn")]
    base = encoder.hidden(IDS, MASK)
    for layer in (0, 1):
        for place in ("attention", "ffn"):
            add(encoder, "one", BottleneckSpec(placement=(place,), leave_out=(1 - layer,)))
            encoder.adapters.activate("one")
            assert not torch.allclose(encoder.hidden(IDS, MASK), base), (layer, place)


@torch.no_grad()
def test_skipped_layers_are_bypassed(tiny: Encoder) -> None:
    add(tiny, "one", BottleneckSpec(leave_out=(1,)))
    tiny.adapters.activate("one")
    tiny.adapters.skip_layers = frozenset({0})
    skipped = tiny.hidden(IDS, MASK)
    tiny.adapters.activate()
    assert torch.equal(skipped, tiny.hidden(IDS, MASK))


def test_a_lent_encoder_is_put_back_whatever_happened(tiny: Encoder) -> None:
    before = {k: v.clone() for k, v in tiny.model.state_dict().items()}

    def go_wrong() -> None:
        with tiny.lent(*tiny.base.parameters()):
            assert not tiny.model.training
            tiny.adapters.add("swe", LANGUAGE)
            tiny.adapters.activate("swe")
            tiny.adapters.skip_layers = frozenset({0})
            tiny.model.train()
            for parameter in tiny.base.parameters():
                parameter.requires_grad_(True)
                parameter.data.add_(1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go_wrong()
    assert all(torch.equal(v, before[k]) for k, v in tiny.model.state_dict().items())
    assert not any(p.requires_grad for p in tiny.model.parameters())
    assert not any(m.training for m in (*tiny.model.modules(), *tiny.adapters.modules()))
    assert tiny.adapters.active is None
    assert not tiny.adapters.skip_layers
    assert not list(tiny.adapters.parameters())


def test_evaluation_drops_nothing_out_and_cools_no_fusion(tiny: Encoder) -> None:
    """Also what joins the bank in the middle of training, and training goes on afterwards."""

    def differs() -> bool:
        return not torch.equal(tiny.hidden(IDS, MASK), tiny.hidden(IDS, MASK))

    with tiny.training():
        add(tiny, "a", BottleneckSpec(dropout=0.5))
        add(tiny, "b", BottleneckSpec())
        tiny.adapters.add_fusion("a,b", FusionSpec(temperature=True, dropout_prob=0.5), "a", "b")
        for setup in ("a", Fuse("a", "b")):
            tiny.adapters.activate(setup)
            assert differs()
            with tiny.evaluating():
                assert not differs()
            assert differs()
    assert not differs()


@torch.no_grad()
def test_every_layers_states_are_those_of_the_model(encoder: Encoder) -> None:
    add(encoder, "swe", LANGUAGE)
    encoder.adapters.activate("swe")
    read = (torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2]))
    out = encoder.base(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)
    wanted = [*out.hidden_states[1:-1], out.last_hidden_state]
    for can_pack in {False, encoder.can_pack}:
        encoder.can_pack = can_pack
        found = encoder.states_by_layer(IDS, MASK, read)
        assert len(found) == encoder.num_layers
        for ours, theirs in zip(found, wanted, strict=True):
            assert torch.allclose(ours, theirs[read], atol=1e-5)
        assert torch.equal(found[-1], encoder.hidden(IDS, MASK, read=read))


def test_a_directory_without_weights_is_refused(tmp_path: Path, encoder_folder: Callable[[str], Path]) -> None:
    (tmp_path / "config.json").write_bytes((encoder_folder("bert") / "config.json").read_bytes())
    with pytest.raises(InputError, match="has no weights"):
        resolve_encoder(str(tmp_path))


def test_damaged_and_foreign_encoders_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "one", "bert")
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_encoder(resolve_encoder(str(folder)), torch.device("cpu"))
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="'gpt2' is not supported"):
        load_encoder(resolve_encoder(str(folder)), torch.device("cpu"))


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_an_encoder_without_a_tokenizer_is_refused(model_type: str, tmp_path: Path) -> None:
    """transformers makes one up, of special tokens alone, and scores would come out."""
    folder = make_encoder(tmp_path / "base", model_type)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InputError, match="no tokenizer") as error:
        load_encoder(resolve_encoder(str(folder)), torch.device("cpu")).tokenizer  # noqa: B018
    assert "\n" not in str(error.value)


def test_a_tokenizer_of_another_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "bert", {**FAMILIES["bert"], "vocab_size": 1_500})
    folder = make_encoder(tmp_path / "base", "bert")
    with pytest.raises(InputError, match=r"its tokenizer has \d+ ids, but the embeddings have 1500 rows"):
        load_encoder(resolve_encoder(str(folder)), torch.device("cpu")).tokenizer  # noqa: B018


def test_a_pooler_that_would_be_random_is_refused(encoder: Encoder) -> None:
    """The fixtures are saved from masked-LM models, which have none."""
    with pytest.raises(InputError, match="no pooler's weights"):
        encoder.pooler  # noqa: B018


def test_every_family_is_tested() -> None:
    assert {t for family in families.FAMILIES for t in family.model_types} == set(FAMILIES)


@pytest.mark.parametrize(
    ("spec", "leaves_out_work"),
    [
        (LANGUAGE, True),
        (BottleneckSpec(ln_before=True, ln_after=True), True),
        (BottleneckSpec(parallel=True, original_ln_before=False, placement=("attention", "ffn")), True),
        (BottleneckSpec(leave_out=(1,)), True),
        (BottleneckSpec(use_gating=True), False),  # its gate is a mean over all positions
        (None, True),
    ],
)
def test_the_last_layer_at_read_positions_alone_is_exact(
    encoder: Encoder, spec: BottleneckSpec | None, leaves_out_work: bool
) -> None:
    """States and every gradient as in the plain computation; and the last feed-forward saw the read positions only."""
    if spec is not None:
        add(encoder, "swe", spec)
        encoder.adapters.activate("swe")
    trained = [*encoder.adapters.parameters(), *encoder.model.get_input_embeddings().parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    read = (torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2]))
    torch.manual_seed(0)
    direction = torch.randn(3, encoder.width)
    seen: list[int] = []
    last = list(encoder.base.modules())
    wide = [m for m in last if isinstance(m, torch.nn.Linear) and m.in_features == encoder.width][-1]
    wide.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:-1].numel()))
    gradients = []
    for states in (lambda: encoder.hidden(IDS, MASK)[read], lambda: encoder.hidden(IDS, MASK, read=read)):
        out = states()
        (out * direction).sum().backward()
        gradients.append((out.detach(), [None if p.grad is None else p.grad.clone() for p in trained]))
        encoder.model.zero_grad()
        encoder.adapters.zero_grad()
    assert torch.allclose(gradients[0][0], gradients[1][0], atol=1e-5)
    for plain, fast in zip(gradients[0][1], gradients[1][1], strict=True):
        assert (plain is None) == (fast is None)
        assert plain is None or torch.allclose(plain, fast, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))
    assert seen == [IDS.numel(), 3 if leaves_out_work else IDS.numel()]


def test_bf16_products_leave_states_losses_and_gradients_in_fp32(
    encoder: Encoder,
) -> None:
    """A GPU's way of computing, on this processor."""
    encoder.can_pack = False
    add(encoder, "swe", LANGUAGE)
    encoder.adapters.activate("swe")
    trained = list(encoder.adapters.parameters())
    read = (torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2]))
    results = []
    for precision in ("fp32", "bf16"):
        encoder.precision = precision
        states = encoder.hidden(IDS, MASK, read=read)
        loss = encoder.masked_lm_loss(states, torch.tensor([50, 80, 100]))
        gradients = torch.autograd.grad(loss, trained, allow_unused=True)
        results.append([loss.detach(), torch.cat([g.flatten() for g in gradients if g is not None])])
        assert loss.dtype == results[-1][1].dtype == torch.float32
    (exact, wanted), (rough, found) = results
    assert 0 < abs(rough - exact) < 0.02 * exact
    assert torch.nn.functional.cosine_similarity(wanted, found, dim=0) > 0.95
