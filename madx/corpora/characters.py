"""What a tokenizer gets of a text, in all three stages alike: Unicode NFC, and no special token.

`<s>` or `<mask>` in running text is four or six letters; a tokenizer would take it for the real thing. A blank behind
its first letter keeps it from that.
"""

import re
import unicodedata
from typing import Any

Places = list[tuple[int, int]]  # of each character that is read, the first and last + 1 character that it stands for


class Characters:
    """Texts as one tokenizer is to read them."""

    def __init__(self, tokenizer: Any) -> None:
        tokens = sorted((t for t in tokenizer.all_special_tokens if len(t) > 1), key=len, reverse=True)
        self._special = re.compile("|".join("".join(map(_in_any_width, token)) for token in tokens) or r"(?!)")

    def __call__(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        while match := self._special.search(text):  # again: a blank may leave another one
            text = f"{text[: match.start() + 1]} {text[match.start() + 1 :]}"
        return text

    def with_places(self, text: str) -> tuple[str, Places]:
        """The text as it is read, and where each of its characters stood."""
        read: list[str] = []
        places: Places = []
        for start, end, part in _composed(text):
            read.append(part)
            places += [(start, end)] * len(part)
        composed = "".join(read)
        while match := self._special.search(composed):
            cut = match.start() + 1
            composed = f"{composed[:cut]} {composed[cut:]}"
            places.insert(cut, (places[cut - 1][1], places[cut - 1][1]))
        return composed, places


def _in_any_width(character: str) -> str:
    """As a pattern; its full-width form, which most tokenizers take for the same, is meant too."""
    wide = chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else ""
    return f"[{re.escape(character)}{wide}]"


def _composed(text: str) -> list[tuple[int, int, str]]:
    """(start, end, NFC) of pieces of a text that compose by themselves; single characters where nothing does."""
    if unicodedata.is_normalized("NFC", text):
        return [(i, i + 1, c) for i, c in enumerate(text)]
    found: list[tuple[int, int, str]] = []
    start, whole = 0, ""
    for end, c in enumerate(text):
        alone = unicodedata.normalize("NFC", c)
        joined = unicodedata.normalize("NFC", text[start : end + 1])
        if whole and not unicodedata.combining(alone[0]) and joined == whole + alone:
            found.append((start, end, whole))
            start, whole = end, alone
        else:
            whole = joined
    return [*found, (start, len(text), whole)] if text else found
