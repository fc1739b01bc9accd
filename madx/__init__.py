"""madx: language adapters for languages that big models serve badly (MAD-X, Pfeiffer et al. 2020)."""

import os

# OpenMP's threads spin long before they sleep. With another program on one of the cores each small operation then
# waits for its time slice: 30 times slower on `mini`. Spinning less costs 3 % on a free machine. Before torch.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

__version__ = "0.1.0"
