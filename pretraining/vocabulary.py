"""Fewer pieces: those of E5's tokenizer that the languages of the shared data need, and the tokenizer made of them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import sentencepiece as spm
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pretraining.e5 import E5

BOS, PAD, EOS, UNK = range(4)  # <s>, <pad>, </s>, <unk>, in XLM-R's order; <mask> is last
SHARE = 0.6  # a language with t pieces of text counts as t ** SHARE


def charsmap(work: Path) -> bytes:
    """sentencepiece's nmt_nfkc, out of any model trained with it: field 2 of field 3 of the model's protobuf."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter([letters, letters[::-1]] * 20), model_prefix=str(work / "charsmap"), vocab_size=30,
        normalization_rule_name="nmt_nfkc", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    normaliser = _field((work / "charsmap.model").read_bytes(), 3)
    return _field(normaliser, 2)


def _field(message: bytes, wanted: int) -> bytes:
    """The first length-delimited field of that number in a protobuf message."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            length = varint()
            at += length
            if key >> 3 == wanted:
                return message[at - length : at]
        elif key & 7 == 0:
            varint()
        else:
            at += 4 if key & 7 == 5 else 8
    raise ValueError(f"no field {wanted}")


def make_tokenizer(vocabulary: list[tuple[str, float]], work: Path) -> PreTrainedTokenizerFast:
    """XLM-R's: nmt_nfkc, runs of blanks to one, a blank before each word, unigram pieces with their scores."""
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=UNK, byte_fallback=False))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap(work)), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", unk_token="<unk>", mask_token="<mask>", model_max_length=512,
    )  # fmt: skip


def encode(tokenizer: PreTrainedTokenizerFast, sentences: list[str]) -> list[list[int]]:
    return [list(e.ids) for e in tokenizer.backend_tokenizer.encode_batch_fast(sentences, add_special_tokens=False)]


def whole_vocabulary(e5: E5) -> list[tuple[str, float]]:
    """E5's pieces with their scores; its last is the mask."""
    return [(piece, float(score)) for piece, score in zip(e5.pieces, e5.scores, strict=True)]


def choose_pieces(e5: E5, texts: Iterable[tuple[str, list[str]]], size: int, work: Path) -> list[int]:
    """Rows of E5's vocabulary to keep, at most `size`, in its order: specials (the mask is last), each single
    character seen, then the most frequent over all languages.

    texts: a language and its sentences.
    """
    tokenizer = make_tokenizer(whole_vocabulary(e5), work)
    weights: Counter[int] = Counter()
    characters: set[str] = set()
    for _, sentences in texts:
        counts: Counter[int] = Counter()
        for ids in encode(tokenizer, sentences):
            counts.update(ids)
        characters.update(*map(str, sentences))
        total = counts.total()
        for piece, count in counts.items():
            weights[piece] += count / total * total**SHARE  # type: ignore[assignment]
    special = [e5.bos, e5.pad, e5.eos, e5.unk, len(e5.pieces) - 1]
    single = [i for i, piece in enumerate(e5.pieces) if piece in characters or piece == "▁"]
    frequent = [i for i, _ in sorted(weights.items(), key=lambda item: (-item[1], item[0]))]
    kept = list(dict.fromkeys([*special, *single, *frequent]))[:size]
    return sorted(kept)  # the first four and the last piece are special in E5's order too


def cut_vocabulary(e5: E5, kept: list[int]) -> list[tuple[str, float]]:
    """The pieces of the rows kept, scores as they were."""
    whole = whole_vocabulary(e5)
    return [whole[i] for i in kept]
