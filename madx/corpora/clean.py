"""Cleaning: Unicode NFC, no repeats, no scraps; what was dropped is counted by reason."""

import hashlib
import unicodedata
from collections import Counter

import numpy as np

MIN_CHARACTERS = 10
FILTER_BITS = 1 << 29  # 64 MiB: at 20 million lines one distinct line in 10,000 is taken for a repeat
HASHES = 5


class Cleaner:
    """Cleans documents one by one; memory stays the same however many there are (Bloom 1970 for the repeats)."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.kept = 0
        self._seen = np.zeros(FILTER_BITS // 8, dtype=np.uint8)

    def __call__(self, text: str) -> str | None:
        """The cleaned document, or None."""
        text = unicodedata.normalize("NFC", text).replace("\x00", "").strip()
        if not text:
            self.dropped["empty"] += 1
            return None
        if len(text) < MIN_CHARACTERS:
            self.dropped[f"shorter than {MIN_CHARACTERS} characters"] += 1
            return None
        if self._repeats(text):
            self.dropped["repeated"] += 1
            return None
        self.kept += 1
        return text

    def _repeats(self, text: str) -> bool:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4 * HASHES).digest()
        bits = [int.from_bytes(key[4 * i : 4 * i + 4], "little") % FILTER_BITS for i in range(HASHES)]
        seen = all(self._seen[bit >> 3] >> (bit & 7) & 1 for bit in bits)
        for bit in bits:
            self._seen[bit >> 3] |= 1 << (bit & 7)
        return bool(seen)


def is_held_out(text: str, share: float) -> bool:
    """Whether a document belongs to the held-out part: by its content, so neither order nor repeats matter."""
    key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"held-out").digest()
    return int.from_bytes(key, "big") < share * 2**64
