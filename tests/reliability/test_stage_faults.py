"""The file system fails, or the power is cut, at calls drawn by chance in each stage of a real run on a tiny encoder,
and in what comes after the stages: one line that names the file, and the same command again ends in the same bytes.

`MADX_STAGE_FAULTS` says how often in each (`make hostile`: 200).
"""

import io
import os
import random
import re
import shutil
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pytest
from faulty_disk import ERRORS, Disk, Gone
from real_stages import SETTINGS, STAGES, artefacts, forks, make

from madx import cli

FAULTS = int(os.environ.get("MADX_STAGE_FAULTS", "3"))
WHOLE = "all and the report"
KINDS = [
    *((kind, persistent) for kind in ERRORS for persistent in (False, True)),
    ("cut", False),
    ("cut by chance", False),
]


class Ended(NamedTuple):
    status: int | None  # None: by the cut
    said: str
    disk: Disk


def command(stage: str, results: Path, disk: Disk, told: Connection) -> None:
    """In a process of its own."""
    said, status = io.StringIO(), None
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said), redirect_stdout(io.StringIO()):
        if stage == WHOLE:
            settings = [word for setting in SETTINGS for word in ("--set", setting)]
            patch.setattr("sys.argv", ["madx", "run", "recipe.toml", "--quiet", "--results", str(results), *settings])
        else:
            patch.setattr(cli, "app", partial(make, stage, results))
        disk.install(patch)
        try:
            cli.main()
            status = 0
        except SystemExit as error:
            status = int(error.code or 0)
        except Gone:
            pass
    told.send((status, said.getvalue(), disk.count, disk.calls, disk.struck))


def on(stage: str, results: Path, disk: Disk) -> Ended:
    shutil.rmtree(f"{disk.root}.limbo", ignore_errors=True)
    ours, theirs = forks().Pipe()
    process = forks().Process(target=command, args=(stage, results, disk, theirs))
    process.start()
    theirs.close()
    status, said, disk.count, disk.calls, disk.struck = ours.recv()
    process.join()
    return Ended(status, said, disk)


def left(results: Path) -> dict[str, bytes]:
    """What is there for good; but for how long the last command took, and hidden halves that couldn't be removed."""
    report = {
        str(path.relative_to(results)): re.sub(rb'"seconds_this_time": .*', b"", path.read_bytes())
        for path in sorted(results.glob("tiny/**/*"))
        if path.is_file() and path.suffix != ".part"
    }
    return artefacts(results) | report


@pytest.mark.parametrize("stage", [*STAGES, WHOLE])
def test_a_fault_in_a_stage_is_one_line_and_the_same_bytes_after(project: Path, stage: str) -> None:
    below = ["", *STAGES, WHOLE][[*STAGES, WHOLE].index(stage)] if stage != WHOLE else WHOLE
    before = project / "before"
    before.mkdir()
    if below:
        assert on(below, before, Disk(project, "broken", 0)).status == 0
        shutil.rmtree(before / "tiny", ignore_errors=True)  # what comes after the stages
    shutil.copytree(before, project / "cut")
    undisturbed = on(stage, project / "cut", Disk(project, "broken", 0))
    assert undisturbed.status == 0, undisturbed.said
    wanted = left(project / "cut")
    chance = random.Random(stage)
    met, ends = Counter[str](), Counter[str]()
    for _ in range(FAULTS):
        kind, persistent = chance.choice(KINDS)
        meets = ERRORS[kind][1] if kind in ERRORS else None
        calls = sum(count for what, count in undisturbed.disk.calls.items() if meets is None or what in meets)
        shutil.rmtree(project / "cut")
        shutil.copytree(before, project / "cut")
        ended = on(stage, project / "cut", Disk(project, kind, chance.randint(1, calls), persistent))
        where = f"{kind}{persistent * ', from there on'} at {ended.disk.at}: {ended.disk.struck[:1]}: {ended.said}"
        met[kind] += bool(ended.disk.struck)
        ends["cut" if ended.status is None else f"status {ended.status}"] += 1
        if ended.status == 0:
            assert left(project / "cut") == wanted, where
        elif ended.status is not None:
            assert len(ended.said.splitlines()) == 1, where
            assert ended.said.startswith("error: "), where
            assert ended.disk.named_in(ended.said), where
            mine = [path for path in ended.disk.struck if not path.startswith(str(project / "cut"))]
            assert ended.status == 1 or mine, where  # 2: what a person gives can't be read
        again = on(stage, project / "cut", Disk(project, "broken", 0))
        assert again.status == 0, (where, again.said)
        assert left(project / "cut") == wanted, where
    print(f"{stage}: {dict(met)} of {undisturbed.disk.count} calls; {dict(ends)}")
    assert met.total() > FAULTS // 2
