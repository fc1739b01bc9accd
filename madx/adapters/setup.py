"""Compositions of adapters, as plain data. What they compute is compose.py's."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stack:
    """One after the other: Stack("quy", "ner") is language adapter, then task adapter (MAD-X)."""

    children: tuple["Setup", ...]

    def __init__(self, *children: "Setup") -> None:
        object.__setattr__(self, "children", children)


@dataclass(frozen=True)
class Fuse:
    """AdapterFusion: attention over the updates of several adapters (Pfeiffer et al. 2021, eq. 3 to 6)."""

    children: tuple["Setup", ...]
    name: str

    def __init__(self, *children: "Setup", name: str | None = None) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "name", name or ",".join(last_leaf(child) for child in children))


@dataclass(frozen=True)
class Average:
    """The weighted mean of the adapters' outputs; weights as given, by default equal and of sum 1."""

    children: tuple["Setup", ...]
    weights: tuple[float, ...]

    def __init__(self, *children: "Setup", weights: Sequence[float] | None = None) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "weights", tuple(weights or [1 / len(children)] * len(children)))


@dataclass(frozen=True)
class Mix:
    """The weighted sum of the adapters' outputs, of their invertible parts too; the weights are the bank's `mixes`, by
    name: a row for the embeddings and one for each layer (EMEA: Wang et al. 2021, arXiv 2109.04877, section 3).
    """

    children: tuple["Setup", ...]
    name: str

    def __init__(self, *children: "Setup", name: str) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "name", name)


@dataclass(frozen=True)
class BatchSplit:
    """The first `sizes[0]` sequences of a batch through the first child, and so on."""

    children: tuple["Setup", ...]
    sizes: tuple[int, ...]

    def __init__(self, *children: "Setup", sizes: Sequence[int]) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "sizes", tuple(sizes))


@dataclass(frozen=True)
class Parallel:
    """The whole batch through every child: B sequences become len(children) * B, child by child."""

    children: tuple["Setup", ...]

    def __init__(self, *children: "Setup") -> None:
        object.__setattr__(self, "children", children)


@dataclass(frozen=True)
class Split:
    """The first `sizes[0]` tokens of every sequence through the first child, and so on."""

    children: tuple["Setup", ...]
    sizes: tuple[int, ...]

    def __init__(self, *children: "Setup", sizes: Sequence[int]) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "sizes", tuple(sizes))


Composition = Stack | Fuse | Average | Mix | BatchSplit | Parallel | Split
Setup = str | Composition


def leaves(setup: Setup) -> list[str]:
    """The names of the adapters in a setup, in order."""
    return [setup] if isinstance(setup, str) else [name for child in setup.children for name in leaves(child)]


def last_leaf(setup: Setup) -> str:
    return leaves(setup)[-1]
