"""Tensors to a safetensors file: beside, flushed, renamed; and back."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from madx.config import InputError, first_line
from madx.store import fsync_file


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    beside = path.with_name(f".{path.name}.part")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, beside, metadata={"format": "pt"})
    fsync_file(beside)
    beside.replace(path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """What `save_tensors` wrote. Raises InputError for a damaged file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {first_line(error)}") from None
