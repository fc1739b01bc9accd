"""A language's own vocabulary as files: its tokenizer as transformers saves one, and its rows as safetensors.

No other program knows it: AdapterHub's would load the adapter and read with the encoder's own vocabulary.
"""

from pathlib import Path

from torch import nn

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.vocabulary import Vocabulary, check_rows, check_vocabulary, tokenizer_in
from madx.formats.tensors import load_tensors, save_tensors

FILE, TOKENIZER = "vocabulary.safetensors", "tokenizer"


def save_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    save_tensors(folder / FILE, dict(vocabulary.parameters()))
    vocabulary.tokenizer.save_pretrained(folder / TOKENIZER)


def load_vocabulary(folder: Path, encoder: Encoder) -> Vocabulary:
    """Frozen, on the encoder's device. Raises InputError where it isn't one of this encoder's."""
    check_vocabulary(encoder)
    tensors = load_tensors(folder / FILE)
    if not tensors.keys() <= {"rows", "bias"} or "rows" not in tensors:
        raise InputError(f"{folder / FILE}: holds {', '.join(sorted(tensors))[:80]}, not 'rows' and 'bias'")
    tokenizer = tokenizer_in(folder / TOKENIZER)
    parts = {key: nn.Parameter(value.to(encoder.device), requires_grad=False) for key, value in tensors.items()}
    vocabulary = Vocabulary(tokenizer, parts["rows"], parts.get("bias"))
    check_rows(encoder, vocabulary, str(folder / FILE))
    return vocabulary


def without_vocabulary(folder: Path) -> None:
    """Raises InputError for an adapter with a vocabulary of its own, which others would leave out."""
    if (folder / FILE).exists():
        raise InputError(
            f"{folder}: its vocabulary belongs to it, and AdapterHub would ignore that; it is used in its run alone, "
            "or train `madx` for an adapter to pass on"
        )
