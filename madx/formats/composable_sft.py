"""Sparse changes of an encoder's weights as composable-sft publishes them (Ansell et al. 2022, arXiv 2110.07560).

`pytorch_diff.bin` is a pickle {"diffs": {name: {"size", "index_steps", "values"}}, "abs": {name: tensor}}: an entry's
index is sum_d i_d prod(size[:d]), the first axis fastest; the steps from one index to the next are a list, the first
one counted from 0; `abs` holds a head's weights whole. Names are those of the whole transformers model.
Read from the source of its `SFT` class, at the version that writes "diffs".
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from madx.config import InputError
from madx.formats.tensors import unpickle
from madx.writing import write_bytes

DIFF = "pytorch_diff.bin"
MASKED_LM_HEADS = ("cls.", "lm_head.")


def read_diff(path: Path, prefix: str, shapes: Mapping[str, torch.Size]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Places (K) in the flat weight, rising, and what is added there; by names without `prefix`. Raises InputError.

    A masked-LM head in it is left out: a language's change is used below other heads.
    """
    content = unpickle(path)
    diffs = content.get("diffs") if isinstance(content, dict) else None
    if not isinstance(diffs, dict) or not diffs:
        raise InputError(f"{path}: not a change of composable-sft's: it has no 'diffs'; older layouts aren't read")
    heads = [str(name) for name in content.get("abs") or () if not str(name).startswith(MASKED_LM_HEADS)]
    if heads:
        raise InputError(f"{path}: a task's change with its head ('{heads[0]}'); only languages' are read")
    places: dict[str, Tensor] = {}
    deltas: dict[str, Tensor] = {}
    for name, encoding in diffs.items():
        own = str(name).removeprefix(f"{prefix}.")
        if own == name or own not in shapes:
            raise InputError(f"{path}: '{name}' is no weight of this encoder; give the one that it was made for")
        at, delta = _decoded(encoding, shapes[own], f"{path}: '{name}'")
        if len(at):
            places[own], deltas[own] = at, delta
    return places, deltas


def write_diff(
    path: Path,
    prefix: str,
    shapes: Mapping[str, torch.Size],
    places: Mapping[str, Tensor],
    deltas: Mapping[str, Tensor],
) -> None:
    """What composable-sft's `SFT(folder)` reads and `apply` adds to a model of transformers'."""
    diffs = {f"{prefix}.{name}": _encoded(at, deltas[name], shapes[name]) for name, at in places.items()}
    buffer = io.BytesIO()
    torch.save({"diffs": diffs, "abs": {}}, buffer)
    write_bytes(path, buffer.getvalue())


def _decoded(encoding: Any, shape: torch.Size, where: str) -> tuple[Tensor, Tensor]:
    known = encoding if isinstance(encoding, dict) else {}
    size, steps, values = known.get("size"), known.get("index_steps"), known.get("values")
    if not isinstance(steps, list) or not isinstance(values, Tensor) or values.layout != torch.strided:
        raise InputError(f"{where}: has no list of index_steps with a tensor of values")
    if not isinstance(size, (tuple, list)) or tuple(size) != tuple(shape):
        raise InputError(f"{where}: is {size}, and this encoder's is {tuple(shape)}; give the one that it was made for")
    try:
        indices = np.cumsum(np.array(steps, dtype=np.int64))
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: its index_steps are no whole numbers") from None
    rising = bool((np.diff(indices) > 0).all())
    if (
        values.shape != indices.shape
        or not rising
        or (len(steps) and not 0 <= indices[0] <= indices[-1] < shape.numel())
    ):
        raise InputError(f"{where}: its places leave the weight, or aren't as many as its values")
    if not values.is_floating_point() or not bool(torch.isfinite(values).all()):
        raise InputError(f"{where}: holds a value that is no finite number")
    at = np.ravel_multi_index(np.unravel_index(indices, shape, order="F"), shape)
    order = at.argsort()
    return torch.from_numpy(at[order]), values.to(torch.float32)[torch.from_numpy(order)]


def _encoded(at: Tensor, delta: Tensor, shape: torch.Size) -> dict[str, Any]:
    indices = np.ravel_multi_index(np.unravel_index(at.cpu().numpy(), shape), shape, order="F")
    order = indices.argsort()
    steps = np.diff(indices[order], prepend=0).tolist()
    return {"size": shape, "index_steps": steps, "values": delta.detach().cpu()[torch.from_numpy(order)]}
