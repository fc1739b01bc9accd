"""madx: language adapters for languages that big models serve badly (MAD-X, Pfeiffer et al. 2020)."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from madx.api import *  # noqa: F403

# OpenMP's threads spin long before they sleep. With another program on one of the cores each small operation then
# waits for its time slice: 30 times slower on `mini`. Spinning less costs 3 % on a free machine. Before torch.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

__version__ = "0.1.0"
PUBLIC = (
    "Average", "BatchSplit", "BottleneckSpec", "Encoder", "Fuse", "InputError", "InvertibleSpec", "Parallel",
    "Predictor", "Results", "RunError", "Split", "Stack", "attach", "evaluate", "load", "load_encoder", "run", "save",
    "train_language", "train_personal", "train_task",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: `import madx` itself is light."""
    if name in PUBLIC:
        from madx import api

        return getattr(api, name)
    raise AttributeError(f"module 'madx' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
