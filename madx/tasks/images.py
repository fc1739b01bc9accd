"""Images as what a user's image encoder made of them, once: safetensors files, a vector for each image by its name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from madx.catalog.task import TaskSpec
from madx.config import InputError


class Images(NamedTuple):
    """N images; unit vectors, (N, I) fp32."""

    names: tuple[str, ...]
    rows: dict[str, int]
    vectors_NI: np.ndarray

    def some(self, names: list[str]) -> np.ndarray:
        """Their vectors."""
        vectors: np.ndarray = self.vectors_NI[[self.rows[name] for name in names]]
        return vectors


def images_of(spec: TaskSpec) -> Images:
    """All images of a task. Raises InputError with the file and the image."""
    if not spec.images:
        raise InputError(
            f"task '{spec.name}': no images; `images` in the task's file, or --images, names .safetensors files with a "
            "vector for each image, by its name"
        )
    return _read(spec.images, spec.image_digests)


@lru_cache(maxsize=4)
def _read(files: tuple[str, ...], digests: tuple[str, ...]) -> Images:
    """`digests`: so that a file that changes under its name is read again."""
    from madx.formats.tensors import read_file

    found: dict[str, np.ndarray] = {}
    for file in files:
        for name, tensor in read_file(Path(file)).items():
            where = f"{file}: image '{name[:80]}'"
            vector = tensor.float().numpy()
            if vector.ndim != 1 or not vector.size:
                raise InputError(f"{where}: has the shape {vector.shape}; a vector should be there, one for each image")
            if found and vector.size != (width := next(iter(found.values())).size):
                raise InputError(f"{where}: {vector.size} numbers, those before have {width}")
            length = np.linalg.norm(vector.astype(np.float64))
            if not np.isfinite(length) or length == 0:
                raise InputError(f"{where}: its numbers are not finite, or all zero")
            if name in found:
                raise InputError(f"{where}: stands in another of the task's files too")
            found[name] = (vector / length).astype(np.float32)
    if not found:
        raise InputError(f"{', '.join(files)}: no images")
    names = tuple(found)
    return Images(names, {name: row for row, name in enumerate(names)}, np.stack([found[name] for name in names]))
