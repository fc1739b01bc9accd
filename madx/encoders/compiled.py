"""Blocks of one shape through an encoder as one compiled graph: fused kernels, and on a GPU CUDA graphs, which start
all of them at once. The same sums in another order: what comes out differs in its last bits.
"""

import os
import shutil

import torch
from torch import Tensor

from madx.config import InputError
from madx.encoders.encoder import Encoder

FILL = 64  # positions come in multiples of this, so that few graphs are made: each is for one number of them


def check_compiler() -> None:
    """Raises InputError where torch.compile would find no C++ compiler, which it needs for any device."""
    if not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))):
        raise InputError("language_adapter.compile: torch.compile needs a C++ compiler, g++ or clang++, and finds none")


class CompiledPass:
    """`Encoder.hidden` with the adapters that are active at the first call, as one graph, forward and backward."""

    def __init__(self, encoder: Encoder) -> None:
        torch.compiler.reset()  # of an earlier one nothing is used: its adapters had other names
        self.device = encoder.device
        mode = "reduce-overhead" if self.device.type == "cuda" else "default"
        self._hidden = torch.compile(encoder.hidden, dynamic=False, mode=mode)

    def __call__(self, ids_BT: Tensor, chosen_BT: Tensor) -> Tensor:
        """States of the last layer at the chosen positions, (B, T) to (M, D). Read them before the next call.

        `chosen_BT` is on the processor. Other positions fill the M up, none of them twice: in some families a position
        that is read twice would have its gradient twice.
        """
        count, device = int(chosen_BT.sum()), self.device
        filled = torch.cat([chosen_BT.nonzero(), (~chosen_BT).nonzero()[: -count % FILL]])
        rows, columns = filled.to(device).unbind(1)
        states_MD: Tensor = self._hidden(ids_BT.to(device), read=(rows, columns))
        return states_MD[:count]
