"""The masked-LM head in two parts, so that an invertible adapter's inverse can stand between them, and its loss.

M masked positions, V vocabulary, D width, R rows of the decoder.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from madx.config import Frozen

CHUNK = {"cpu": 2048}  # rows of the decoder at once: they and their logits stay in the processor's cache
LARGE_CHUNK = 65536  # elsewhere, where starting a kernel costs more


class Decoder(NamedTuple):
    """Logits over the vocabulary, or over some rows of it: (R, D) and (R,)."""

    weight_RD: Tensor
    bias_R: Tensor | None


class LmShape(Frozen):
    """What an AdapterHub file says of a masked-LM head; the defaults are BERT's and XLM-R's."""

    layers: int = Field(2, ge=1, le=64)  # the decoder among them
    activation_function: str | None = "gelu"
    layer_norm: bool = True
    bias: bool = True  # of the decoder


class LmHead:
    """transform (dense, activation, norm), then the decoder tied to the input embeddings, with a bias of its own.

    `tied` False: the decoder is of a space of its own, and the inverse of an invertible adapter leads nowhere near it.
    """

    def __init__(
        self,
        transform: Sequence[nn.Module],
        weight: nn.Parameter,
        bias: nn.Parameter | None,
        shape: LmShape = LmShape(),
        tied: bool = True,
    ) -> None:
        self.transform, self.weight, self.bias, self.shape, self.tied = transform, weight, bias, shape, tied
        self.copy: Tensor | None = None  # of the weight, in bf16: see halved.py

    @property
    def decoder(self) -> Decoder:
        return Decoder(self.weight, self.bias)

    def states(self, states_MD: Tensor, unembed: Callable[[Tensor], Tensor]) -> Tensor:
        """What the decoder reads. `unembed` is the inverse of the active invertible adapter."""
        for part in self.transform:
            states_MD = part(states_MD)
        return unembed(states_MD) if self.tied else states_MD

    def rows(self, ids_R: Tensor) -> Decoder:
        """The decoder of these tokens alone, as it is now."""
        return Decoder(self.weight.detach()[ids_R], None if self.bias is None else self.bias.detach()[ids_R])

    def trainable(self) -> Iterator[nn.Parameter]:
        """What stage one trains of it: dense and norm. The tied decoder and its bias stay."""
        for part in self.transform:
            yield from part.parameters()


def summed_cross_entropy(states_MD: Tensor, decoder: Decoder, targets_M: Tensor, copy: Tensor | None = None) -> Tensor:
    """Cross-entropy of the decoder's softmax, summed over the positions; the (M, R) logits are never all there.

    A decoder that is itself trained needs a gradient of its own, and takes the plain way. `copy`: of its weight, in the
    number type of products.
    """
    if decoder.weight_RD.requires_grad:
        logits_MR = F.linear(states_MD, *decoder)
        return F.cross_entropy(logits_MR.to(_sums(logits_MR.dtype)), targets_M, reduction="sum")
    loss: Tensor = _FrozenDecoderLoss.apply(states_MD, *decoder, targets_M, copy)  # type: ignore[no-untyped-call]
    return loss


def _sums(dtype: torch.dtype) -> torch.dtype:
    """The number type of sums over values of this one: fp32 at least."""
    return torch.promote_types(dtype, torch.float32)


class _FrozenDecoderLoss(torch.autograd.Function):
    """loss = sum log Z - w_y x - b_y, and d loss / d x = E_p[w] - w_y, both in one pass over the decoder.

    E_p[w] = softmax(x W^T + b) W is attention with x as query and W as keys and values, so it is summed up as Rabe and
    Staats 2021 (arXiv 2112.05682) sum attention: chunk by chunk, with the greatest logit so far taken off.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states_MD: Tensor,
        weight_RD: Tensor,
        bias_R: Tensor | None,
        targets_M: Tensor,
        copy_RD: Tensor | None,
    ) -> Tensor:
        kind = states_MD.device.type
        compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states_MD.dtype
        with torch.autocast(kind, enabled=False):
            count, sums = len(states_MD), _sums(compute)
            x_MD = states_MD.to(compute)
            if compute.itemsize == 2:  # a GPU's fast kernels want rows of 16 bytes, below in x_DM
                x_MD = F.pad(x_MD, (0, 0, 0, -count % 8))
            x_DM = x_MD.t().contiguous()
            top_M = torch.full((len(x_MD),), -torch.inf, dtype=sums, device=x_MD.device)
            total_M = torch.zeros_like(top_M)
            wanted = ctx.needs_input_grad[0]
            mean_MD = torch.zeros_like(x_MD, dtype=sums)
            chunk = CHUNK.get(kind, LARGE_CHUNK)
            for start in range(0, len(weight_RD), chunk):
                w_CD = (weight_RD if copy_RD is None else copy_RD)[start : start + chunk].to(compute)
                logits_CM = (w_CD @ x_DM).to(sums)  # a fifth faster on a processor than its transpose
                if bias_R is not None:
                    logits_CM += bias_R[start : start + chunk, None]
                before_M, top_M = top_M, torch.maximum(top_M, logits_CM.amax(0))
                shrink_M = (before_M - top_M).exp()
                p_CM = logits_CM.sub_(top_M).exp_()
                total_M = total_M * shrink_M + p_CM.sum(0)
                if wanted:
                    mean_MD.mul_(shrink_M[:, None])
                    if compute == sums:
                        mean_MD.addmm_(p_CM.t(), w_CD)
                    else:
                        mean_MD += (p_CM.to(compute).t() @ w_CD).to(sums)
            own_MD = weight_RD[targets_M].to(sums)
            logit_M = (states_MD.to(sums) * own_MD).sum(1)
            if bias_R is not None:
                logit_M += bias_R[targets_M]
            if wanted:
                mean_MD = (mean_MD / total_M[:, None])[:count]
                ctx.save_for_backward((mean_MD - own_MD).to(states_MD.dtype))
            return ((top_M + total_M.log())[:count] - logit_M).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        (mean_MD,) = ctx.saved_tensors
        return mean_MD * gradient, None, None, None, None
