"""Writes files.md, every key of a recipe, a task and a language, from their classes: python docs/file_reference.py."""

import inspect
import json
import re
import sys
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from madx.catalog.language import Language, TextSource
from madx.catalog.task import Columns, HubData, Splits, TaskSpec
from madx.config import Frozen
from madx.pipeline.recipe import Recipe
from madx.tasks.kinds import KINDS

PAGE = Path(__file__).with_name("files.md")
FIELD = re.compile(r"    (?P<name>[a-z_0-9]+): .+?(?:  # (?P<about>.*))?$")
FOUND = {(TaskSpec, "name"), (Language, "code")}  # the file's name is that
SHOWN = {(Language, "text")}  # though it has a section
NOT_SAID = {"image_digests", "part", "romanised"}  # madx's own
HEAD = """# Recipe, task and language files: every key

Three kinds of TOML file, each read strictly: an unknown key is an error that names the nearest known one. A recipe may
also be changed on the command line: `madx run recipe.toml --set task_adapter.epochs=3`.

Written by `python docs/file_reference.py` from the classes that read them.
"""


def table(settings: type[BaseModel]) -> str:
    about = comments(settings)
    rows = [
        f"| `{name}` | {default(settings, name)} | {meaning(about[name], field)} |"
        for name, field in settings.model_fields.items()
        if name not in NOT_SAID and (not tables(field) or (settings, name) in SHOWN)
    ]
    return "\n".join(["| key | default | what it is |", "|---|---|---|", *rows])


def comments(settings: type[BaseModel]) -> dict[str, str]:
    """What stands behind each field, or in the line above."""
    found: dict[str, str] = {}
    for parent in reversed([c for c in settings.__mro__ if issubclass(c, Frozen) and c is not Frozen]):
        above = ""
        for line in inspect.getsource(parent).splitlines():
            if (is_field := FIELD.match(line)) and is_field["name"] in settings.model_fields:
                found[is_field["name"]] = is_field["about"] or above
            above = line.strip().removeprefix("# ") if line.strip().startswith("# ") else ""
    return found


def tables(field: FieldInfo) -> set[type[BaseModel]]:
    """The classes of its values that have sections of their own."""
    return {part for part in parts(field.annotation) if inspect.isclass(part) and issubclass(part, BaseModel)}


def parts(annotation: Any) -> list[Any]:
    inner = typing.get_args(annotation)
    return [annotation, *(part for one in inner for part in parts(one))]


def default(settings: type[BaseModel], name: str) -> str:
    """As TOML has it."""
    field = settings.model_fields[name]
    if field.is_required():
        return "the file's name" if (settings, name) in FOUND else "needed"
    value = field.get_default()
    return "none" if value is None or value == {} else f"`{json.dumps(value)}`"


def meaning(about: str, field: FieldInfo) -> str:
    choices = [
        value
        for part in parts(field.annotation)
        if typing.get_origin(part) is typing.Literal
        for value in typing.get_args(part)
    ]
    one_of = ", ".join(f'`"{value}"`' if isinstance(value, str) else f"`{str(value).lower()}`" for value in choices)
    return "; ".join(filter(None, [about.replace("None:", "not said:"), len(choices) > 1 and f"one of {one_of}"]))


def sections() -> list[str]:
    """A recipe's tables, in its order."""
    made = []
    for name, field in Recipe.model_fields.items():
        if not tables(field):
            continue
        (settings,) = tables(field)
        several = typing.get_origin(field.annotation) is dict
        title = f"[{name}.NAME]" if several else f"[{name}]"
        made.append(f"### {title}\n\n{purpose(settings)}\n\n{table(settings)}\n")
    return made


def kinds() -> str:
    rows = []
    for name, kind in KINDS.items():
        what = inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
        rows.append(f"| `{name}` | {', '.join(f'`{metric}`' for metric in kind.METRICS)} | {what} |")
    return "\n".join(rows)


def purpose(settings: type[BaseModel]) -> str:
    assert settings.__doc__, settings
    return inspect.cleandoc(settings.__doc__)


def page() -> str:
    task = [("[columns]", Columns), ("[hub]", HubData), ("[data.CODE]", Splits)]
    return "\n".join([
        HEAD,
        f"## A recipe\n\n{purpose(Recipe)}\n\n{table(Recipe)}\n",
        *sections(),
        f"## A task\n\n{purpose(TaskSpec)}\n\n{table(TaskSpec)}\n",
        f"| kind | metrics | what it is |\n|---|---|---|\n{kinds()}\n",
        *(f"### {title}\n\n{purpose(keys)}\n\n{table(keys)}\n" for title, keys in task),
        f"## A language\n\n{purpose(Language)}\n\n{table(Language)}\n",
        f"### A table in `text`\n\n{purpose(TextSource)}\n\n{table(TextSource)}\n",
    ])  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"{PAGE}\n")
