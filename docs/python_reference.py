"""Writes python.md, the reference of `import madx`, from its docstrings: python docs/python_reference.py."""

import inspect
import re
import sys
from pathlib import Path

import madx

PAGE = Path(__file__).with_name("python.md")
HEAD = """# In Python

`import madx` is light; a name is imported when it is first asked for. What the command line does goes through these.
Every file name may be a text or a `Path`. Errors are `madx.InputError` (what you gave can't be right; before any
work) and `madx.RunError` (something went wrong while running), each one line.

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
    listed = "".join(f"\n- {line}" for line in [*fields, *methods])
    return f"## madx.{name}\n\n{text}\n{listed}\n" if listed else f"## madx.{name}\n\n{text}\n"


def signature(function: object) -> str:
    """Defaults that are functions have addresses, which are no part of it."""
    said = str(inspect.signature(function)).replace("'", "")  # type: ignore[arg-type]
    return re.sub(r"<function [^>]*<lambda> at 0x[0-9a-f]+>", "...", said)


def page() -> str:
    return "\n".join([HEAD, *map(entry, sorted(madx.PUBLIC, key=str.lower))])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"{PAGE}\n")
