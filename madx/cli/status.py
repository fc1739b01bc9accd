"""What runs where: status."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from madx.cli.options import RESULTS, Debug, Json
from madx.config import InputError


def status(
    results: Annotated[Path, typer.Argument(help="Where runs and the store of finished steps are.")] = RESULTS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Which steps are being made, where, and how far they are; with every engine."""
    from madx.pipeline.engines.running import running_in
    from madx.shared import DONE
    from madx.store import Store

    root = results / ".store"
    if not root.is_dir():
        raise InputError(f"{results}: no .store there; give the folder that `madx run --results` had")
    store = Store(root)
    rows = [{**one._asdict(), "stopped": not store.is_claimed(one.name)} for one in running_in(store)]
    finished = sum(1 for _ in root.glob(f"*/{DONE}"))
    if as_json:
        print(json.dumps({"finished": finished, "unfinished": rows}, indent=1))
        return
    for row in rows:
        far = f"{row['done']:,} of {row['total']:,}" if row["total"] else ""
        numbers = row["numbers"]
        loss = f"loss {numbers['loss']:.3f}, {numbers['tokens_per_s']:,} tokens/s" if "loss" in numbers else ""
        hours = f"for {(time.time() - row['since']) / 60:.1f} min" if not row["stopped"] else "stopped"
        what = "\t".join(part for part in (f"{row['host']}:{row['pid']}", hours, row["name"], far, loss) if part)
        print(what)
    stopped = sum(row["stopped"] for row in rows)
    print(f"{finished} finished, {len(rows) - stopped} being made, {stopped} stopped (they go on when run again)")
