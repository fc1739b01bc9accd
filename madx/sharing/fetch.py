"""Download: a published adapter as a checked folder here, and the index of a place.

Only files that an adapter may have are ever fetched, by name, so nothing that a server says can leave the cache. What
was fetched is checked against the digests of its madx.json before it is used.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from madx.config import InputError, RunError, digest, file_digest, first_line, named
from madx.foreign import inside, read_small, without_links
from madx.formats.manifest import FILES, MANIFEST, PACKED, WEIGHT_FILES, check, file_digests, read_manifest
from madx.formats.vocabulary import without_vocabulary
from madx.sharing.address import Address, no_folder
from madx.sharing.download import download, limit_of
from madx.sharing.index import INDEX, Entry, local_entries, read_index
from madx.writing import OF_DISK, fsync_file, io_errors, locked, refused, remove_folder, sweep

T = TypeVar("T")


def cache_root() -> Path:
    return Path(os.environ.get("MADX_CACHE", "~/.cache/madx")).expanduser()


def fetch(address: Address) -> Path:
    """A folder here that holds the adapter, complete and checked. Raises InputError or RunError in one line."""
    if address.kind == "local":
        folder = Path(address.place) / address.path
        if not folder.is_dir():
            raise InputError(no_folder(str(address)))
        without_links(folder, FILES)
    elif address.kind == "hub":
        folder = _from_hub(address)
    else:
        folder = _from_web(address)
    check_whole(folder, str(address))
    return folder


def check_whole(folder: Path, where: str) -> None:
    """Raises InputError for a folder that is no adapter's, or whose files aren't those that were sealed."""
    without_vocabulary(folder)
    if not (folder / "adapter_config.json").exists():
        raise InputError(f"{where}: no adapter_config.json there; it is not an adapter's folder")
    if not any((folder / name).exists() for name in (*WEIGHT_FILES[:2], PACKED)):
        raise InputError(f"{where}: no adapter weights there ({', '.join(WEIGHT_FILES[:2])})")
    check(folder)


def digests_of(folder: Path) -> tuple[str, ...]:
    """What names an adapter's content, whatever its folder is called."""
    return tuple(f"{name}:{value}" for name, value in sorted(file_digests(folder).items()))


def entries_of(address: Address) -> list[Entry]:
    """The adapters that a place offers."""
    if address.kind == "local":
        place = Path(address.place)
        if not place.is_dir():
            raise InputError(no_folder(str(address)))
        return local_entries(place)
    if address.kind == "http":
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / INDEX
            if not download(f"{address.place}/{INDEX}", path):
                raise InputError(f"{address}: no {INDEX} there")
            return read_index(read_small(path), f"{address.place}/{INDEX}")
    content = hub_file(address, INDEX)
    if content is None:
        raise InputError(f"{address}: the repository has no {INDEX}; pull it by its own name instead")
    return read_index(read_small(content), f"{address}/{INDEX}")


def copy_files(folder: Path, to: Path) -> None:
    """The files of an adapter, and nothing else of its folder, into a new folder."""
    to.mkdir(exist_ok=True)
    for name in FILES:
        if (folder / name).is_file():
            with named(to / name):
                shutil.copyfile(folder / name, to / name)
            fsync_file(to / name)


# ----------------------------------------------------------------------------------------------------------- Hub


def on_hub(address: Address, call: Callable[[], T], expected: type[Exception] | tuple[()] = ()) -> T:
    """Run a request of huggingface_hub's; its errors in one line each, saying what to do, but for an `expected` one."""
    from huggingface_hub import errors

    try:
        return call()
    except expected:
        raise
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
        if isinstance(error, OSError) and error.errno in OF_DISK:
            raise refused(error) from None
        raise RunError(f"{address}: the transfer broke off ({type(error).__name__}: {first_line(error)}); "
                       "run it again; what is there already is not sent twice") from None  # fmt: skip


def _from_hub(address: Address) -> Path:
    """Into huggingface_hub's cache, whose files are links into it. Sizes are asked for before anything is fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError

    prefix = f"{address.path}/" if address.path else ""
    names = [prefix + name for name in FILES]
    planned = []
    with suppress(DryRunError):  # no network: what is in the cache will do
        planned = on_hub(
            address,
            lambda: snapshot_download(address.place, revision=address.revision, allow_patterns=names, dry_run=True),
            DryRunError,
        )
    for file in planned:
        if (file.file_size or 0) > limit_of(file.filename.removeprefix(prefix)):
            raise InputError(f"{address}: '{file.filename}' has {file.file_size} bytes; no such file is this large")
    revision = planned[0].commit_hash if planned else address.revision  # what was looked at is what is fetched
    root = Path(on_hub(address, lambda: snapshot_download(address.place, revision=revision, allow_patterns=names)))
    for name in FILES:
        inside(root.parents[1], root / address.path / name)
    return root / address.path


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
    """Into the cache, all of it or nothing: a folder named by address and content, which then never changes.

    A file that an earlier fetch has brought, and that is whole by its digest, isn't fetched again.
    """
    url = f"{address.place}/{address.path}" if address.path else address.place
    root, key = cache_root() / "adapters", hashlib.sha256(url.encode()).hexdigest()[:16]
    with locked(root / key), io_errors(root):
        sweep(root, key)
        with TemporaryDirectory(prefix=f".{key}.", suffix=".part", dir=root, ignore_cleanup_errors=True) as scratch:
            new = Path(scratch) / "adapter"
            new.mkdir()
            for name in (MANIFEST, "adapter_config.json", "README.md"):
                download(f"{url}/{name}", new / name)
            promised: dict[str, str] = read_manifest(new).get("files", {})
            for name in (n for n in promised or FILES if n in FILES and not (new / n).exists()):
                if name == "pytorch_adapter.bin" and (new / "adapter.safetensors").exists():
                    continue
                before = (old / name for old in root.glob(f"{key}-*") if (old / name).is_file())
                whole = next((path for path in before if file_digest(path) == promised.get(name)), None)
                if whole is not None:
                    os.link(whole, new / name)
                else:
                    download(f"{url}/{name}", new / name)
            check_whole(new, str(address))
            content = {path.name: file_digest(path) for path in sorted(new.iterdir())}
            folder = root / f"{key}-{digest(content)}"
            if folder.exists() and {path.name: file_digest(path) for path in sorted(folder.iterdir())} != content:
                remove_folder(folder)  # damaged since
            if not folder.exists():
                os.replace(new, folder)
            return folder
