"""Cleaning: Unicode NFC, no repeats, no scraps; what was dropped is counted by reason."""

import hashlib
import re
import struct
import unicodedata
from collections import Counter

MIN_CHARACTERS, MIN_UNSPACED = 10, 4
# letters of scripts without spaces, a few of which are a sentence: Thai, Lao, Tibetan, Burmese, Khmer, kana, Han
UNSPACED_LETTER = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
FILTER_BITS = 1 << 29  # 64 MiB: at 20 million lines one distinct line in 10,000 is taken for a repeat
HASHES = 5
HASH_WORDS = struct.Struct(f"<{HASHES}I")


class Cleaner:
    """Cleans documents one by one; memory stays the same however many there are (Bloom 1970 for the repeats)."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._seen = bytearray(FILTER_BITS // 8)

    def __call__(self, text: str) -> str | None:
        """The cleaned document, or None."""
        text = unicodedata.normalize("NFC", text).replace("\x00", "").strip()
        if not text:
            self.dropped["empty"] += 1
            return None
        if len(text) < MIN_CHARACTERS and len(UNSPACED_LETTER.findall(text)) < MIN_UNSPACED:
            self.dropped[f"shorter than {MIN_CHARACTERS} characters"] += 1
            return None
        if self._repeats(text):
            self.dropped["repeated"] += 1
            return None
        return text

    def _repeats(self, text: str) -> bool:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4 * HASHES).digest()
        seen = True
        for word in HASH_WORDS.unpack(key):
            byte, bit = word % FILTER_BITS >> 3, 1 << (word & 7)
            seen = seen and bool(self._seen[byte] & bit)
            self._seen[byte] |= bit
        return seen


def lot(text: str) -> int:
    """Drawn for a document, below 2**64: by its content, so neither order nor repeats matter."""
    key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"held-out").digest()
    return int.from_bytes(key, "big")


def is_held_out(text: str, share: float) -> bool:
    """Whether a document belongs to the held-out part."""
    return lot(text) < share * 2**64
