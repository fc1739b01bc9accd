"""Heads of AdapterHub folders: flexible, of transformers' static classes, and masked-LM heads."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from madx.adapters.heads import Head, HeadSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import VERSION
from madx.formats.heads import STATIC, load_any_head, load_head, load_lm_head, save_head, save_lm_head

IDS = torch.tensor([[1, 40, 50, 60, 2], [1, 99, 98, 97, 2]])
TYPES = {"Bert": "bert", "Roberta": "roberta", "XLMRoberta": "xlm-roberta", "DistilBert": "distilbert",
         "DebertaV2": "deberta-v2", "ModernBert": "modernbert"}  # fmt: skip


def static_folder(folder: Path, model: torch.nn.Module, base_prefix: str, **about: object) -> Path:
    """What a static class's adapter folder holds of its head."""
    folder.mkdir()
    tensors = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith(base_prefix + ".")}
    save_file(tensors, folder / "model_head.safetensors")
    config = {"config": None, "name": None, "model_class": type(model).__name__, "version": VERSION, **about}
    (folder / "head_config.json").write_text(json.dumps(config))
    return folder


def test_a_head_survives(tiny: Encoder, tmp_path: Path) -> None:
    head = Head(HeadSpec(head_type="tagging", num_labels=3, labels=("NOUN", "VERB", "ADJ")), tiny.width)
    save_head(tmp_path, tiny, head, "pos", pickle=True)
    name, loaded = load_head(tmp_path, tiny)
    assert (name, loaded.spec) == ("pos", head.spec)
    assert all(torch.equal(v, head.state_dict()[k]) for k, v in loaded.state_dict().items())


@pytest.mark.parametrize("name", sorted(STATIC))
@torch.no_grad()
def test_a_static_class_computes_the_same(name: str, encoder_folder: Callable[[str], Path], tmp_path: Path) -> None:
    family, _, kind = name.partition("For")
    base = encoder_folder(TYPES[family])
    torch.manual_seed(0)
    labels = 2 if kind == "QuestionAnswering" else 5
    options = {} if kind == "MultipleChoice" else {"num_labels": labels}
    model = getattr(transformers, name).from_pretrained(base, **options).eval()
    encoder = load_encoder(resolve_encoder(str(base)), torch.device("cpu"))
    label2id = {f"L{i}": i for i in reversed(range(labels))}
    folder = static_folder(tmp_path / "head", model, model.base_model_prefix, num_labels=labels, label2id=label2id)
    saved_as, head = load_any_head(folder, encoder)
    assert head is not None
    assert saved_as == "head"
    pooler = getattr(model.base_model, "pooler", None)
    ours = head.eval().logits(encoder.hidden(IDS), pooler)
    ids = IDS[:, None] if kind == "MultipleChoice" else IDS
    theirs = model(input_ids=ids)
    if kind == "QuestionAnswering":
        assert torch.allclose(ours, torch.stack([theirs.start_logits, theirs.end_logits], -1), atol=1e-5)
    else:
        assert torch.allclose(ours, theirs.logits, atol=1e-5)
        assert head.spec.labels == tuple(f"L{i}" for i in range(labels))
    save_head(tmp_path / "again", encoder, head, "head")
    again = load_head(tmp_path / "again", encoder)[1]
    assert again.spec == head.spec
    assert all(torch.equal(v, head.state_dict()[k]) for k, v in again.state_dict().items())


def test_a_masked_lm_head_survives(encoder: Encoder, tmp_path: Path) -> None:
    """Flexible (ModernBERT: static), out of one encoder into a fresh one."""
    if encoder.family.lm_head_format is None:
        with pytest.raises(InputError, match=f"{encoder.model_type} has no masked-LM head"):
            save_lm_head(tmp_path, encoder, "mlm")
        return
    for parameter in (*encoder.lm_head.trainable(), encoder.lm_head.bias):
        parameter.data.normal_()
    with torch.no_grad():
        wanted = encoder.masked_lm_logits(encoder.hidden(IDS).flatten(0, 1))
    save_lm_head(tmp_path, encoder, "mlm", pickle=True)
    fresh = load_encoder(encoder.ref, torch.device("cpu"))
    name, head = load_any_head(tmp_path, fresh)
    assert head is None
    assert name == (tmp_path.name if encoder.model_type == "modernbert" else "mlm")
    with torch.no_grad():
        assert torch.equal(fresh.masked_lm_logits(fresh.hidden(IDS).flatten(0, 1)), wanted)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta", "distilbert", "deberta-v2", "modernbert"])
