"""Upload: an adapter's folder with its card and its place's index, to the Hub or to a folder that others can read."""

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

from madx.config import InputError
from madx.formats.card import Score, write_card
from madx.formats.manifest import check, read_manifest, seal
from madx.sharing.address import Address
from madx.sharing.fetch import copy_adapter, hub_file, on_hub
from madx.sharing.index import INDEX, Entry, entry_of, local_entries, read_index, with_entry, write_index


def push(folder: Path, to: Address, private: bool = False, scores: Sequence[Score] = ()) -> str:
    """Publish an adapter; where it can be seen. Raises InputError before anything is sent if it isn't whole."""
    if not (folder / "adapter_config.json").exists():
        raise InputError(f"{folder}: no adapter_config.json there; it is not an adapter's folder")
    check(folder)
    if to.kind == "http":
        raise InputError(f"{to}: a web server can't be written to; push to a folder and let it be served")
    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "adapter"
        stage(folder, ready, str(to), scores)
        return _to_hub(ready, to, private) if to.kind == "hub" else _to_folder(ready, to)


def stage(folder: Path, ready: Path, name: str, scores: Sequence[Score] = ()) -> None:
    """The files of an adapter, and nothing else of its folder, sealed and with a card that calls it `name`."""
    copy_adapter(folder, ready)
    seal(ready, read_manifest(folder))
    write_card(ready, name, scores)


def _to_folder(ready: Path, to: Address) -> str:
    """The last part of the path names the adapter, its parent is the place."""
    folder = Path(to.place) / to.path
    place = folder.parent
    place.mkdir(parents=True, exist_ok=True)
    if folder.exists() and not (folder / "adapter_config.json").exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds something that is no adapter; push to {folder}/NAME")
    copy_adapter(ready, folder)
    write_index(place / INDEX, with_entry(local_entries(place), entry_of(folder, folder.name)))
    return str(folder)


def _to_hub(ready: Path, to: Address, private: bool) -> str:
    """One commit: the adapter's files and the index."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    on_hub(to, lambda: api.create_repo(to.place, private=private, exist_ok=True))
    here = hub_file(to.model_copy(update={"revision": None}), INDEX)
    known: list[Entry] = read_index(here.read_text(encoding="utf-8"), f"{to.place}/{INDEX}") if here else []
    index = ready.parent / INDEX
    write_index(index, with_entry(known, entry_of(ready, to.path or ".")))
    prefix = f"{to.path}/" if to.path else ""
    operations = [CommitOperationAdd(prefix + f.name, str(f)) for f in sorted(ready.iterdir())]
    operations.append(CommitOperationAdd(INDEX, str(index)))
    subject = entry_of(ready, ".")
    what = subject.language or subject.task or to.path or "adapter"
    if to.revision:
        on_hub(to, lambda: api.create_branch(to.place, branch=to.revision or "", exist_ok=True))
    done = on_hub(
        to,
        lambda: api.create_commit(
            to.place, operations, commit_message=f"{subject.kind}: {what}, with madx", revision=to.revision
        ),
    )
    return str(done.repo_url)


def scores_of(folder: Path, run: Path) -> list[Score]:
    """The rows of a run's scores.csv, primary metric only, that were computed with this adapter.

    For a language adapter: those in which its language is the target.
    """
    path = run / "scores.csv"
    if not path.exists():
        raise InputError(f"--scores {run}: no scores.csv; is this a run's folder?")
    language = read_manifest(folder).get("language")
    with open(path, encoding="utf-8", newline="") as file:
        return [
            row
            for row in csv.DictReader(file)
            if folder.resolve().name in row["adapter_ids"].split("+")
            and row["primary"] == "True"
            and language in (None, row["target"])
        ]
