"""The bundled encoder: small enough to ship, whole, and the same for whoever has no madx."""

from pathlib import Path

import pytest
import torch
from tiny_encoders import QUICKSTART, make_encoder
from transformers import AutoModelForMaskedLM, AutoTokenizer

from madx.config import InputError
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.export import export_encoder
from madx.encoders.reference import BUNDLED, resolve_encoder

MEGABYTES = 30.0  # what it may add to the package


@pytest.fixture(scope="module")
def mini() -> Encoder:
    return load_encoder(resolve_encoder("mini"), torch.device("cpu"))


def test_it_fits_into_the_package() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) <= MEGABYTES * 1e6


def test_it_is_whole(mini: Encoder) -> None:
    assert mini.lm_head_is_trained
    assert (mini.num_layers, mini.width, mini.vocabulary) == (6, 384, 49_152)
    assert len(mini.tokenizer) == mini.vocabulary


@torch.no_grad()
def loss(mini: Encoder, sentences: list[str]) -> float:
    """Mean masked-LM loss, every fifth token masked; 10.8 is guessing."""
    total = count = 0.0
    for sentence in sentences:
        ids_BT = torch.tensor([mini.tokenizer(sentence)["input_ids"]])
        chosen_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        chosen_BT[0, 2:-1:5] = True
        masked_BT = ids_BT.masked_fill(chosen_BT, mini.tokenizer.mask_token_id)
        total += float(mini.masked_lm_loss(mini.hidden(masked_BT)[chosen_BT], ids_BT[chosen_BT]))
        count += float(chosen_BT.sum())
    return total / count


def test_it_reads_what_it_has_seen_and_hardly_anything_else(mini: Encoder) -> None:
    texts = {
        code: (QUICKSTART / f"{code}.txt").read_text(encoding="utf-8").splitlines()[:20]
        for code in ("eng", "swe", "gsw")
    }
    english, swedish, unseen = (loss(mini, lines) for lines in texts.values())
    turned = loss(mini, [" ".join(reversed(line.split())) for line in texts["eng"]])
    assert english < 5
    assert swedish < 5.5
    assert turned > english + 1.5
    assert unseen > english + 2.5


@torch.no_grad()
def test_transformers_alone_computes_the_same_with_what_is_exported(mini: Encoder, tmp_path: Path) -> None:
    export_encoder(resolve_encoder("mini"), tmp_path / "out")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float32
    ids = tokenizer("De Hund <mask> under em Tisch.", return_tensors="pt")["input_ids"]
    assert ids.tolist() == [mini.tokenizer("De Hund <mask> under em Tisch.")["input_ids"]]
    ours = mini.masked_lm_logits(mini.hidden(ids)[0])
    assert torch.allclose(model(input_ids=ids).logits[0], ours, atol=1e-4)
    with pytest.raises(InputError, match="is there already"):
        export_encoder(resolve_encoder("mini"), tmp_path / "out")


def test_an_encoder_without_a_masked_lm_head_is_not_exported(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_encoder(tmp_path / "bare", "bert")
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("cls.")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="no trained masked-LM head"):
        export_encoder(resolve_encoder(str(folder)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
