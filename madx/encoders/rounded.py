"""An encoder's weights in 8 bits on disk: matrices as int8 with a scale for each row, all else as it was.

An .npz file (zip with deflate), so that numpy alone reads it. Computed with in fp32: only the file is small.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from madx.config import InputError, first_line

NAME = "model.npz"
SCALE = "/scale"  # behind a matrix's name: its rows' scales, (R, 1) in fp32


def save_rounded(path: Path, tensors: Mapping[str, Tensor], exact: tuple[str, ...] = ()) -> None:
    """Matrices of more than one row become int8, but for those whose name begins with one of `exact`: fp16."""
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        values = tensor.detach().float()
        if values.ndim != 2 or len(values) == 1 or name.startswith(exact):
            arrays[name] = values.numpy().astype(np.float16)
            continue
        scale_R1 = (values.abs().amax(1, keepdim=True) / 127).clamp_min(1e-12)
        arrays[name] = (values / scale_R1).round().to(torch.int8).numpy()
        arrays[name + SCALE] = scale_R1.numpy()
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_rounded(path: Path) -> dict[str, Tensor]:
    """Tensors in fp32. Raises InputError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(file[name]).float() for name in file.files}
    except Exception as error:  # zip, zlib and numpy have an error each
        raise InputError(f"{path}: not readable; install madx again: {first_line(error)}") from None
    return {
        name: values * arrays[name + SCALE] if name + SCALE in arrays else values
        for name, values in arrays.items()
        if not name.endswith(SCALE)
    }
