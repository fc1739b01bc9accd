"""Adapters as things to share: list, show, pull, push, import, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from madx.cli.options import RESULTS, Debug, Json, Results, Revision, Source
from madx.config import InputError


def adapters_list(
    place: Annotated[
        list[str] | None,
        typer.Option(
            "--from", help="A place that publishes adapters: OWNER/REPOSITORY, https://... or a folder. Repeatable."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only those made for this encoder.")] = None,
    results: Results = RESULTS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Which languages and tasks have an adapter: trained or imported here, and published."""
    from madx.cli.show import print_table
    from madx.encoders.reference import resolve_encoder
    from madx.foreign import printable
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import entries_of
    from madx.sharing.here import Use, made_here

    wanted = resolve_encoder(model) if model else None
    found = [(entry, str(folder), use) for entry, folder, use in made_here(results)]
    for text in place or []:
        address = parse_address(text)
        for entry in entries_of(address):
            inside = "" if entry.path == "." else f"/{entry.path}"
            revision = f"@{address.revision}" if address.revision else ""
            found.append((entry, f"{address.place}{inside}{revision}", Use()))
    rows = [
        (where, e.kind, e.language or e.task or e.path, use, e.held_out_loss, e.model or "")
        for e, where, use in found
        if wanted is None or e.model_digest == wanted.digest or (e.model_digest is None and e.model == wanted.name)
    ]
    if as_json:
        keys = ("address", "kind", "name", "methods", "seed", "dev", "held_out_loss", "model")
        said = [(where, kind, name, *use, loss, made_for) for where, kind, name, use, loss, made_for in rows]
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in said], indent=1))
        return
    if not rows:
        print(f"no adapters in {results}" + ("" if place else "; --from PLACE looks where some are published"))
        return
    header = ["address", "kind", "of", "methods", "seed", "dev, %", "held-out loss", "encoder"]
    cells = [
        [where, kind, name, ", ".join(use.methods), _or_nothing(use.seed), _or_nothing(use.dev, ".1f"),
         _or_nothing(loss, ".2f"), made_for]
        for where, kind, name, use, loss, made_for in rows
    ]  # fmt: skip
    print_table(f"{len(rows)} adapters", header, [list(map(printable, row)) for row in cells])


def _or_nothing(value: float | None, form: str = "") -> str:
    return "" if value is None else format(value, form)


def adapters_show(source: Source, revision: Revision = None, as_json: Json = False, debug: Debug = False) -> None:
    """What an adapter says of itself."""
    from madx.foreign import printable, read_json_object
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import fetch

    folder = fetch(parse_address(source, revision))
    files = ("madx.json", "head_config.json", "adapter_config.json")
    about = {name.removesuffix(".json"): read_json_object(folder / name) for name in files if (folder / name).exists()}
    if as_json:
        print(json.dumps(about, indent=2, ensure_ascii=False))
        return
    for name, said in about.items():
        print(f"{name}.json")
        for key, value in _flat(said):
            print(printable(f"  {key}: {value}"))


def _flat(said: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A line for each value; digests, long lists and numbers as people read them."""
    for key, value in said.items():
        if isinstance(value, dict) and value and key not in ("files", "label2id"):
            yield from _flat(value, f"{above}{key}.")
        elif isinstance(value, float):
            yield f"{above}{key}", f"{value:.4g}"
        else:
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
            yield f"{above}{key}", text if len(text) <= 160 else f"{text[:150]}... (--json: all)"


def adapters_pull(
    source: Source,
    to: Annotated[Path, typer.Option("--to", help="The folder to make.")],
    revision: Revision = None,
    debug: Debug = False,
) -> None:
    """Download a published adapter, check it against its digests, and put it into a folder."""
    from madx.formats.manifest import check
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import copy_files, fetch
    from madx.writing import new_folder

    with new_folder(to) as new:
        copy_files(fetch(parse_address(source, revision)), new)
        check(new)
    print(to)


def adapters_push(
    folder: Annotated[Path, typer.Argument(help="An adapter's folder.")],
    to: Annotated[str, typer.Argument(help="hub:OWNER/REPOSITORY/NAME@BRANCH, or a folder ./PLACE/NAME.")],
    run: Annotated[
        list[Path] | None, typer.Option("--scores", help="A run's folder whose scores go into the card. Repeatable.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A new Hub repository is private.")] = False,
    force: Annotated[bool, typer.Option("--force", help="In the place of another language's or task's.")] = False,
    debug: Debug = False,
) -> None:
    """Publish an adapter with its model card, and enter it into the place's index."""
    from madx.sharing.address import push_address
    from madx.sharing.push import push, scores_of

    scores = [row for path in run or [] for row in scores_of(folder, path)]
    if run and not scores:
        raise InputError(f"--scores {run[0]}: no score there was computed with {folder}")
    print(push(folder, push_address(to), private, scores, force))


def adapters_import(
    source: Source,
    to: Annotated[Path, typer.Option("--to", help="Where the adapter goes, in today's format.")],
    model: Annotated[str, typer.Option(help="The encoder that it was made for.")],
    revision: Revision = None,
    debug: Debug = False,
) -> None:
    """Read an adapter, a setup or a fusion in any layout since 2020, check it, write it in today's format.

    A setup or a fusion is a folder on this machine; a fusion's adapters lie beside it. So is a language's sparse change
    of composable-sft's (pytorch_diff.bin).
    """
    _convert(source, revision, to, model, pickle=False)


def adapters_export(
    folder: Annotated[str, typer.Argument(metavar="FOLDER")],
    to: Annotated[Path, typer.Option("--to", help="Where the folder for `adapters` 1.3 goes.")],
    model: Annotated[str, typer.Option(help="The encoder that it was made for.")],
    debug: Debug = False,
) -> None:
    """Write a folder that AdapterHub's `adapters` loads by its defaults: both weight files, head included.

    A sparse change (sparse.safetensors) is written as composable-sft reads it.
    """
    _convert(folder, None, to, model, pickle=True)


def _convert(source: str, revision: str | None, to: Path, model: str, pickle: bool) -> None:
    from madx.device import choose_device
    from madx.encoders.encoder import load_encoder
    from madx.encoders.reference import resolve_encoder
    from madx.formats.composable_sft import DIFF
    from madx.formats.convert import convert_adapter, convert_fusion, convert_setup
    from madx.formats.fusion import FUSION_CONFIG, SETUP
    from madx.methods.sparse import FILE, from_published, to_published
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import fetch
    from madx.writing import new_folder

    address = parse_address(source, revision)
    here = Path(address.place) / address.path
    on_its_own = (SETUP, FUSION_CONFIG, FILE if pickle else DIFF)  # none of which is published at an address
    ours = address.kind == "local" and any((here / name).exists() for name in on_its_own)
    folder = here if ours else fetch(address)
    encoder = load_encoder(resolve_encoder(model), choose_device("cpu"))
    with new_folder(to) as new:
        if (folder / SETUP).exists():
            convert_setup(folder, new, encoder)
        elif (folder / FUSION_CONFIG).exists():
            convert_fusion(folder, new, encoder, pickle)
        elif pickle and (folder / FILE).exists():
            to_published(folder, new, encoder)
        elif not pickle and (folder / DIFF).exists():
            from_published(folder, new, encoder)
        else:
            convert_adapter(folder, new, encoder, str(address), to.name, pickle)
    print(to)
