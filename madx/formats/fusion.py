"""AdapterHub's fusion folders and adapter setups in and out: a composition with everything that it needs.

DIR/adapter_setup.json    DIR/<adapter>/    DIR/<fusion>/    and the head inside DIR/<head>/
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from torch import Tensor

from madx.adapters.bank import site_of
from madx.adapters.fusion import Fusion, FusionSpec
from madx.adapters.heads import Head
from madx.adapters.setup import Average, BatchSplit, Composition, Fuse, Parallel, Setup, Split, Stack, leaves
from madx.config import InputError, validate
from madx.encoders.encoder import Encoder
from madx.foreign import checked_name, inside, read_json_object, without_links
from madx.formats.adapterhub import (
    VERSION,
    about_encoder,
    load_adapter,
    put,
    save_adapter,
    save_weights,
)
from madx.formats.heads import HEAD_CONFIG, load_any_head, save_any_head
from madx.formats.manifest import FILES
from madx.formats.tensors import read_tensors
from madx.writing import write_json

FUSION_CONFIG = "adapter_fusion_config.json"
FUSION_WEIGHTS, FUSION_PICKLE = "model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin"
SETUP = "adapter_setup.json"
EVERY_FILE = (*FILES, FUSION_CONFIG, FUSION_WEIGHTS, FUSION_PICKLE, SETUP)


def fusion_names(encoder: Encoder, fusion: Fusion, name: str) -> dict[str, str]:
    """Our tensor names to the peer's, with the base model's prefix."""
    table = {}
    for key in fusion.state_dict():
        _, site, rest = key.split(".", 2)
        place, layer = site_of(site)
        where = encoder.family.site_names[place].format(layer)
        table[key] = f"{encoder.prefix}.{where}.adapter_fusion_layer.{name}.{rest}"
    return table


def load_fusion(folder: Path, encoder: Encoder) -> str:
    """A fusion into the encoder's bank, whose adapters are loaded already; its name. Raises InputError."""
    path = folder / FUSION_CONFIG
    about = read_json_object(path)
    name, config, adapters = about.get("name"), about.get("config"), about.get("adapter_names")
    if not isinstance(config, dict) or name is None or not isinstance(adapters, list):
        raise InputError(f"{path}: 'config', 'name' or 'adapter_names' is missing")
    name, adapters = checked_name(name, path), [checked_name(adapter, path) for adapter in adapters]
    absent = [adapter for adapter in adapters if adapter not in encoder.adapters]
    if absent:
        raise InputError(f"{path}: fuses '{absent[0]}', which is not loaded; load its adapter first")
    keys = set(FusionSpec.model_fields)
    if set(config) != keys:  # the peer needs all ten
        raise InputError(f"{path}: config has not the keys {', '.join(sorted(set(config) ^ keys))}")
    fusion = encoder.adapters.add_fusion(name, validate(FusionSpec, config, str(path)), *adapters)
    ours = {theirs: key for key, theirs in fusion_names(encoder, fusion, name).items()}
    tensors: dict[str, Tensor] = {}
    for key, tensor in read_tensors(folder, FUSION_WEIGHTS, FUSION_PICKLE).items():
        full = key if key.startswith(encoder.prefix + ".") else f"{encoder.prefix}.{key}"
        if full in ours:
            tensors[ours[full]] = tensor
        # the peer's file of "ta,tb" holds "ta,tb,tc" too: it matches names without the dot
        elif f".adapter_fusion_layer.{name}" not in full or f".adapter_fusion_layer.{name}." in full:
            raise InputError(f"{folder}: unexpected tensor '{key}'")
    put(fusion, tensors, str(folder))
    fusion.to(encoder.device)
    return name


def save_fusion(folder: Path, encoder: Encoder, setup: Fuse, pickle: bool = False) -> None:
    fusion = encoder.adapters.fusion(setup.name)
    assert fusion is not None
    folder.mkdir(parents=True, exist_ok=True)
    names = fusion_names(encoder, fusion, setup.name)
    tensors = {names[key]: tensor for key, tensor in fusion.state_dict().items()}
    save_weights(folder, tensors, FUSION_WEIGHTS, FUSION_PICKLE if pickle else None)
    adapters = [leaves(child)[-1] for child in setup.children]
    about = {**about_encoder(encoder, setup.name), "config": fusion.spec.model_dump(), "adapter_names": adapters}
    write_json(folder / FUSION_CONFIG, about)


# ------------------------------------------------------------------------------------------------------ setups


class _Numbers(BaseModel):
    """What a composition may have beside its children."""

    weights: tuple[float, ...] | None = None
    batch_sizes: tuple[int, ...] | None = None
    splits: tuple[int, ...] | None = None


