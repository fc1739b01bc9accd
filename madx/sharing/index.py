"""`index.json`: what adapters a place holds. The same file on the Hub, on a web server and in a local folder."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from madx.config import Frozen, InputError
from madx.foreign import Line, Name, checked_name, parse_json, read_json_object, read_small
from madx.formats.manifest import FILES, MANIFEST, read_manifest
from madx.writing import write_json

INDEX = "index.json"


class Entry(Frozen):
    """One adapter of a place."""

    path: str  # relative to the index, each part a name; "." is the place itself
    kind: Line = "adapter"
    language: Name | None = None
    task: Name | None = None
    model: Line | None = None  # the base model's name ...
    model_digest: Line | None = None  # ... and what its weights hash to, as its manifest says
    held_out_loss: float | None = None
    files: dict[str, str] = {}  # name to SHA-256


def entry_of(folder: Path, path: str) -> Entry:
    """What an adapter's folder says of itself, as a row of the index."""
    about = read_manifest(folder)
    base, loss = about.get("base_model") or {}, about.get("held_out_loss") or {}
    config: dict[str, Any] = {}
    if not about and (folder / "adapter_config.json").exists():
        config = read_json_object(folder / "adapter_config.json")
    row = {
        "path": path, "kind": about.get("kind", "adapter"), "language": about.get("language"),
        "task": about.get("task"), "model": base.get("name") or config.get("model_name"),
        "model_digest": base.get("digest"), "held_out_loss": loss.get("after"), "files": about.get("files", {}),
    }  # fmt: skip
    try:
        return Entry.model_validate(row)
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(f"{folder}: what it says of itself can't be right: '{key}'") from None


def read_index(content: bytes, where: str) -> list[Entry]:
    """Raises InputError for anything that isn't an index."""
    index = parse_json(content, where)
    try:
        entries = [Entry.model_validate(row) for row in index["adapters"]]
    except (ValueError, LookupError, TypeError):
        raise InputError(f"{where}: not an index of adapters") from None
    for entry in entries:
        if entry.path != ".":
            for part in entry.path.split("/"):
                checked_name(part, f"{where}: an entry's path leads outside of its place, or is none")
        if not set(entry.files) <= set(FILES):
            raise InputError(f"{where}: entry '{entry.path}' has files that no adapter has")
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
        return read_index(read_small(place / INDEX), str(place / INDEX))
    return [
        entry_of(folder, folder.name)
        for folder in sorted(place.iterdir())
        if (folder / "adapter_config.json").exists() or (folder / MANIFEST).exists()
    ]
