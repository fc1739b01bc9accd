"""AdapterHub's configuration of an adapter in and out: `config` of adapter_config.json, whole or by name."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path
from typing import Any

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError, nearest

# the file's key, ours; the peer's base-class default stands in for a key that is missing in the file
BASE_DEFAULTS: dict[str, Any] = {
    "original_ln_before": False, "original_ln_after": True, "ln_before": False, "ln_after": False,
    "residual_before_ln": True, "adapter_residual_before_ln": False, "is_parallel": False, "scaling": 1.0,
    "use_gating": False, "dropout": 0.0, "inv_adapter": None, "inv_adapter_reduction_factor": None,
    "cross_adapter": False, "leave_out": [], "init_weights": "bert", "init_weights_seed": None,
    "stochastic_depth": 0.0, "phm_layer": False, "phm_dim": 4, "phm_rank": 1, "phm_bias": True,
    "phm_c_init": "normal", "phm_init_range": 0.0001, "learn_phm": True, "factorized_phm_W": True,
    "shared_W_phm": False, "shared_phm_rule": True, "factorized_phm_rule": False,
    "hypercomplex_nonlinearity": "glorot-uniform",
}  # fmt: skip
# of a Compacter, beside `phm_dim`: what madx computes
PHM_AS_IT_IS: dict[str, Any] = {
    "phm_rank": 1, "phm_bias": True, "factorized_phm_W": True, "shared_W_phm": False, "shared_phm_rule": True,
    "factorized_phm_rule": False,
}  # fmt: skip
SAME_NAME = (
    "non_linearity", "original_ln_before", "original_ln_after", "ln_before", "ln_after", "residual_before_ln",
    "adapter_residual_before_ln", "use_gating", "dropout", "init_weights", "init_weights_seed",
)  # fmt: skip


def spec_from_config(config: dict[str, Any], where: str, has_version: bool = True) -> BottleneckSpec:
    """The `config` of an adapter_config.json as our spec. Raises InputError for what madx can't compute."""
    if "architecture" in config and config["architecture"] is not None:
        raise InputError(
            f"{where}: architecture '{config['architecture']}' is not supported yet; bottleneck adapters are"
        )
    for key in ("mh_adapter", "output_adapter", "reduction_factor", "non_linearity"):
        if key not in config:
            raise InputError(f"{where}: config lacks '{key}'")
    values = {**BASE_DEFAULTS, **config}
    legacy = values.get("invertible_adapter")
    if isinstance(legacy, dict):  # its non_linearity is ignored, as the peer ignores it
        values["inv_adapter"], values["inv_adapter_reduction_factor"] = (
            legacy.get("block_type"), legacy.get("reduction_factor"),
        )  # fmt: skip
    computed = {"cross_adapter": False, "stochastic_depth": 0.0, **(PHM_AS_IT_IS if values["phm_layer"] else {})}
    for key, value in computed.items():
        if (values[key] or 0) != value:
            raise InputError(f"{where}: '{key}' is not supported yet")
    if not has_version:  # before March 2022 the names meant something else
        renamed = {"gelu": "gelu_new", "gelu_orig": "gelu"}
        values["non_linearity"] = renamed.get(str(values["non_linearity"]), values["non_linearity"])
    placement = [p for p, key in (("attention", "mh_adapter"), ("ffn", "output_adapter")) if values[key]]
    factor = values["reduction_factor"]
    try:
        return BottleneckSpec(
            **{key: values[key] for key in SAME_NAME},
            reduction_factor={str(k): _number(v) for k, v in factor.items()}
            if isinstance(factor, dict)
            else _number(factor),
            placement=tuple(placement),  # type: ignore[arg-type]
            parallel=values["is_parallel"],
            scaling=values["scaling"] if values["scaling"] in ("learned", "channel") else _number(values["scaling"]),
            leave_out=tuple(values["leave_out"]),
            invertible=(
                InvertibleSpec(kind=values["inv_adapter"], reduction_factor=values["inv_adapter_reduction_factor"])
                if values["inv_adapter"]
                else None
            ),
            phm=values["phm_dim"] if values["phm_layer"] else None,
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: config cannot be right: {reason(error)}") from None


def _number(value: Any) -> float:
    """A number as it is; the text "1.0" is none, as it is none to the peer."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def config_from_spec(spec: BottleneckSpec, width: int) -> dict[str, Any]:
    """Our spec as AdapterHub's config, with every key, floats as floats."""
    factor = spec.reduction_factor if spec.bottleneck_size is None else _factor(width, spec.bottleneck_size)
    return {
        **BASE_DEFAULTS,
        **{key: getattr(spec, key) for key in SAME_NAME},
        "reduction_factor": factor,
        "mh_adapter": "attention" in spec.placement,
        "output_adapter": "ffn" in spec.placement,
        "is_parallel": spec.parallel,
        "scaling": spec.scaling,
        "leave_out": list(spec.leave_out),
        "phm_layer": spec.phm is not None,
        "phm_dim": spec.phm or BASE_DEFAULTS["phm_dim"],
        "inv_adapter": spec.invertible.kind if spec.invertible else None,
        "inv_adapter_reduction_factor": spec.invertible.reduction_factor if spec.invertible else None,
    }


def _factor(width: int, size: int) -> float:
    """What int(width // factor) makes the size of again: 384 / 13 as a float would make it 12."""
    factor = width / size
    return factor if int(width // factor) == size else math.nextafter(factor, 0.0)


def named_config(name: str, path: Path) -> dict[str, Any]:
    """`"pfeiffer+inv"`, `"seq_bn_inv[reduction_factor=2]"`: a configuration by its name, old or new."""
    base = {"mh_adapter": False, "output_adapter": True, "reduction_factor": 16, "non_linearity": "relu",
            "original_ln_before": True}  # fmt: skip
    inverse = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}
    double = {**base, "original_ln_before": False, "mh_adapter": True, "non_linearity": "swish"}
    parallel = {**base, "is_parallel": True, "original_ln_before": False, "reduction_factor": 2,
                "init_weights": "mam_adapter", "scaling": 4.0}  # fmt: skip
    compacter = {**base, "phm_layer": True, "reduction_factor": 32, "non_linearity": "gelu"}
    known: dict[str, dict[str, Any]] = {
        "compacter": {**compacter, "original_ln_before": False, "mh_adapter": True}, "compacter++": compacter,
        "seq_bn": base, "pfeiffer": base, "seq_bn_inv": {**base, **inverse}, "pfeiffer+inv": {**base, **inverse},
        "double_seq_bn": double, "houlsby": double, "double_seq_bn_inv": {**double, **inverse},
        "houlsby+inv": {**double, **inverse}, "par_bn": parallel, "parallel": parallel,
        "scaled_par_bn": {**parallel, "scaling": "learned"}, "scaled_parallel": {**parallel, "scaling": "learned"},
    }  # fmt: skip
    parts = re.fullmatch(r"([^\[\]|\n]+)(?:\[(.*)\])?", name.strip())
    if parts is None or parts[1] not in known:
        raise InputError(f"{path}: configuration '{name}' is not supported yet; known: {', '.join(known)}")
    try:  # the peer's grammar: key=value, with Python's literals
        values = ast.literal_eval("{" + re.sub(r"(\w+)=", r"'\1':", parts[2] or "") + "}")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise InputError(f"{path}: configuration '{name}': not key=value, key=value in the brackets") from None
    keys = [*BASE_DEFAULTS, *base]
    for key in values:
        if key not in keys:
            raise InputError(f"{path}: configuration '{name}': unknown key '{key}'{nearest(str(key), keys)}")
    return {**known[parts[1]], **values}


def reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\s*\[type=.*", "", " ".join(lines[1:3]) if len(lines) > 1 else lines[0] if lines else repr(error))
