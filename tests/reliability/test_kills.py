"""Each stage of a real run on a tiny encoder, killed at moments drawn by chance and made again: the same bytes.

`MADX_KILLS` says how often in each stage (`make hostile`: 200). Each kill is a SIGKILL to a process that writes a
checkpoint after every update.
"""

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from real_stages import STAGES, artefacts, forks, make

KILLS = int(os.environ.get("MADX_KILLS", "3"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_at_any_moment_ends_in_the_same_bytes(project: Path, stage: str) -> None:
    def seconds(results: Path, last: str, at_most: float | None = None) -> float:
        """Until it is made up to this stage, or killed."""
        began = time.monotonic()
        process = forks().Process(target=make, args=(last, results))
        process.start()
        process.join(at_most)
        if process.is_alive():
            process.kill()
            process.join()
        elif at_most is None:
            assert process.exitcode == 0
        return time.monotonic() - began

    below = STAGES.index(stage)
    seconds(project / "first", STAGES[max(0, below - 1)])
    before = project / ("first" if below else "nothing")
    before.mkdir(exist_ok=True)
    shutil.copytree(before, project / "whole")
    whole = seconds(project / "whole", stage)
    wanted = artefacts(project / "whole")
    chance = random.Random(stage)
    killed = 0
    for _ in range(KILLS):
        cut = project / "cut"
        shutil.copytree(before, cut)
        for _ in range(chance.choice((1, 1, 2, 3))):  # a run that goes on can be killed too
            seconds(cut, stage, chance.uniform(0.1, 1) * whole)
            killed += not _finished(cut, stage)
        seconds(cut, stage)
        assert artefacts(cut) == wanted
        shutil.rmtree(cut)
    print(f"{stage}: {KILLS} runs, {killed} kills before their end, {whole:.2f} s each undisturbed")
    assert killed >= KILLS // 2


def _finished(results: Path, stage: str) -> bool:
    return bool(list((results / ".store").glob(f"{stage}-*/done.json")))
