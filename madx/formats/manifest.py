"""`madx.json`: where an adapter comes from, and the digests of its files. No torch: listing adapters needs none."""

import json
from pathlib import Path
from typing import Any

from madx.config import InputError, file_digest
from madx.store import write_json

MANIFEST = "madx.json"
# what an adapter's folder may hold: the only names that are ever fetched, whatever an index says
WEIGHT_FILES = (
    "adapter.safetensors", "pytorch_adapter.bin", "model_head.safetensors", "pytorch_model_head.bin",
    "lm_head.safetensors",
)  # fmt: skip
CONFIG_FILES = ("adapter_config.json", "head_config.json")
FILES = (*CONFIG_FILES, *WEIGHT_FILES, MANIFEST, "README.md")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The folder's madx.json; empty if it has none. Raises InputError."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(about, dict):
        raise InputError(f"{path}: not a JSON object")
    return about


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the adapter's files that are computed with: configurations and weights."""
    return {name: file_digest(folder / name) for name in (*CONFIG_FILES, *WEIGHT_FILES) if (folder / name).is_file()}


def seal(folder: Path, about: dict[str, Any]) -> None:
    """Write madx.json with the digests of the files beside it. The last thing that is done to a folder."""
    write_json(folder / MANIFEST, {**about, "files": file_digests(folder)})


def check(folder: Path, base: str | None = None) -> None:
    """Refuse a folder whose files aren't those that were sealed, or, with `base`, one made on other base weights.

    `base`: the digest of the encoder that it is loaded into. Only digests of one kind compare: the weights' (`sha256:`)
    or the Hub's (`commit:`). Folders without a manifest (AdapterHub's) promise nothing. Raises InputError.
    """
    about = read_manifest(folder)
    promised = about.get("files", {})
    if not isinstance(promised, dict):
        raise InputError(f"{folder / MANIFEST}: key 'files' is no object")
    for name, expected in promised.items():
        if name not in FILES:
            raise InputError(f"{folder / MANIFEST}: '{name}' is no file of an adapter")
        if not (folder / name).is_file():
            raise InputError(f"{folder}: '{name}' is missing; fetch the adapter again")
        have = file_digest(folder / name)
        if have != expected:
            raise InputError(
                f"{folder / name}: its SHA-256 is {have[:12]}..., but madx.json promises {str(expected)[:12]}...; "
                "the file was damaged or changed: fetch the adapter again"
            )
    model = about.get("base_model")
    model = model if isinstance(model, dict) else {}
    made_on = model.get("digest")
    if not (base and isinstance(made_on, str)):
        return
    if made_on != base and made_on.partition(":")[0] == base.partition(":")[0]:
        raise InputError(
            f"{folder}: trained on {model.get('name')} with weights {made_on[:19]}..., but the encoder's are "
            f"{base[:19]}...; it would compute noise"
        )
