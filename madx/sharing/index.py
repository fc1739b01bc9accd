"""`index.json`: what adapters a place holds. The same file on the Hub, on a web server and in a local folder."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from madx.config import Frozen, InputError
from madx.formats.manifest import FILES, MANIFEST, read_manifest
from madx.store import write_json

INDEX = "index.json"


class Entry(Frozen):
    """One adapter of a place."""

    path: str  # relative to the index; "." is the place itself
    kind: str = "adapter"
    language: str | None = None
    task: str | None = None
    model: str | None = None  # the base model's name ...
    model_digest: str | None = None  # ... and what its weights hash to, as its manifest says
    held_out_loss: float | None = None
    files: dict[str, str] = {}  # name to SHA-256


def entry_of(folder: Path, path: str) -> Entry:
    """What an adapter's folder says of itself, as a row of the index."""
    about = read_manifest(folder)
    base, loss = about.get("base_model") or {}, about.get("held_out_loss") or {}
    config: dict[str, Any] = {}
    if not about and (folder / "adapter_config.json").exists():
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return Entry(
        path=path, kind=about.get("kind", "adapter"), language=about.get("language"), task=about.get("task"),
        model=base.get("name") or config.get("model_name"), model_digest=base.get("digest"),
        held_out_loss=loss.get("after"), files=about.get("files", {}),
    )  # fmt: skip


def read_index(content: str, where: str) -> list[Entry]:
    """Raises InputError for anything that isn't an index."""
    try:
        entries = [Entry.model_validate(row) for row in json.loads(content)["adapters"]]
    except (ValueError, KeyError, TypeError, ValidationError, RecursionError):
        raise InputError(f"{where}: not an index of adapters") from None
    for entry in entries:
        parts = Path(entry.path).parts
        if ".." in parts or Path(entry.path).is_absolute() or not set(entry.files) <= set(FILES):
            raise InputError(f"{where}: entry '{entry.path}' points outside of its place")
    return entries


def with_entry(entries: list[Entry], new: Entry) -> list[Entry]:
    """The index with this adapter in it; one at the same path is replaced."""
    return sorted([*(e for e in entries if e.path != new.path), new], key=lambda e: e.path)


def write_index(path: Path, entries: list[Entry]) -> None:
    rows = [entry.model_dump(exclude_none=True) for entry in entries]
    write_json(path, {"madx_index": 1, "adapters": rows})


def local_entries(place: Path) -> list[Entry]:
    """The index of a folder here; without one, what its sub-folders say of themselves."""
    if (place / INDEX).exists():
        return read_index((place / INDEX).read_text(encoding="utf-8"), str(place / INDEX))
    return [
        entry_of(folder, folder.name)
        for folder in sorted(place.iterdir())
        if (folder / "adapter_config.json").exists() or (folder / MANIFEST).exists()
    ]
