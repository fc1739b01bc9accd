"""Download: a published adapter as a checked folder here, and the index of a place.

Only files that an adapter may have are ever fetched, by name, so nothing that a server says can leave the cache. What
was fetched is checked against the digests of its madx.json before it is used.
"""

import hashlib
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from madx.config import InputError, RunError, first_line
from madx.formats.manifest import FILES, WEIGHT_FILES, check, file_digests, read_manifest
from madx.sharing.address import Address
from madx.sharing.index import INDEX, Entry, local_entries, read_index
from madx.store import fsync_file

TIMEOUT = float(os.environ.get("MADX_HTTP_TIMEOUT", "30"))  # seconds without a byte
ATTEMPTS = 4
LARGEST = 8 << 30  # bytes; no adapter is this large
T = TypeVar("T")


def cache_root() -> Path:
    return Path(os.environ.get("MADX_CACHE", "~/.cache/madx")).expanduser()


def fetch(address: Address) -> Path:
    """A folder here that holds the adapter, complete and checked. Raises InputError or RunError in one line."""
    if address.kind == "local":
        folder = Path(address.place) / address.path
        if not folder.is_dir():
            raise InputError(f"{address}: no such directory")
    elif address.kind == "hub":
        folder = _from_hub(address)
    else:
        folder = _from_web(address)
    if not (folder / "adapter_config.json").exists():
        raise InputError(f"{address}: no adapter_config.json there; it is not an adapter's folder")
    if not any((folder / name).exists() for name in WEIGHT_FILES[:2]):
        raise InputError(f"{address}: no adapter weights there ({', '.join(WEIGHT_FILES[:2])})")
    check(folder)
    return folder


def digests_of(folder: Path) -> tuple[str, ...]:
    """What names an adapter's content, whatever its folder is called."""
    return tuple(f"{name}:{value}" for name, value in sorted(file_digests(folder).items()))


def entries_of(address: Address) -> list[Entry]:
    """The adapters that a place offers."""
    if address.kind == "local":
        place = Path(address.place)
        if not place.is_dir():
            raise InputError(f"{address}: no such directory")
        return local_entries(place)
    if address.kind == "http":
        path = cache_root() / "index" / hashlib.sha256(address.place.encode()).hexdigest()[:16]
        path.unlink(missing_ok=True)
        if not _download(f"{address.place}/{INDEX}", path):
            raise InputError(f"{address}: no {INDEX} there")
        return read_index(path.read_text(encoding="utf-8", errors="replace"), f"{address.place}/{INDEX}")
    content = hub_file(address, INDEX)
    if content is None:
        raise InputError(f"{address}: the repository has no {INDEX}; pull it by its own name instead")
    return read_index(content.read_text(encoding="utf-8", errors="replace"), f"{address}/{INDEX}")


