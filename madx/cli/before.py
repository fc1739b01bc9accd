"""Before any training: init, check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from madx.cli.options import RESULTS, CatalogOption, Data, Debug, Device, Json, Recipe, Results, Set
from madx.cli.show import print_table
from madx.pipeline.project import project, read_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from madx.pipeline.check import Checked
    from madx.pipeline.init import Made


def check(
    recipe: Recipe = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What a recipe will read, what doesn't fit, what leaks and what it costs, in a page; trains nothing."""
    from madx.pipeline.check import check as look

    planner, session = project(read_recipe(recipe, set_), recipe, data, results, catalog, device)
    checked = look(planner.plan(), session)
    if as_json:
        from madx.pipeline.check import to_look_at

        plain = {
            "notes": list(checked.notes), "data": [row._asdict() for row in checked.data],
            "texts": [row._asdict() for row in checked.texts], "cost": checked.cost._asdict(),
            "to_look_at": to_look_at(checked),
        }  # fmt: skip
        print(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        _print(checked)


def _print(checked: Checked) -> None:
    from madx.pipeline.check import to_look_at
    from madx.pipeline.estimate import duration

    for row in checked.data:
        print(f"read: {row.statement}")

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}"

    header = ["data set", "longest", "too long, %", "in the text, %", "in training labels, %"]
    rows = [
        [f"{row.task} {row.language} {row.split}", str(row.longest), *map(percent, (row.too_long, row.seen_in_text,
         row.seen_in_training))]
        for row in checked.data
    ]  # fmt: skip
    print_table("labelled data", header, rows)
    header = ["text", "documents looked at", "unknown, %", "subwords a word", "against English"]
    rows = [
        [text.language, str(text.documents), percent(text.unknown_rate), f"{text.subwords_per_word:.2f}",
         "" if text.against_english is None else f"{text.against_english:.2f} times"]
        for text in checked.texts
    ]  # fmt: skip
    print_table("text and tokenizer", header, rows)
    cost = checked.cost
    print(
        f"{cost.steps - cost.reused} steps to do, {cost.reused} reused; about {duration(cost.seconds)} here, "
        f"{cost.bytes_kept / 1e6:.0f} MB kept and {cost.bytes_meanwhile / 1e6:.0f} MB more while it runs"
    )
    for note in (*checked.notes, *to_look_at(checked)):
        print(f"note: {note}")


def init(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Text in the language: files or folders.")],
    language: Annotated[str | None, typer.Option("--language", help="A code or a name; none: lingua tells.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What a language is called that isn't known yet.")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="A test set, as the task reads it.")] = None,
    task: Annotated[str, typer.Option(help="A task of the catalogue.")] = "pos",
    model: Annotated[str, typer.Option(help="Encoder.")] = "mini",
    to: Annotated[Path | None, typer.Option("--to", help="The folder to make; none: LANGUAGE-TASK.")] = None,
    debug: Debug = False,
) -> None:
    """From a text file to a project: its recipe, with settings that fit, and what is missing."""
    from madx.pipeline.init import init as begin

    made = begin(files, to, language, name, task, labels, model)
    if made.guessed:
        print(f"guessed {made.language.name} ({made.language.code}) by lingua, which knows 75 languages; "
              "if that is wrong: --language CODE")  # fmt: skip
    known = "" if made.in_catalogue else f", new: {made.folder}/languages/{made.language.code}.toml"
    print(f"{made.language.name} ({made.language.code}, {made.language.script}){known}")
    print(f"{made.lines:,} lines, about {made.words:,} words")
    for line in _about_tokens(made, model):
        print(line)
    print(f"{made.folder}/recipe.toml")
    for what in made.missing:
        print(f"better with: {what}")
    print(f"next: madx check {made.folder}/recipe.toml, then madx run {made.folder}/recipe.toml")


def _about_tokens(made: Made, model: str) -> Iterator[str]:
    if made.tokens is None:
        yield f"what the tokenizer of {model} makes of it, `madx check` says"
        return
    text, english = made.tokens
    pieces = f"{text.subwords_per_word:.2f} pieces a word (English {english.subwords_per_word:.2f})"
    can = f"the tokenizer of {model} can write {1 - text.unknown_rate:.1%} of its tokens"
    yield f"{can}, {pieces}" if made.language.has_spaces else can
    if text.unknown_rate > 0.01:
        yield (f"warning: {text.unknown_rate:.1%} of its tokens are unknown to {model}: the script or some letters are "
               "new to it; take another encoder, --model")  # fmt: skip
