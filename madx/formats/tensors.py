"""Tensors to a safetensors file: beside, flushed, renamed."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from madx.store import fsync_file


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    beside = path.with_name(f".{path.name}.part")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, beside, metadata={"format": "pt"})
    fsync_file(beside)
    beside.replace(path)