def test_a_static_masked_lm_head_is_read(
    model_type: str, encoder_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    encoder = load_encoder(resolve_encoder(str(encoder_folder(model_type))), torch.device("cpu"))
    model = transformers.AutoModelForMaskedLM.from_pretrained(encoder_folder(model_type)).eval()
    for key, parameter in model.named_parameters():
        if not key.startswith(model.base_model_prefix + ".") and not key.endswith("decoder.weight"):
            parameter.data.normal_()
    load_lm_head(static_folder(tmp_path / "h", model, model.base_model_prefix), encoder)
    with torch.no_grad():
        ours = encoder.masked_lm_logits(encoder.hidden(IDS).flatten(0, 1))
        assert torch.allclose(ours, model(input_ids=IDS).logits.flatten(0, 1), atol=1e-5)


@pytest.mark.parametrize("shape", [
    {"layers": 1}, {"layers": 1, "bias": False}, {"activation_function": "relu"}, {"activation_function": None},
    {"layer_norm": False}, {"layers": 3, "activation_function": "tanh"},
    {"layers": 3, "layer_norm": False, "bias": False},
])  # fmt: skip
@torch.no_grad()
def test_a_masked_lm_head_of_any_shape_computes_what_its_file_says(
    shape: dict[str, object], encoder_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    encoder = load_encoder(resolve_encoder(str(encoder_folder("xlm-roberta"))), torch.device("cpu"))
    words = encoder.model.get_input_embeddings().weight
    full = {"layers": 2, "activation_function": "gelu", "layer_norm": True, "bias": True, **shape}
    tensors, states, index = {}, encoder.hidden(IDS).flatten(0, 1), 0
    wanted = states
    for _ in range(full["layers"] - 1):
        weight, bias = torch.randn(encoder.width, encoder.width), torch.randn(encoder.width)
        tensors |= {f"heads.mlm.{index}.weight": weight, f"heads.mlm.{index}.bias": bias}
        wanted, index = wanted @ weight.T + bias, index + 1
        if full["activation_function"]:
            wanted, index = getattr(torch.nn.functional, full["activation_function"])(wanted), index + 1
        if full["layer_norm"]:
            weight, bias = torch.randn(encoder.width), torch.randn(encoder.width)
            tensors |= {f"heads.mlm.{index}.weight": weight, f"heads.mlm.{index}.bias": bias}
            eps = encoder.model.config.layer_norm_eps
            wanted, index = torch.nn.functional.layer_norm(wanted, wanted.shape[1:], weight, bias, eps), index + 1
    tensors[f"heads.mlm.{index}.weight"] = words.clone()
    wanted = wanted @ words.T
    if full["bias"]:
        tensors[f"heads.mlm.{index}.bias"] = torch.randn(len(words))
        wanted = wanted + tensors[f"heads.mlm.{index}.bias"]
    save_file(tensors, tmp_path / "model_head.safetensors")
    about = {"name": "mlm", "config": {"head_type": "masked_lm", **full}, "version": VERSION}
    (tmp_path / "head_config.json").write_text(json.dumps(about))
    assert load_any_head(tmp_path, encoder) == ("mlm", None)
    torch.testing.assert_close(encoder.masked_lm_logits(states), wanted, rtol=1e-4, atol=1e-4)
    save_lm_head(tmp_path / "again", encoder, "mlm")
    written = load_file(tmp_path / "again" / "model_head.safetensors")
    assert written.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[key]) for key, value in written.items())
    config = json.loads((tmp_path / "again" / "head_config.json").read_text())["config"]
    assert {key: config[key] for key in full} == full


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"layers": 0}, "layers"), ({"layers": "2"}, "layers"), ({"activation_function": "rellu"}, "'rellu'"),
     ({"bias": None}, "bias")],
)  # fmt: skip
def test_a_masked_lm_heads_configuration_is_checked(tiny: Encoder, encoder_folder: Callable[[str], Path],
    tmp_path: Path, wrong: dict[str, object], message: str) -> None:  # fmt: skip
    encoder = load_encoder(resolve_encoder(str(encoder_folder("bert"))), torch.device("cpu"))
    save_lm_head(tmp_path, encoder, "mlm")
    path = tmp_path / "head_config.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "config": {**about["config"], **wrong}}))
    with pytest.raises(InputError, match=message) as error:
        load_any_head(tmp_path, encoder)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="modernbert has no flexible masked-LM head"):
        load_any_head(tmp_path, tiny)


def test_a_head_that_cannot_be_right_is_refused(encoder_folder: Callable[[str], Path], tmp_path: Path) -> None:
    encoder = load_encoder(resolve_encoder(str(encoder_folder("bert"))), torch.device("cpu"))
    save_lm_head(tmp_path, encoder, "mlm")
    weights = tmp_path / "model_head.safetensors"
    tensors = load_file(weights)
    before = encoder.lm_head.bias.clone()
    for wrong, message in (
        ({"heads.mlm.3.weight": tensors["heads.mlm.3.weight"] + 1}, "aren't those of"),
        ({"heads.mlm.2.bias": torch.zeros(3)}, "has shape"),
        ({"heads.mlm.3.bias": None}, "is missing"),
    ):
        merged = {**tensors, "heads.mlm.0.bias": tensors["heads.mlm.0.bias"] + 1, **wrong}
        save_file({k: v for k, v in merged.items() if v is not None}, weights)
        with pytest.raises(InputError, match=message):
            load_lm_head(tmp_path, encoder)
        assert torch.equal(encoder.lm_head.bias, before)
    about = json.loads((tmp_path / "head_config.json").read_text())
    (tmp_path / "head_config.json").write_text(json.dumps({**about, "config": None, "model_class": "T5ForX"}))
    with pytest.raises(InputError, match="head of 'T5ForX' can't be read"):
        load_any_head(tmp_path, encoder)
