"""Tensors with many zeros in few bytes: a bit for every entry, and the values of those that aren't zero.

In a safetensors file of madx's own: `KEY.kept` (bits, eight a byte), `KEY.values`, `KEY.shape`. A tensor that would not
get smaller stands there as it is. At a share s of zeros 1 - s + 1/32 of the bytes are left.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from madx.config import InputError
from madx.formats.tensors import read_file

KEPT, VALUES, SHAPE = ".kept", ".values", ".shape"
MAX_GROWTH = 33  # a bit becomes 32; more no honest file asks for


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    packed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        flat = tensor.detach().cpu().flatten()
        kept = flat != 0
        if 4 * int(kept.sum()) + len(flat) / 8 + 8 * tensor.dim() >= 4 * len(flat):
            packed[key] = tensor
            continue
        packed[key + KEPT] = torch.from_numpy(np.packbits(kept.numpy()))
        packed[key + VALUES] = flat[kept]
        packed[key + SHAPE] = torch.tensor(tensor.shape)
    return packed


def read_packed(path: Path) -> dict[str, Tensor]:
    """The tensors that were packed, in fp32. Raises InputError."""
    packed, size = read_file(path), path.stat().st_size
    found: dict[str, Tensor] = {}
    for key, tensor in packed.items():
        if key.endswith(KEPT):
            name = key.removesuffix(KEPT)
            found[name] = _unpacked(name, packed, path, size)
        elif not key.endswith((VALUES, SHAPE)):
            found[key] = tensor
    for name, tensor in found.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: '{name}' holds a value that is no finite number")
    return {name: tensor.to(torch.float32, copy=True) for name, tensor in found.items()}


def _unpacked(name: str, packed: Mapping[str, Tensor], path: Path, size: int) -> Tensor:
    bits, values, shape = packed[name + KEPT], packed.get(name + VALUES), packed.get(name + SHAPE)
    wrong = InputError(f"{path}: '{name}' is no packed tensor: bits, values and shape don't fit")
    if values is None or shape is None or bits.dtype != torch.uint8 or shape.dtype != torch.int64:
        raise wrong
    sizes = shape.tolist()
    count = int(np.prod(sizes, dtype=object)) if sizes and min(sizes) > 0 else 0
    if not 0 < count <= MAX_GROWTH * size or bits.dim() != 1 or len(bits) != -(-count // 8):
        raise wrong
    kept = torch.from_numpy(np.unpackbits(bits.numpy(), count=count)).bool()
    if values.shape != (int(kept.sum()),):
        raise wrong
    flat = torch.zeros(count, dtype=values.dtype)
    flat[kept] = values
    return flat.view(sizes)
