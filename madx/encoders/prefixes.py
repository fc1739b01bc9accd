"""A prefix in an encoder: keys and values of its own in front of every layer's, seen from every position.

For families whose attention is one of transformers' attention functions; those with one of their own (DeBERTa, RemBERT)
are refused.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from madx.adapters.beside import new_gate, opened
from madx.adapters.prefix import Prefix
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.packed import ATTENTION, PREFIXES


def new_prefix(encoder: Encoder, length: int, bottleneck: int | None, layers: int | None = None) -> Prefix:
    """Raises InputError for an encoder whose attention takes none."""
    config: Any = encoder.model.config
    if config._attn_implementation not in ("sdpa", ATTENTION):
        raise InputError(f"prefix: {encoder.ref.name} has an attention of its own, which takes no prefix")
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or encoder.width // config.num_attention_heads
    return Prefix(layers or encoder.num_layers, heads, width, encoder.width, length, bottleneck)


class PrefixChange(nn.Module):
    """A change of the encoder, as changes.py has them."""

    def __init__(self, encoder: Encoder, prefix: Prefix, gated: bool = False) -> None:
        """`gated`: by each layer's own gate over what enters its attention (UniPELT, arXiv 2110.07577)."""
        super().__init__()
        self.prefix = prefix
        self.gates = nn.ModuleList(new_gate(encoder.width) for _ in range(encoder.num_layers if gated else 0))
        config: Any = encoder.model.config
        self._config, self._attention = config, str(config._attn_implementation)
        self._base = (encoder.base,)  # a tuple, so that it isn't a part of this
        inside = encoder.family.linears["query"].rpartition(".")[0]
        paths = [f"{encoder.family.layers}.{layer}.{inside}" for layer in range(encoder.num_layers)]
        self._modules_of_layers = tuple(encoder.base.get_submodule(path) for path in paths)
        self._handles: list[RemovableHandle] = []

    def on(self) -> None:
        self._config._attn_implementation = ATTENTION
        self._handles = [self._base[0].register_forward_pre_hook(lambda module, args: self._put())]
        for gate, module in zip(self.gates, self._modules_of_layers, strict=False):
            hook = partial(self._narrow, gate)
            self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _put(self) -> None:
        """Once a pass, for all layers."""
        made: Tensor = self.prefix()
        for layer, module in enumerate(self._modules_of_layers):
            PREFIXES[module] = (made[2 * layer], made[2 * layer + 1])

    def _narrow(self, gate: nn.Module, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """(H, P, D) to (B, H, P, D), for the module's input."""
        entering_BTE = args[0] if args else kwargs["hidden_states"]
        share_B111 = opened(gate, entering_BTE)[..., None]
        keys_HPD, values_HPD = PREFIXES[module]
        PREFIXES[module] = (keys_HPD * share_B111, values_HPD * share_B111)

    def off(self) -> None:
        self._config._attn_implementation = self._attention
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for module in self._modules_of_layers:
            PREFIXES.pop(module, None)

    def drop(self) -> None:
        self.off()
