"""What there is: languages, tasks, models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from madx.cli.options import CatalogOption, Debug, Json
from madx.pipeline.project import catalogue_of


def languages(catalog: CatalogOption = None, as_json: Json = False, debug: Debug = False) -> None:
    """What the catalogue knows of languages."""
    every = catalogue_of(catalog).languages
    if as_json:
        print(
            json.dumps([language.model_dump(mode="json") for language in every.values()], ensure_ascii=False, indent=1)
        )
        return
    for code, language in every.items():
        print(
            "\t".join([code, language.name, language.script, " > ".join(language.family), ",".join(language.seen_by)])
        )


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
