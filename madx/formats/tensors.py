"""Tensors to a safetensors file or a pickle, whole or not at all; and back, from files that nobody here has written.

What is read never asks for more memory than its file has bytes: for a file of a few kilobytes can describe terabytes.
"""

import errno
import io
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from madx.config import InputError, RunError, first_line, named
from madx.foreign import open_regular, reason
from madx.formats.manifest import LARGEST
from madx.writing import new_file, refused, write_bytes

MAX_REPEATED = 1 << 30  # bytes of tensors that a pickle names more than once; each becomes one of its own
SCALAR: Any = np.float64(0).__reduce__()[0]
# numpy's numbers, as its versions name them: they can do nothing
NUMBERS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (SCALAR, "numpy.core.multiarray.scalar"), (SCALAR, "numpy._core.multiarray.scalar"), np.dtype, np.dtypes.Int64DType,
]  # fmt: skip
MAX_HEADER = 8 << 20  # bytes of a safetensors file's header: some 50,000 tensors


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with new_file(path) as beside:
        try:
            save_file(plain, beside, metadata={"format": "pt"})
        except SafetensorError as error:  # the disk is full, for one
            raise refused(OSError(errno.EIO, first_line(error)), path) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """What `save_tensors` wrote. Raises InputError for a damaged file, RunError where the disk doesn't give it."""
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {first_line(error)}") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {reason(error)}") from error


def save_pickle(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """As older programs read it."""
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu() for name, tensor in tensors.items()}, buffer)
    write_bytes(path, buffer.getvalue())


def read_file(path: Path) -> dict[str, Tensor]:
    """A safetensors file that may be anybody's, as it is. Raises InputError."""
    return _from_safetensors(path, _size(path))


def read_tensors(folder: Path, safetensors: str, pickle: str) -> dict[str, Tensor]:
    """Finite tensors in fp32, from the safetensors file, else from the pickle, weights-only. Raises InputError."""
    if (folder / safetensors).exists():
        path = folder / safetensors
        tensors = _from_safetensors(path, _size(path))
    elif (folder / pickle).exists():
        path = folder / pickle
        tensors = _from_pickle(path, _size(path))
    else:
        raise InputError(f"{folder}: has neither {safetensors} nor {pickle}")
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise InputError(f"{path}: '{key}' has type {tensor.dtype}; weights are floating point")
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: '{key}' holds a value that is not finite")
    return {key: tensor.to(torch.float32, copy=True) for key, tensor in tensors.items()}  # a copy: no file behind it


def _size(path: Path) -> int:
    with open_regular(path) as file, named(path):
        size = file.seek(0, io.SEEK_END)
    if size > LARGEST:
        raise InputError(f"{path}: more than {LARGEST >> 30} GiB; no adapter is this large")
    return size


def _from_safetensors(path: Path, size: int) -> dict[str, Tensor]:
    with open_regular(path) as file, named(path):
        header = int.from_bytes(file.read(8), "little")
    if header > min(MAX_HEADER, size):
        raise InputError(f"{path}: its header claims {header} bytes; the file is damaged or malicious")
    try:  # the library holds shapes against offsets, and offsets against the file
        with safe_open(path, framework="pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}
    except (SafetensorError, OSError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {first_line(error)}") from None


def unpickle(path: Path) -> Any:
    """What a pickle of torch's holds: tensors and plain values, numpy's numbers among them. Raises InputError."""
    _size(path)
    with torch.serialization.safe_globals(NUMBERS):
        return _unpickled(path)


def _unpickled(path: Path) -> Any:
    with open_regular(path) as file, named(path):
        zipped = file.read(4) == b"PK\x03\x04"
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:  # torch writes them plain; packed ones can swell
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise InputError(f"{path}: refused, its content is compressed")
        # mapped, a storage is a piece of the file, whatever length the pickle claims for it
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except InputError:
        raise
    except Exception as error:  # whatever the unpickler refuses; torch's own text advises to switch this off
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = f", it asks for '{wanted[1]}'" if wanted else " or is damaged"
        raise InputError(f"{path}: refused, it holds more than weights{why}") from None


def _from_pickle(path: Path, size: int) -> dict[str, Tensor]:
    tensors = _unpickled(path)
    if not isinstance(tensors, dict) or not all(isinstance(k, str) for k in tensors):
        raise InputError(f"{path}: not a dictionary of named tensors")
    for key, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise InputError(f"{path}: '{key}' is a {type(tensor).__name__}, not a tensor")
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise InputError(f"{path}: '{key}' is no plain tensor")
    # AdapterHub stores a prefix under a name for every layer: one tensor, which is in the file once
    different = {(t.data_ptr(), t.shape, t.stride()): t.numel() * t.element_size() for t in tensors.values()}
    claimed = sum(different.values())
    if claimed > size:
        raise InputError(f"{path}: refused, its tensors claim {claimed} bytes and the file has {size}")
    repeated = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) - claimed
    if repeated > MAX_REPEATED:
        raise InputError(f"{path}: refused, it names the same tensors again and again, {repeated} bytes of them")
    return tensors