def copy_adapter(folder: Path, to: Path) -> None:
    """The files of an adapter, and nothing else of its folder; whole or not at all."""
    to.parent.mkdir(parents=True, exist_ok=True)
    beside = to.with_name(f".{to.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for name in FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, beside / name)
            fsync_file(beside / name)
    if to.exists():
        shutil.rmtree(to)
    beside.replace(to)


# ----------------------------------------------------------------------------------------------------------- Hub


def on_hub(address: Address, call: Callable[[], T]) -> T:
    """Run a request of huggingface_hub's; its errors in one line each, saying what to do."""
    from huggingface_hub import errors

    try:
        return call()
    except errors.GatedRepoError:
        raise InputError(f"{address}: access is granted by its owner; ask on its page, then `hf auth login`") from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{address}: the repository has no revision '{address.revision}'") from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{address}: no such repository on the Hub, or it is private and the token (HF_TOKEN, `hf auth login`) "
            "doesn't open it"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise InputError(f"{address}: the Hub refuses the token (HTTP {status}); `hf auth login`") from None
        raise RunError(f"{address}: the Hub answered: {first_line(error)}; try again") from None
    except errors.LocalTokenNotFoundError:
        raise InputError(f"{address}: no token; set HF_TOKEN or run `hf auth login`") from None
    except (errors.HFValidationError, ValueError) as error:
        raise InputError(f"{address}: {first_line(error)}") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise RunError(
            f"{address}: the Hub can't be reached and nothing is in the cache: {first_line(error)}"
        ) from None
    except Exception as error:  # the client passes on whatever its transport raises: broken, slow, refused
        raise RunError(f"{address}: the download broke off ({type(error).__name__}: {first_line(error)}); "
                       "run it again, it goes on where it stopped") from None  # fmt: skip


def _from_hub(address: Address) -> Path:
    from huggingface_hub import snapshot_download

    prefix = f"{address.path}/" if address.path else ""
    root = on_hub(
        address,
        lambda: snapshot_download(
            address.place, revision=address.revision, allow_patterns=[prefix + name for name in FILES],
        ),
    )  # fmt: skip
    return Path(root) / address.path


def hub_file(address: Address, name: str) -> Path | None:
    """One file of a repository; None if it has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    def download() -> str | None:
        try:
            return hf_hub_download(address.place, name, revision=address.revision)
        except RemoteEntryNotFoundError:
            return None

    found = on_hub(address, download)
    return Path(found) if found else None


# ----------------------------------------------------------------------------------------------------------- web


def _from_web(address: Address) -> Path:
    """Into the cache. A file that is there and whole by its digest isn't fetched again."""
    url = f"{address.place}/{address.path}" if address.path else address.place
    folder = cache_root() / "adapters" / hashlib.sha256(url.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("madx.json", "adapter_config.json", "README.md"):
        (folder / name).unlink(missing_ok=True)  # small, and they say whether the rest is current
        _download(f"{url}/{name}", folder / name)
    promised = read_manifest(folder).get("files")
    current = file_digests(folder)
    names = promised if isinstance(promised, dict) else FILES
    for name in (n for n in names if n in FILES and n not in ("madx.json", "adapter_config.json", "README.md")):
        if isinstance(promised, dict) and current.get(name) == promised[name]:
            continue
        if name == "pytorch_adapter.bin" and (folder / "adapter.safetensors").exists():
            continue
        (folder / name).unlink(missing_ok=True)
        _download(f"{url}/{name}", folder / name)
    return folder


def _download(url: str, path: Path) -> bool:
    """Fetch a file, going on where an attempt broke off. False if the server has none. Raises RunError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.unlink(missing_ok=True)
    problem = ""
    for attempt in range(ATTEMPTS):
        have = beside.stat().st_size if beside.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                goes_on = answer.status == 206
                length = answer.headers.get("Content-Length")
                expected = int(length) + (have if goes_on else 0) if length else None
                with open(beside, "ab" if goes_on else "wb") as file:
                    while chunk := answer.read(1 << 20):
                        file.write(chunk)
                        if file.tell() > LARGEST:
                            raise RunError(f"{url}: more than {LARGEST >> 30} GiB; no adapter is this large")
                    file.flush()
                    os.fsync(file.fileno())
            if expected is None or beside.stat().st_size == expected:
                beside.replace(path)
                return True
            problem = f"it ended after {beside.stat().st_size} of {expected} bytes"
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return False
            problem = f"HTTP {error.code}"
            if error.code in (401, 403):
                raise InputError(f"{url}: the server refuses access ({problem})") from None
        except (OSError, ValueError) as error:
            problem = first_line(error)
        except Exception as error:  # http.client's own, e.g. an incomplete read
            problem = f"{type(error).__name__}: {first_line(error)}"
        time.sleep(min(4.0, 0.2 * 2**attempt))
    beside.unlink(missing_ok=True)
    raise RunError(f"{url}: cannot be fetched: {problem} ({ATTEMPTS} attempts)")
