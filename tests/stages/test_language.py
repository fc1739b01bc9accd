"""Stage one's loss: where it is computed, and over which tokens."""

from pathlib import Path

import numpy as np
import pytest
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.corpora.masking import Masked
from madx.corpora.packing import Blocks
from madx.corpora.prepare import Corpus
from madx.encoders.encoder import Encoder
from madx.stages.masked_lm import CorpusVocabulary, MaskedLm, held_out_loss, masked_lm_loss

IDS = torch.tensor([[1, 50, 4, 70, 80, 4, 2], [1, 90, 100, 4, 60, 50, 2]])
MASKED = Masked(IDS, IDS == 4, torch.tensor([60, 70, 50]))


def with_adapter(encoder: Encoder) -> Encoder:
    adapter = encoder.adapters.add("swe", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    for parameter in adapter.parameters():
        parameter.data.normal_(std=0.1)
    encoder.adapters.activate("swe")
    return encoder


def test_the_loss_is_the_plain_one_at_masked_positions(encoder: Encoder) -> None:
    with_adapter(encoder)
    logits_BTV = encoder.masked_lm_logits(encoder.hidden(IDS))
    plain = torch.nn.functional.cross_entropy(logits_BTV[MASKED.chosen_BT], MASKED.targets_M, reduction="sum")
    ours = masked_lm_loss(encoder, MASKED)
    assert torch.allclose(plain, ours, rtol=1e-5)
    gradients = [torch.autograd.grad(loss, list(encoder.adapters.parameters())) for loss in (plain, ours)]
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()))


@torch.no_grad()
def test_a_corpus_softmax_is_the_full_one_without_the_tokens_that_never_occur(encoder: Encoder) -> None:
    with_adapter(encoder)
    occurring = np.arange(40, 104, dtype=np.int32)
    vocabulary = CorpusVocabulary.of(occurring, encoder)
    assert vocabulary.decoder.weight_RD.shape == (64, encoder.lm_head.weight.shape[1])
    logits_BTV = encoder.masked_lm_logits(encoder.hidden(IDS))
    absent = torch.ones(encoder.vocabulary, dtype=torch.bool)
    absent[torch.from_numpy(occurring).long()] = False
    plain = torch.nn.functional.cross_entropy(
        logits_BTV[MASKED.chosen_BT].masked_fill(absent, -torch.inf), MASKED.targets_M, reduction="sum"
    )
    assert torch.allclose(plain, masked_lm_loss(encoder, MASKED, vocabulary), rtol=1e-5)
    assert plain < masked_lm_loss(encoder, MASKED)


def test_a_corpus_softmax_of_mixed_texts_has_the_tokens_of_each(tiny: Encoder, tmp_path: Path) -> None:
    """BAD-X: a token that only the other language's text has is a target too."""
    with_adapter(tiny)
    texts = []
    for language, first in (("swe", 100), ("eng", 140)):
        folder = tmp_path / language
        folder.mkdir()
        tokens = np.arange(first, first + 60, dtype=np.dtype("<i4"))
        np.save(folder / "tokens.npy", tokens)
        for part in ("train", "held_out"):
            tokens[:56].tofile(folder / f"{part}.bin")
        corpus = Corpus(language=language, has_spaces=True, sources=(), digests=(), tokenizer="", block_size=8,
                        max_tokens=60)  # fmt: skip
        texts.append((folder, corpus, 1.0))
    text = MaskedLm.of(tiny, texts, "corpus", seed=1)
    assert text.vocabulary is not None
    places = text.vocabulary.place_V.tolist()
    assert [token for token, place in enumerate(places) if place >= 0] == list(range(100, 200))


def test_the_held_out_loss_is_the_same_in_batches_of_any_size(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU takes more blocks at once; what is masked doesn't depend on that."""
    with_adapter(tiny)
    ids = np.random.default_rng(0).integers(10, 2000, (13, 16))
    ids.astype(np.dtype("<i4")).tofile(tmp_path / "held_out.bin")
    losses = []
    for tokens in (16, 64, 10_000):
        monkeypatch.setattr(Encoder, "many_tokens", tokens)
        losses.append(held_out_loss(tiny, Blocks(tmp_path / "held_out.bin", 16))["held_out_loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)
