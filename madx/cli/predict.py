"""Labels for new text: predict, serve."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from madx.cli.options import Debug, Device, Quiet
from madx.config import InputError, nearest

if TYPE_CHECKING:
    from madx.prediction.predictor import Labelled, Predictor
    from madx.prediction.records import Format, Record

UNKNOWN = 0.01  # share of a language's tokens above which a note says so
MOSTLY = 0.5  # share of words that are one letter of such a script
PART = 2000  # records that are computed at once

Origin = Annotated[
    str, typer.Argument(metavar="FROM", help="A run's folder (results/NAME), or a task adapter's folder or address.")
]
Task = Annotated[str | None, typer.Option(help="Which task of a run that has several.")]
Method = Annotated[str | None, typer.Option(help="Of the run; none: the best on the source's dev set.")]
Seed = Annotated[int | None, typer.Option(help="Of the run; none: the best on the source's dev set.")]
Adapter = Annotated[
    list[str] | None, typer.Option("--adapter", help="LANGUAGE=ADDRESS: a further language's adapter. Repeatable.")
]
Images = Annotated[
    list[Path] | None,
    typer.Option("--images", help="Of a retrieval task: a .safetensors file of images to search. Repeatable."),
]


def predict(
    origin: Origin,
    file: Annotated[Path | None, typer.Argument(help="What to label; none: standard input.")] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="The text's language, where its lines don't name their own.")
    ] = None,
    task: Task = None,
    method: Method = None,
    seed: Seed = None,
    adapter: Adapter = None,
    images: Images = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="Of the input, where a name doesn't say it: text, tsv, conllu, jsonl."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Format of the output; none: by --output's name, or the input's.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="A file to write; none: standard output.")] = None,
    pretokenized: Annotated[
        bool, typer.Option("--pretokenized", help="A line is a sentence, and blanks part its words.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Label text, tables, CoNLL-U or JSON lines with a trained task adapter and the languages' adapters."""
    from madx.catalog.find import Catalogue
    from madx.catalog.language import CODE
    from madx.prediction.models import adapter_options
    from madx.prediction.predictor import Predictor
    from madx.prediction.records import format_of
    from madx.prediction.writers import default_format

    if file is None and format_ is None:
        raise InputError("standard input has no name that says its format; say --format text, tsv, conllu or jsonl")
    if file is not None and not file.exists():
        raise InputError(f"{file}: no such file")
    if language is not None and re.fullmatch(CODE, language) is None:  # a code may be a new language's
        Catalogue().language(language, f"--language {language}")
    read_as = _format("--format", format_) if format_ else format_of(file or Path())
    write_as = _format("--to", to) if to else format_of(output, "--to") if output else None
    predictor = Predictor(
        origin,
        task,
        method=method,
        seed=seed,
        adapters=adapter_options(adapter or []),
        images=images or (),
        device=device,
    )
    if not quiet:
        print(f"with {predictor.chosen.note}", file=sys.stderr)
    records = _records(predictor, file, read_as, format_ is not None, pretokenized)
    predictor.check(records, language)
    write_as = write_as or default_format(read_as, predictor.chosen.task)
    lines = _lines(predictor, records, language, write_as, quiet)
    if output is None:
        for line in lines:
            sys.stdout.write(line)
        return
    from madx.writing import io_errors, new_file

    with io_errors(output), new_file(output) as new, open(new, "w", encoding="utf-8") as opened:
        opened.writelines(lines)


def _format(option: str, name: str) -> Format:
    from madx.prediction.records import FORMATS

    for known in FORMATS:
        if known == name:
            return known
    raise InputError(f"{option} {name}: no such format{nearest(name, list(FORMATS))}")


def _records(predictor: Predictor, file: Path | None, read_as: Format, said: bool, pretokenized: bool) -> list[Record]:
    from madx.corpora.lines import Held

    source = file or Held(sys.stdin.buffer.read(), "standard input")
    return predictor.reader(pretokenized).read(source, read_as, said)


def _lines(
    predictor: Predictor, records: list[Record], language: str | None, write_as: Format, quiet: bool
) -> Iterator[str]:
    from madx.prediction.writers import write

    labelled = [
        one
        for start in range(0, len(records), PART)
        for one in predictor.label(records[start : start + PART], language)
    ]
    for note in () if quiet else (*_unknown(labelled, language), *_in_letters(labelled)):
        print(f"note: {note}", file=sys.stderr)
    yield from write(labelled, predictor.chosen.task, write_as)


def _unknown(labelled: list[Labelled], language: str | None) -> Iterator[str]:
    """Of each language, where the encoder doesn't know its letters."""
    tokens, unknown = Counter[str](), Counter[str]()
    for one in labelled:
        name = one.record.language or language
        tokens[f"{name}: " if name else ""] += one.tokens
        unknown[f"{name}: " if name else ""] += one.unknown
    for name, count in unknown.items():
        if count > UNKNOWN * tokens[name]:
            yield (
                f"{name}{100 * count / tokens[name]:.0f} % of the tokens of this text are unknown to the encoder; "
                "labels of such text mean little; another encoder may know its letters (`madx models`)"
            )


def _in_letters(labelled: list[Labelled]) -> Iterator[str]:
    """Where the encoder's tokenizer divides text without blanks into letters rather than words."""
    from madx.corpora.clean import UNSPACED_LETTER

    sentences = (sentence for one in labelled for sentence in one.record.sentences if sentence.divided)
    words = (word for sentence in sentences for word in sentence.words)
    found = [word for word in words if UNSPACED_LETTER.match(word)]
    if sum(len(word) == 1 for word in found) > MOSTLY * len(found):
        yield (
            "text without blanks was divided as the encoder's tokenizer does, mostly into single letters; divide the "
            "words yourself, with blanks between them, and say --pretokenized"
        )


def serve(
    origin: Origin,
    task: Task = None,
    method: Method = None,
    seed: Seed = None,
    adapter: Adapter = None,
    images: Images = None,
    host: Annotated[
        str, typer.Option(help="0.0.0.0: reachable from other machines, without a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Answer requests over HTTP: POST /predict, GET /health (docs/predict.md)."""
    from importlib.util import find_spec

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise InputError("serving needs fastapi and uvicorn; pip install 'madx-adapters[serve]'")
    import uvicorn

    from madx.prediction.models import adapter_options
    from madx.prediction.predictor import Predictor
    from madx.prediction.serve import application

    predictor = Predictor(
        origin,
        task,
        method=method,
        seed=seed,
        adapters=adapter_options(adapter or []),
        images=images or (),
        device=device,
    )
    print(f"with {predictor.chosen.note}", file=sys.stderr)
    uvicorn.run(application(predictor), host=host, port=port, log_level="warning", timeout_keep_alive=5)
