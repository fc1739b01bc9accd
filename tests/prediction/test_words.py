"""Words and sentences of running text."""

import pytest

from madx.prediction.words import sentences_of, words_of


def pairs(text: str) -> list[int]:
    """A tokenizer whose pieces have two characters."""
    return list(range(0, len(text), 2))


def split(text: str) -> list[str]:
    return [text[a:b] for a, b in words_of(text, pairs)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hví ikki?", ["Hví", "ikki", "?"]),
        ("don't e-post 3,5 kl. 12:30", ["don't", "e-post", "3,5", "kl", ".", "12:30"]),
        ("(sagði hon) ...", ["(", "sagði", "hon", ")", "..."]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are marks, no signs
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("e\u0301te\u0301\u00a0x", ["e\u0301te\u0301", "x"]),
        ("我们今天去", ["我们", "今天", "去"]),
        ("在Tórshavn。好", ["在", "Tórshavn", "。", "好"]),
        ("กิน\u200bข้าว", ["กิ", "น", "ข้", "าว"]),  # a mark stays with its letter
        ("a\x00b\ufeff c", ["a", "b", "c"]),
        ("", []),
        (" \t ", []),
    ],
)
def test_words(text: str, wanted: list[str]) -> None:
    assert split(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("He came. She left!", ["He came.", "She left!"]),
        ('"Go." he said. "Now!" Then', ['"Go." he said.', '"Now!"', "Then"]),
        ("J. Lund kom den 3. mai. Så", ["J. Lund kom den 3. mai.", "Så"]),
        ("我来了。你呢？好", ["我来了。", "你呢？", "好"]),
        ("No end", ["No end"]),
        ("क्या? हाँ।", ["क्या?", "हाँ।"]),
    ],
)
def test_sentences(text: str, wanted: list[str]) -> None:
    parts = sentences_of(text, words_of(text, pairs))
    assert [text[part[0][0] : part[-1][1]] for part in parts] == wanted
