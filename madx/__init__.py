"""madx: language adapters for languages that big models serve badly (MAD-X, Pfeiffer et al. 2020)."""

__version__ = "0.1.0"
