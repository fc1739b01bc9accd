"""Tokenizer health."""

import pytest

from madx.corpora.health import Health, health


def letters(texts: list[str]) -> list[list[int]]:
    """A token a letter; 0 for what isn't ASCII."""
    return [[ord(c) if c.isascii() else 0 for c in text if c != " "] for text in texts]


def test_unknown_tokens_and_subwords_are_counted_over_batches() -> None:
    seen = health((text for text in ["ab cd", "é"] * 1_500), letters, 0)
    assert seen == Health(sentences=3_000, words=4_500, tokens=7_500, unknown=1_500)
    assert seen.unknown_rate == pytest.approx(0.2)
    assert seen.subwords_per_word == pytest.approx(5 / 3)


def test_nothing_is_no_division() -> None:
    assert health([], letters, 0).subwords_per_word == 0.0


def test_a_tokenizer_without_an_unknown_token() -> None:
    assert health(["é"], letters, None).unknown == 0
