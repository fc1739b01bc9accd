"""`budget = "0.5%"`: the sizes with which methods train about equally many parameters in stage two."""

import functools

from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef
from madx.encoders.shapes import shapes_of
from madx.methods.method import Method

NEAR = 0.9  # of the budget: what trains less says so


class Budget:
    """A share of the encoder's parameters, for what is trained beside the head."""

    def __init__(self, ref: EncoderRef, said: str) -> None:
        """`said`: as a recipe has it, a number and %."""
        self._ref, self._share = ref, float(said.removesuffix("%")) / 100

    @functools.cached_property
    def _encoder(self) -> Encoder:
        return shapes_of(self._ref)

    @functools.cached_property
    def parameters(self) -> float:
        return self._share * sum(p.numel() for p in self._encoder.base.parameters())

    def fit(self, method: Method) -> tuple[Method, str]:
        """The method in the size that comes nearest, and what is to be said of that.

        One that has no size of its own stays as it is.

        A method whose size costs few parameters (Compacter) may stay below the budget at its largest.
        """
        if method.sized(1) is None:
            return method, f"{method.what} has the size that it has"
        low, high = 1, (most := method.largest(self._encoder))
        while low < high:  # the largest size within the budget
            middle = (low + high + 1) // 2
            if self.count(self._sized(method, middle)) <= self.parameters:
                low = middle
            else:
                high = middle - 1
        near = [self._sized(method, size) for size in (low, min(low + 1, most))]
        sized = min(near, key=lambda sized: abs(self.count(sized) - self.parameters))
        short = low == most and (trained := self.count(sized)) < NEAR * self.parameters
        return sized, f"{method.what} at its largest trains {trained:,} of {self.parameters:,.0f}" if short else ""

    def count(self, method: Method) -> int:
        """Numbers that it trains."""
        return method.count(self._encoder)

    @staticmethod
    def _sized(method: Method, size: int) -> Method:
        sized = method.sized(size)
        assert sized is not None
        return sized
