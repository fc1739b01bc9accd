"""The store of finished steps: list, size, verify, prune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from madx.cli.options import RESULTS, Debug, Json, Results
from madx.config import RunError


def _steps(results: Path) -> list[Path]:
    """Folders of steps, finished or not."""
    return sorted(p for p in (results / ".store").glob("*-*") if p.is_dir() and not p.name.startswith("."))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def store_list(results: Results = RESULTS, as_json: Json = False, debug: Debug = False) -> None:
    """Every step, whether it is finished, and its size."""
    from madx.store import Store

    store = Store(results / ".store")
    rows = [
        {"step": p.name, "status": "done" if store.is_done(p.name) else "unfinished", "bytes": _bytes(p)}
        for p in _steps(results)
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['status']:<10}\t{row['bytes']}\t{row['step']}")


def store_size(results: Results = RESULTS, as_json: Json = False, debug: Debug = False) -> None:
    """Bytes by kind of step."""
    sizes: dict[str, int] = {}
    for path in _steps(results):
        stage = path.name.partition("-")[0]
        sizes[stage] = sizes.get(stage, 0) + _bytes(path)
    if as_json:
        print(json.dumps(sizes, indent=1))
        return
    for stage, size in {**sizes, "in all": sum(sizes.values())}.items():
        print(f"{stage}\t{size / 1e6:.1f} MB")


def store_verify(results: Results = RESULTS, as_json: Json = False, debug: Debug = False) -> None:
    """Read every finished step and compare it with its digests. Status 1: some are damaged."""
    from madx.store import Store

    store = Store(results / ".store")
    problems = {p.name: store.problem(p.name) for p in _steps(results) if not store.is_whole(p.name)}
    damaged = {name: problem for name, problem in problems.items() if problem}
    checked = len(_steps(results)) - len(problems)
    if as_json:
        print(json.dumps({"whole": checked, "damaged": damaged}, indent=1))
    else:
        for problem in damaged.values():
            print(problem)
        print(f"{checked} whole, {len(damaged)} damaged, {len(problems) - len(damaged)} unfinished")
    if damaged:
        raise RunError(f"{len(damaged)} of the steps are damaged; run their recipe again: they are made again")


def store_prune(
    results: Results = RESULTS,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Steps that no run of these results stands on: unfinished ones, and those of recipes that were changed."""
    from madx.report.run_file import read_run
    from madx.store import Store

    used = {
        name for path in sorted(results.glob("*/run.json")) for name in read_run(path.parent).steps
    }  # a run that can't be read stops this: what it stands on isn't known
    unused = [path for path in _steps(results) if path.name not in used]
    size = sum(map(_bytes, unused))
    store = Store(results / ".store")
    removed = [path.name for path in unused if yes and store.remove(path.name)]
    if as_json:
        print(json.dumps({"unused": [p.name for p in unused], "bytes": size, "removed": removed}, indent=1))
        return
    for path in unused:
        print(path.name)
    what = f"{len(removed)} removed" if yes else "none removed; --yes removes them"
    print(f"{len(unused)} steps that no run stands on, {size / 1e6:.1f} MB; {what}")