def setup_from_dict(value: Any, where: str) -> Setup:
    """A composition as AdapterHub's JSON says it. Raises InputError."""
    kind = value.get("type") if isinstance(value, dict) else None
    children = value.get("children") if isinstance(value, dict) else None
    if not isinstance(children, list) or not children:
        raise InputError(f"{where}: not a composition of adapters")
    if kind == "single":
        if not isinstance(children[0], str) or len(children) != 1:
            raise InputError(f"{where}: 'single' has one adapter's name")
        return children[0]
    below = [setup_from_dict(child, where) for child in children]
    try:
        more = _Numbers.model_validate(value.get("kwargs") or {})
        match kind:
            case "Stack":
                return Stack(*below)
            case "Fuse":
                return Fuse(*below, name=value.get("name"))
            case "Average":
                return Average(*below, weights=more.weights)
            case "Parallel":
                return Parallel(*below)
            case "BatchSplit" if more.batch_sizes:
                return BatchSplit(*below, sizes=more.batch_sizes)
            case "Split" if more.splits:
                return Split(*below, sizes=more.splits)
    except ValueError:
        raise InputError(f"{where}: {kind}: its 'kwargs' can't be right") from None
    raise InputError(f"{where}: '{kind}' is not a composition that madx knows, or lacks its sizes")


def setup_to_dict(setup: Setup) -> dict[str, Any]:
    if isinstance(setup, str):
        return {"type": "single", "children": [setup]}
    value: dict[str, Any] = {"type": type(setup).__name__, "children": [setup_to_dict(c) for c in setup.children]}
    match setup:
        case Average():
            value["kwargs"] = {"weights": list(setup.weights)}
        case BatchSplit():
            value["kwargs"] = {"batch_sizes": list(setup.sizes)}
        case Split():
            value["kwargs"] = {"splits": list(setup.sizes)}
    return value


def fusions_of(setup: Setup) -> list[Fuse]:
    if isinstance(setup, str):
        return []
    return [*([setup] if isinstance(setup, Fuse) else []), *(f for child in setup.children for f in fusions_of(child))]


def load_setup(folder: Path, encoder: Encoder) -> dict[str, Head | None]:
    """Load and activate a setup's folder; its heads by name, None for a masked-LM head. Raises InputError."""
    path = folder / SETUP
    without_links(folder, EVERY_FILE)
    about = read_json_object(path)
    try:
        setup = setup_from_dict(about.get("adapter_setup"), str(path))
    except RecursionError:
        raise InputError(f"{path}: nested too deeply") from None
    names = [*dict.fromkeys(leaves(setup)), *(fuse.name for fuse in fusions_of(setup))]
    for name in names:
        without_links(inside(folder, folder / checked_name(name, path)), EVERY_FILE)
    for name in dict.fromkeys(leaves(setup)):
        load_adapter(folder / name, encoder)
    for fuse in fusions_of(setup):
        load_fusion(folder / fuse.name, encoder)
    heads: dict[str, Head | None] = {}
    match about.get("head_setup"):
        case str(name):
            places = [name]
        case list(names):
            places = names
        case True:  # a static class's head lies in the setup's own folder
            places = ["."]
        case _:
            places = []
    for place in places:
        where = folder if place == "." else inside(folder, folder / checked_name(place, path))
        without_links(where, EVERY_FILE)
        if not (where / HEAD_CONFIG).exists():
            raise InputError(f"{path}: head '{place}' is not there")
        heads.update([load_any_head(where, encoder)])
    encoder.adapters.activate(setup)
    return heads


def save_setup(
    folder: Path, encoder: Encoder, setup: Composition, heads: Mapping[str, Head | None] = MappingProxyType({})
) -> None:
    """A setup as `adapters` 1.3 loads it by its defaults, both weight files included.

    Raises ValueError for a Fuse with a name of its own: the peer saves it and can't load it again.
    """
    for fuse in fusions_of(setup):
        if fuse.name != Fuse(*fuse.children).name:
            raise ValueError(f"fusion '{fuse.name}': a setup's file can't keep a fusion's own name")
        save_fusion(folder / fuse.name, encoder, fuse, pickle=True)
    for name in dict.fromkeys(leaves(setup)):
        save_adapter(folder / name, encoder, name, pickle=True)
    for name, head in heads.items():
        save_any_head(folder / name, encoder, head, name, pickle=True)
    head_setup = list(heads) if len(heads) > 1 else next(iter(heads), None)
    write_json(folder / SETUP, {"adapter_setup": setup_to_dict(setup), "head_setup": head_setup, "version": VERSION})
