"""The manual's notebooks run from their first cell to their last, in an empty folder and without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    """As a notebook does: the cells in turn in one namespace, each one's last expression shown."""
    script = tmp_path / "cells.py"
    script.write_text(
        "import ast, json, sys\n"
        "space = {'__name__': '__main__'}\n"
        "for text in json.loads(sys.stdin.read()):\n"
        "    tree = ast.parse(text)\n"
        "    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None\n"
        "    exec(compile(tree, 'cell', 'exec'), space)\n"
        "    if last is not None:\n"
        "        print(repr(eval(compile(ast.Expression(last.value), 'cell', 'eval'), space)), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], input=json.dumps(cells(path)), cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = {
        "own_language": ("madx", "task-only", "probabilit", "report.html"),
        "trainer": ("NOUN", "\nTrue\n", "adapter_config.json", "['mine']"),
    }[path.stem]
    for word in said:
        assert word in done.stdout, done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
