"""Writes python.md, the reference of `import madx`, from its docstrings: python docs/python_reference.py."""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import madx

SETTING = re.compile(r"    (?P<name>[a-z_]+): (?P<rest>.+?)(?:  # (?P<about>.*))?$")
PAGE = Path(__file__).with_name("python.md")
HEAD = """# In Python

`import madx` is light; a name is imported when it is first asked for. What the command line does goes through these.
Every file name may be a text or a `Path`. Errors are `madx.InputError` (what you gave can't be right; before any
work) and `madx.RunError` (something went wrong while running), each one line; a setting of `BottleneckSpec` or
`InvertibleSpec` that can't be is pydantic's `ValidationError`, an unknown adapter's name a `KeyError`.

Written by `python docs/python_reference.py`.
"""


def entry(name: str) -> str:
    thing = getattr(madx, name)
    text = inspect.getdoc(thing) or ""
    if not inspect.isclass(thing):
        return f"## madx.{name}\n\n```python\n{name}{signature(thing)}\n```\n\n{text}\n"
    methods = [
        f"`{key}{signature(value)}`: {inspect.getdoc(value).splitlines()[0]}"  # type: ignore[union-attr]
        for key, value in vars(thing).items()
        if inspect.isfunction(value) and not key.startswith("_") and inspect.getdoc(value)
    ]
    fields = [
        f"`{key}`: {inspect.getdoc(value).splitlines()[0]}"  # type: ignore[union-attr]
        for key, value in vars(thing).items()
        if isinstance(value, property) and inspect.getdoc(value)
    ]
    if issubclass(thing, BaseModel):
        fields = settings(thing)
    listed = "".join(f"\n- {line}" for line in [*fields, *methods])
    return f"## madx.{name}\n\n{text}\n{listed}\n" if listed else f"## madx.{name}\n\n{text}\n"


def settings(thing: type[BaseModel]) -> list[str]:
    """Its fields as its source has them, and what stands behind them."""
    found = []
    for line in inspect.getsource(thing).splitlines():
        if (is_field := SETTING.match(line)) and is_field["name"] in thing.model_fields:
            about = f": {is_field['about']}" if is_field["about"] else ""
            found.append(f"`{is_field['name']}: {is_field['rest']}`{about}")
    return found


def signature(function: object) -> str:
    """As it would be typed. Defaults that are functions have addresses, which are no part of it."""
    said = inspect.signature(function)  # type: ignore[arg-type]
    typed = [p.replace(annotation=as_written(p.annotation)) for p in said.parameters.values()]
    text = str(said.replace(parameters=typed, return_annotation=as_written(said.return_annotation)))
    return re.sub(r"<function [^>]*<lambda> at 0x[0-9a-f]+>", "...", text)


def as_written(annotation: Any) -> Any:
    """An annotation that is kept as text, without its quotes."""
    return Written(annotation.replace("'", "")) if isinstance(annotation, str) else annotation


class Written(str):
    def __repr__(self) -> str:
        return str(self)


def page() -> str:
    return "\n".join([HEAD, *map(entry, sorted(madx.PUBLIC, key=str.lower))])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"{PAGE}\n")
