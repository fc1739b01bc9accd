"""Stage two's frozen lower layers, computed once for every sequence and kept on disk (AdapterDrop, Rücklé et al. 2021:
layers below the lowest adapter are the same for every update, section 3.2).

Disk: tokens x width x 4 bytes (EWT at XLM-R-base's width: 1.2 GB); memory: one batch.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from madx.config import named
from madx.encoders.encoder import Encoder
from madx.encoders.lower import Lower
from madx.tasks.batches import Batch, parts_by_length
from madx.tasks.examples import Feature


class LowerStates:
    """What enters layer `count` for each sequence of `features`, under the adapters that are active now."""

    def __init__(
        self,
        encoder: Encoder,
        features: Iterable[Feature],
        count: int,
        path: Path,
        watch: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._count, self._width = count, encoder.width
        self._places: dict[tuple[int, ...], tuple[int, int]] = {}  # a sequence's ids and segments: first row, rows
        features = list(features)
        self._path = path
        self._file = open(path, "w+b")
        rows = done = 0
        for chosen, batch in parts_by_length(features, encoder):
            states_BTD = encoder.lower_states(count, batch.ids_BT, batch.mask_BT, batch.types_BT).states_BTD.cpu()
            for state_TD, (key, length) in zip(states_BTD, _sequences(batch), strict=True):
                if key not in self._places:
                    self._places[key] = (rows, length)
                    with named(path):
                        self._file.write(state_TD[:length].numpy().astype(np.float32).tobytes())
                    rows += length
            done += len(chosen)
            watch(done, len(features))
        with named(path):
            self._file.flush()

    def of(self, batch: Batch) -> Lower:
        """The states of a batch, padded with zeros."""
        rows, longest = batch.ids_BT.shape
        states_BTD = np.zeros((rows, longest, self._width), dtype=np.float32)
        for row, (key, _) in enumerate(_sequences(batch)):
            first, length = self._places[key]
            size = 4 * self._width
            with named(self._path):
                data = os.pread(self._file.fileno(), length * size, first * size)
            states_BTD[row, :length] = np.frombuffer(data, dtype=np.float32).reshape(length, self._width)
        return Lower(self._count, torch.from_numpy(states_BTD).to(batch.ids_BT.device))

    def drop(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def _sequences(batch: Batch) -> Iterable[tuple[tuple[int, ...], int]]:
    """(ids and segments, length) of every row of a batch."""
    for feature in batch.features:
        for ids, types in zip(feature.sequences, feature.types or ((),) * len(feature.sequences), strict=True):
            yield (*ids, -1, *types), len(ids)
