"""The frozen encoder's linear layers in 8 bits, for evaluation on a CPU: faster, and not quite the same numbers.

Weights: one scale for each output, symmetric. Inputs: one scale for a batch, taken as it comes ("dynamic").
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from madx.config import RunError


@contextmanager
def int8_weights(base: nn.Module) -> Iterator[None]:
    """Within: every linear layer of `base` computes in int8; adapters and heads, which lie outside, in fp32.

    Raises RunError where the processor has no such kernels.
    """
    device = next(base.parameters()).device
    if device.type != "cpu" or torch.backends.quantized.engine == "none":
        raise RunError(f"evaluation.weights = 'int8' needs a CPU; this runs on {device.type}: leave it out")
    linears = [module for module in base.modules() if type(module) is nn.Linear]
    try:
        for linear in linears:
            # the instance's own forward: the module stays, with the hooks that adapters hang on
            linear.forward = _quantized(linear)  # type: ignore[method-assign, assignment]
        yield
    finally:
        for linear in linears:
            linear.__dict__.pop("forward", None)


def _quantized(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    weight = linear.weight.detach()
    scales = weight.abs().amax(1).clamp_min(1e-8) / 127
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*quantize.*", category=UserWarning)
        levels = torch.quantize_per_channel(weight, scales, torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(levels, linear.bias)
    # 7 bits for the inputs: with 8 the sums of AVX2's kernels can overflow
    return lambda x: torch.ops.quantized.linear_dynamic(x, packed, True)  # type: ignore[no-any-return]
