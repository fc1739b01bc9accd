"""Frozen descriptions of adapters: what a recipe says and what an adapter file says, in one value."""

from typing import Annotated, Literal

from pydantic import Field, Strict, field_validator, model_validator

from madx.config import Frozen, nearest

Place = Literal["attention", "ffn"]
# a layer's matrices: of its attention, and into and out of its feed-forward block
Matrix = Literal["query", "key", "value", "intermediate", "output"]
# what activations.py has; by name here, since a recipe is read without torch
NON_LINEARITIES = (
    "relu", "gelu", "gelu_new", "swish", "silu", "tanh", "leakyrelu", "leaky_relu", "sigmoid", "elu", "linear",
    "gelu_10", "gelu_accurate", "gelu_fast", "gelu_python", "laplace", "mish", "quick_gelu", "relu2", "relu6",
)  # fmt: skip


class InvertibleSpec(Frozen):
    """An invertible adapter over the embeddings (Pfeiffer et al. 2020, section 3.3; NICE: Dinh et al. 2015)."""

    kind: Literal["nice", "glow"] = "nice"
    reduction_factor: float = Field(2.0, ge=0.01)  # half the embedding's width / the coupling's hidden width


class BottleneckSpec(Frozen):
    """A bottleneck adapter, by default Pfeiffer's task adapter (`seq_bn`).

    Names and meanings are those of AdapterHub's configuration where it has one for the same thing.
    """

    reduction_factor: float | dict[str, float] = 16.0  # width / bottleneck; or {"<layer>": n, "default": n}
    bottleneck_size: int | None = Field(None, ge=1)  # explicit; wins over reduction_factor
    non_linearity: str = "relu"
    placement: tuple[Place, ...] = ("ffn",)  # after which sub-layers
    parallel: bool = False  # beside the sub-layer instead of after it (He et al. 2022)
    scaling: Annotated[float, Strict()] | Literal["learned", "channel"] = 1.0
    leave_out: tuple[int, ...] = ()  # layers without an adapter (AdapterDrop); -1 is the last (MAD-X 2.0)
    original_ln_before: bool = True  # residual and the layer's own norm before the bottleneck
    original_ln_after: bool = True  # ... and after it
    ln_before: bool = False  # a new norm inside the adapter, before the down-projection
    ln_after: bool = False  # ... after the up-projection
    residual_before_ln: bool | Literal["post_add"] = True  # which residual the adapter adds
    adapter_residual_before_ln: bool = False  # with ln_after: add that residual before the norm
    use_gating: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)
    init_weights: Literal["bert", "mam_adapter", "houlsby"] = "bert"
    init_weights_seed: int | None = None  # kept for AdapterHub's files; here the run's seed decides
    invertible: InvertibleSpec | None = None
    phm: int | None = Field(None, ge=2, le=64)  # Compacter: sums of so many Kronecker products for both projections

    @field_validator("non_linearity")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name.lower() not in NON_LINEARITIES:
            raise ValueError(f"unknown non_linearity '{name}'{nearest(name, list(NON_LINEARITIES))}")
        return name

    @model_validator(mode="after")
    def _can_be_built(self) -> "BottleneckSpec":
        factors = self.reduction_factor
        for factor in factors.values() if isinstance(factors, dict) else (factors,):
            if factor < 0.01:  # a bottleneck of a hundred times the width is nobody's wish
                raise ValueError(f"reduction_factor must be at least 0.01, got {factor}")
        if not self.placement:
            raise ValueError("placement must name 'attention', 'ffn' or both")
        if self.phm and self.init_weights != "bert":
            raise ValueError("a Compacter (phm) begins in its own way: init_weights = 'bert'")
        if self.residual_before_ln == "post_add" and not self.original_ln_before:
            raise ValueError("residual_before_ln = 'post_add' needs original_ln_before")
        return self

    def in_layers(self, num_layers: int) -> "BottleneckSpec":
        """The same for an encoder of so many layers: none is counted from the end any more. Raises ValueError."""
        counted = tuple(sorted({i + num_layers if i < 0 else i for i in self.leave_out}))
        for i in counted:
            if not 0 <= i < num_layers:
                raise ValueError(
                    f"leave_out = {list(self.leave_out)}: the encoder has the layers 0 to {num_layers - 1}"
                )
        return self.model_copy(update={"leave_out": counted})

    def bottleneck(self, width: int, layer: int) -> int:
        """Width of the bottleneck in a layer."""
        if self.bottleneck_size is not None:
            return self.bottleneck_size
        factor = self.reduction_factor
        if isinstance(factor, dict):
            try:
                factor = factor.get(str(layer)) or factor["default"]
            except KeyError:
                raise ValueError(f"reduction_factor names neither layer {layer} nor 'default'") from None
        return max(1, int(width // factor))
