"""Upload: an adapter's folder with its card and its place's index, to the Hub or to a folder that others can read."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from madx.config import InputError, RunError
from madx.foreign import read_json_object, read_small, without_links
from madx.formats.card import Score, write_card
from madx.formats.manifest import CONFIG_FILES, FILES, PACKED, check, published, read_manifest, seal
from madx.formats.vocabulary import without_vocabulary
from madx.scores.rows import read_rows
from madx.scores.score import Score as ScoreRow
from madx.sharing.address import Address
from madx.sharing.fetch import copy_files, hub_file, on_hub
from madx.sharing.index import INDEX, Entry, entry_of, local_entries, read_index, with_entry, write_index
from madx.writing import io_errors, locked, swap_folder, write_json

ATTEMPTS = 8  # of a push to the Hub, where others push to the same place


def push(folder: Path, to: Address, private: bool = False, scores: Sequence[Score] = (), force: bool = False) -> str:
    """Publish an adapter; where it can be seen. `force`: where another language's or task's is now.

    Raises InputError before anything is sent if it isn't whole.
    """
    without_links(folder, FILES)
    without_vocabulary(folder)
    if not (folder / "adapter_config.json").exists():
        raise InputError(f"{folder}: no adapter_config.json there; it is not an adapter's folder")
    if (folder / PACKED).exists():
        raise InputError(
            f"{folder}: a pruned adapter, whose file only madx reads; `madx adapters export` makes it dense"
        )
    check(folder)
    if to.kind == "http":
        raise InputError(f"{to}: a web server can't be written to; push to a folder and let it be served")
    with TemporaryDirectory() as scratch:
        ready = Path(scratch) / "adapter"
        stage(folder, ready, str(to), scores)
        return _to_hub(ready, to, private, force) if to.kind == "hub" else _to_folder(ready, to, force)


def stage(folder: Path, ready: Path, name: str, scores: Sequence[Score] = ()) -> None:
    """The files of an adapter, and nothing else of its folder, sealed and with a card that calls it `name`.

    No place on this machine is in them.
    """
    copy_files(folder, ready)
    for config in (ready / file for file in CONFIG_FILES):
        if config.exists():
            write_json(config, published(read_json_object(config)))
    seal(ready, published(read_manifest(folder)))
    write_card(ready, name, scores)


def _to_folder(ready: Path, to: Address, force: bool) -> str:
    """The last part of the path names the adapter, its parent is the place."""
    folder = Path(to.place) / to.path
    place = folder.parent
    with locked(place / INDEX), io_errors(folder), TemporaryDirectory(suffix=".part", prefix=".", dir=place) as scratch:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise InputError(f"{folder}: is no folder, or a link to one; push to another place")
        if folder.exists() and not (folder / "adapter_config.json").exists() and any(folder.iterdir()):
            raise InputError(f"{folder}: holds something that is no adapter; push to {folder}/NAME")
        known, own = local_entries(place), entry_of(ready, folder.name)
        if not force:
            _same(known, own, str(folder))
        new = Path(scratch) / "adapter"
        copy_files(ready, new)
        swap_folder(new, folder)
        write_index(place / INDEX, with_entry(known, own))
    return str(folder)


def _to_hub(ready: Path, to: Address, private: bool, force: bool) -> str:
    """One commit: the adapter's files and the index."""
    from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    on_hub(to, lambda: api.create_repo(to.place, private=private, exist_ok=True))
    if to.revision:
        on_hub(to, lambda: api.create_branch(to.place, branch=to.revision or "", exist_ok=True))
    prefix = f"{to.path}/" if to.path else ""
    own = entry_of(ready, to.path or ".")
    what = own.language or own.task or to.path or "adapter"
    for _ in range(ATTEMPTS):
        head = str(on_hub(to, lambda: api.model_info(to.place, revision=to.revision)).sha)
        here = hub_file(to.model_copy(update={"revision": head}), INDEX)
        known: list[Entry] = read_index(read_small(here), f"{to.place}/{INDEX}") if here else []
        if not force:
            _same(known, own, str(to))
        index = ready.parent / INDEX
        write_index(index, with_entry(known, own))
        operations = [CommitOperationAdd(prefix + f.name, str(f)) for f in sorted(ready.iterdir())]
        operations.append(CommitOperationAdd(INDEX, str(index)))

        def commit(operations: list[CommitOperationAdd] = operations, head: str = head) -> CommitInfo | None:
            try:
                return api.create_commit(
                    to.place, operations, commit_message=f"{own.kind}: {what}, with madx", revision=to.revision,
                    parent_commit=head,
                )  # fmt: skip
            except HfHubHTTPError as error:
                if error.response is None or error.response.status_code not in (409, 412):
                    raise
                return None  # another push came first

        if done := on_hub(to, commit):
            return str(done.repo_url)
    raise RunError(f"{to}: others kept pushing to the same place, {ATTEMPTS} times; run it again")


def _same(known: Sequence[Entry], new: Entry, where: str) -> None:
    """Raises InputError where the adapter of another language or task has that name."""
    for old in known:
        if old.path == new.path and (old.kind, old.language, old.task) != (new.kind, new.language, new.task):
            what = " ".join(part for part in (old.kind, old.language or old.task) if part)
            raise InputError(f"{where}: the {what} is there; choose another name, or --force to overwrite it")


def scores_of(folder: Path, run: Path) -> list[Score]:
    """The rows of a run's scores.csv, primary metric only, that were computed with this adapter.

    For a language adapter: those in which its language is the target.
    """
    path = run / "scores.csv"
    if not path.exists():
        raise InputError(f"--scores {run}: no scores.csv; is this a run's folder?")
    language = read_manifest(folder).get("language")
    return [
        row.model_dump()
        for row in read_rows(path, ScoreRow)
        if folder.resolve().name in row.adapter_ids.split("+") and row.primary and language in (None, row.target)
    ]
