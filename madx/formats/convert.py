"""An adapter, a fusion or a setup in any layout since 2020, checked against an encoder, in today's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from madx.adapters.setup import Composition, Fuse
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.foreign import checked_name, read_json_object, without_links
from madx.formats.adapterhub import CONFIG, load_adapter, save_adapter
from madx.formats.card import write_card
from madx.formats.fusion import EVERY_FILE, FUSION_CONFIG, SETUP, load_fusion, load_setup, save_fusion, save_setup
from madx.formats.heads import HEAD_CONFIG, load_any_head, save_any_head
from madx.formats.manifest import published, read_manifest, seal


def convert_adapter(folder: Path, to: Path, encoder: Encoder, origin: str, called: str, pickle: bool) -> None:
    """One adapter with its head. `origin` is recorded, and the card says `called`.

    `pickle` adds the weight files that the peer reads first.
    """
    name, adapter = load_adapter(folder, encoder)
    head = load_any_head(folder, encoder) if (folder / HEAD_CONFIG).exists() else None
    save_adapter(to, encoder, name, pickle=pickle)
    if head is not None:
        save_any_head(to, encoder, head[1], head[0], pickle=pickle)
    is_task = head is not None and head[1] is not None
    kind = "task adapter" if is_task else "language adapter" if adapter.invertible else "adapter"
    about: dict[str, Any] = read_manifest(folder) or {
        "kind": kind, "base_model": {"name": encoder.ref.name}, "imported_from": origin,
    }  # fmt: skip
    seal(to, published(about))
    write_card(to, called)


def convert_setup(folder: Path, to: Path, encoder: Encoder) -> None:
    """A composition with its adapters, fusions and heads."""
    heads = load_setup(folder, encoder)
    setup = encoder.adapters.active
    if not isinstance(setup, Composition):
        raise InputError(f"{folder / SETUP}: one adapter alone; give its own folder: {folder / str(setup)}")
    try:
        save_setup(to, encoder, setup, heads)
    except ValueError as error:
        raise InputError(f"{folder / SETUP}: {error}") from None


def convert_fusion(folder: Path, to: Path, encoder: Encoder, pickle: bool) -> None:
    """A fusion alone; the adapters that it fuses lie in folders beside it, under their names."""
    without_links(folder, EVERY_FILE)
    names = read_json_object(folder / FUSION_CONFIG).get("adapter_names")
    for name in names if isinstance(names, list) else []:
        beside = folder.parent / checked_name(name, folder / FUSION_CONFIG)
        if not (beside / CONFIG).exists():
            raise InputError(f"{folder / FUSION_CONFIG}: fuses '{name}'; put that adapter's folder at {beside}")
        without_links(beside, EVERY_FILE)
        load_adapter(beside, encoder, load_as=name)
    fusion = load_fusion(folder, encoder)
    save_fusion(to, encoder, Fuse(*(names or ()), name=fusion), pickle=pickle)
