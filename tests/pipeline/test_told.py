"""Progress for people: a line now and then where there is no terminal, and where a training goes on."""

import time

import pytest

from madx.pipeline import told
from madx.pipeline.run import Progress
from madx.pipeline.told import Teller


@pytest.fixture
def pipe() -> tuple[Teller, list[str]]:
    lines: list[str] = []
    return Teller(lines.append, {}), lines


def test_in_a_pipe_there_is_a_line_now_and_then(
    pipe: tuple[Teller, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    teller, lines = pipe
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    teller.tell(Progress("start", "language-swe-1", 2))
    numbers = {"loss": 2.5, "tokens_per_s": 1234}
    for now, done in ((10.0, 20), (31.0, 40), (40.0, 60), (62.0, 80)):
        clock[0] = now
        teller.watch("language adapter swe", done, 100, numbers)
    assert lines == [
        "language adapter swe: 40 of 100, about 0.8 min left  loss 2.500  1,234 tokens/s",
        "language adapter swe: 80 of 100, about 0.3 min left  loss 2.500  1,234 tokens/s",
    ]
    assert told.LINE_EVERY == 30.0


def test_what_goes_on_says_where(pipe: tuple[Teller, list[str]]) -> None:
    teller, lines = pipe
    teller.watch("task pos", 1200, 4000, {"resumed": True})
    assert lines == ["task pos: resuming at step 1,200 of 4,000"]


def test_a_finished_step_is_one_line_with_its_warnings(pipe: tuple[Teller, list[str]]) -> None:
    teller, lines = pipe
    teller.tell(Progress("reused", "text-swe-1", 3))
    teller.tell(Progress("done", "task-pos-3", 3, 2.0))  # before the second: by another process
    teller.tell(Progress("done", "language-swe-2", 3, 12.34, ("swe: [odd] text",)))
    assert lines == ["[2/3] task-pos-3  2.0 s", "[3/3] language-swe-2  12.3 s", "warning: swe: [odd] text"]
    assert teller.reused == 1


def test_what_is_left_in_all_is_told_and_corrected_by_what_was_seen(pipe: tuple[Teller, list[str]]) -> None:
    teller, lines = pipe
    teller.seconds, teller.labels = {"t": 0.1, "a": 600.0, "b": 600.0}, {"a": "adapter of swe, seed 1"}
    teller.tell(Progress("done", "t", 3, 4.0))  # forty times as long as was thought, and no matter
    assert teller._in_all() == ", 21 min in all"
    teller.tell(Progress("done", "a", 3, 1260.0))
    assert "[2/3] a (adapter of swe, seed 1)  1260.0 s" in lines
    assert teller._in_all() == ", 20 min in all"
