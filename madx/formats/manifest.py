"""`madx.json`: where an adapter comes from, and the digests of its files. No torch: listing adapters needs none."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from madx.config import InputError, file_digest
from madx.foreign import Line, Name, read_json_object
from madx.writing import write_json

MANIFEST = "madx.json"
LM_HEAD = "lm_head.safetensors"  # what stage one trained of the masked-LM head, by the order of its parameters
PACKED = "adapter.packed.safetensors"  # of a pruned adapter, which only madx reads: see sparse.py
# what an adapter's folder may hold: the only names that are ever fetched, whatever an index says
WEIGHT_FILES = (
    "adapter.safetensors", "pytorch_adapter.bin", "model_head.safetensors", "pytorch_model_head.bin",
    LM_HEAD, PACKED,
)  # fmt: skip
LARGEST = 8 << 30  # bytes; no adapter is this large
CONFIG_FILES = ("adapter_config.json", "head_config.json")
FILES = (*CONFIG_FILES, *WEIGHT_FILES, MANIFEST, "README.md")


class _Known(BaseModel):
    """Of a manifest what madx reads; other keys are kept as they are."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Base(_Known):
    name: Line | None = None
    digest: Line | None = None


class _Loss(_Known):
    before: float
    after: float


class _Source(_Known):
    name: Line | None = None
    hub: Line | None = None
    file: Line | None = None
    licence: Line | None = None


class _Corpus(_Known):
    sources: list[_Source] = []
    tokens: int | None = None


class _Manifest(_Known):
    kind: Line = "adapter"
    language: Name | None = None
    task: Name | None = None
    base_model: _Base | None = None
    held_out_loss: _Loss | None = None
    corpus: _Corpus | None = None
    files: dict[str, str] = {}
    source: list[Name] = []
    language_adapters: list[Name] = []
    hyper_parameters: dict[str, Any] = {}
    versions: dict[str, Line] = {}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The folder's madx.json, in which the keys that madx knows have their types; empty if it has none.

    Raises InputError.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    about = read_json_object(path)
    try:
        _Manifest.model_validate(about)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: key '{key}': {first['msg']}") from None
    return about


def published(about: dict[str, Any]) -> dict[str, Any]:
    """The same without places on this machine: of a path only its last part is left."""
    return {key: _published(value) for key, value in about.items()}


def _published(value: Any) -> Any:
    if isinstance(value, dict):
        return published(value)
    if isinstance(value, list):
        return [_published(part) for part in value]
    return without_place(value) if isinstance(value, str) else value


def without_place(name: str) -> str:
    """Of a path on this machine its last part; anything else as it is."""
    is_path = name.startswith(("/", "~", "./", "../")) or PureWindowsPath(name).drive != ""
    return PurePosixPath(name.replace("\\", "/")).name if is_path else name


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
    for name, expected in about.get("files", {}).items():
        if name not in FILES:
            raise InputError(f"{folder / MANIFEST}: '{name}' is no file of an adapter")
        if not (folder / name).is_file():
            raise InputError(f"{folder}: '{name}' is missing; fetch the adapter again")
        have = file_digest(folder / name)
        if have != expected:
            raise InputError(
                f"{folder / name}: its SHA-256 is {have[:12]}..., but madx.json promises {expected[:12]}...; "
                "the file was damaged or changed: fetch the adapter again"
            )
    model = about.get("base_model") or {}
    made_on = model.get("digest")
    if not (base and made_on):
        return
    if made_on != base and made_on.partition(":")[0] == base.partition(":")[0]:
        raise InputError(
            f"{folder}: trained on {model.get('name')} with weights {made_on[:19]}..., but the encoder's are "
            f"{base[:19]}...; it would compute noise"
        )
