"""What there is: languages, tasks, models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from madx.cli.options import CatalogOption, Debug, Json
from madx.config import InputError, nearest
from madx.encoders.reference import seen_as
from madx.pipeline.project import catalogue_of

if TYPE_CHECKING:
    from madx.catalog.language import Language


def languages(
    search: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD ...]", help="Only those with it in a code, a name or a family.")
    ] = None,
    script: Annotated[str | None, typer.Option(help="Only those in this script, e.g. Latn.")] = None,
    family: Annotated[str | None, typer.Option(help="Only those of this family or branch, e.g. Germanic.")] = None,
    unseen_by: Annotated[
        str | None, typer.Option("--unseen-by", help="Only those that an encoder (mini, xlm-r, ...) hasn't read.")
    ] = None,
    has_text: Annotated[bool, typer.Option("--has-text", help="Only those with text.")] = False,
    has_test: Annotated[str | None, typer.Option("--has-test", help="Only those with a test set of this task.")] = None,
    catalog: CatalogOption = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What the catalogue knows of languages."""
    catalogue = catalogue_of(catalog)
    everything = catalogue.languages.values()
    readers = sorted({encoder for language in everything for encoder in language.seen_by})
    _known("--script", script, sorted({language.script for language in everything}))
    _known("--family", family, sorted({branch for language in everything for branch in language.family}))
    reader = None if unseen_by is None else seen_as(unseen_by) or unseen_by
    _known("--unseen-by", reader, readers)
    wanted = " ".join(search or ())
    found = [language for language in everything if _has(language, wanted.lower())]
    if not found:
        raise InputError(f"languages {wanted}: no code, name or family has this; `madx languages` lists all of them")
    tested = catalogue.task(has_test).test_languages() if has_test else []
    every = [
        language
        for language in found
        if script in (None, language.script)
        and (family is None or family in language.family)
        and (reader is None or reader not in language.seen_by)
        and (language.text or not has_text)
        and (has_test is None or language.code in tested)
    ]
    if as_json:
        print(json.dumps([language.model_dump(mode="json") for language in every], ensure_ascii=False, indent=1))
        return
    for language in every:
        family_, seen_by = " > ".join(language.family), ",".join(language.seen_by)
        print("\t".join([language.code, language.name, language.script, family_, seen_by]))


def _has(language: Language, word: str) -> bool:
    names = (language.code, language.name, *language.aliases, *language.family)
    return any(word in name.lower() for name in names)


def _known(option: str, asked: str | None, known: list[str]) -> None:
    """Raises InputError: nothing found and a slip of the finger look the same."""
    if asked is not None and asked not in known:
        raise InputError(f"{option} {asked}: none of the catalogue's{nearest(asked, known)}")


def tasks(catalog: CatalogOption = None, as_json: Json = False, debug: Debug = False) -> None:
    """What the catalogue knows of tasks."""
    catalogue = catalogue_of(catalog)
    every = [catalogue.task(name) for name in sorted(catalogue.task_files)]
    if as_json:
        print(json.dumps([task.model_dump(mode="json") for task in every], ensure_ascii=False, indent=1))
        return
    for task in every:
        print(
            f"{task.name}\t{task.kind}\t{task.metric}\t{len(task.test_languages())} test languages\t{task.description}"
        )


def models(context: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """Encoders that are known to work; any of these architectures does, from the Hub or a directory."""
    from madx.encoders.reference import KNOWN

    if context.invoked_subcommand:
        return
    if as_json:
        print(json.dumps(KNOWN, indent=1))
        return
    for name, about in KNOWN.items():
        print(f"{name}\t{about}")


def models_export(
    model: Annotated[str, typer.Argument(help="An encoder, `mini` for example.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    debug: Debug = False,
) -> None:
    """Write an encoder as a stock transformers folder, in fp32."""
    from madx.encoders.export import export_encoder
    from madx.encoders.reference import resolve_encoder

    export_encoder(resolve_encoder(model), folder)
    print(folder)
