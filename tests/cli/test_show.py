"""Progress for people: a line now and then where there is no terminal, and where a training goes on."""

import io
import time

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from madx.cli import show
from madx.cli.show import Teller
from madx.pipeline.run import Progress


@pytest.fixture
def pipe() -> tuple[Teller, io.StringIO]:
    out = io.StringIO()
    bars = Bars("{task.description}", console=Console(file=out, width=200), disable=True)
    return Teller(bars, bars.add_task("", numbers=""), {}, {}), out


def test_in_a_pipe_there_is_a_line_now_and_then(
    pipe: tuple[Teller, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    teller, out = pipe
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    teller.tell(Progress("start", 1, 2, "language-swe-1"))
    numbers = {"loss": 2.5, "tokens_per_s": 1234}
    for now, done in ((10.0, 20), (31.0, 40), (40.0, 60), (62.0, 80)):
        clock[0] = now
        teller.watch("language adapter swe", done, 100, numbers)
    lines = out.getvalue().splitlines()
    assert lines == [
        "language adapter swe: 40 of 100, about 0.8 min left  loss 2.500  1,234 tokens/s",
        "language adapter swe: 80 of 100, about 0.3 min left  loss 2.500  1,234 tokens/s",
    ]
    assert show.LINE_EVERY == 30.0


def test_what_goes_on_says_where(pipe: tuple[Teller, io.StringIO]) -> None:
    teller, out = pipe
    teller.watch("task pos", 1200, 4000, {"resumed": True})
    assert out.getvalue() == "task pos: resuming at step 1,200 of 4,000\n"


def test_a_finished_step_is_one_line_with_its_warnings(pipe: tuple[Teller, io.StringIO]) -> None:
    teller, out = pipe
    teller.tell(Progress("reused", 1, 3, "text-swe-1"))
    teller.tell(Progress("done", 2, 3, "language-swe-2", 12.34, ("swe: [odd] text",)))
    assert out.getvalue().splitlines() == ["[2/3] language-swe-2  12.3 s", "warning: swe: [odd] text"]
    assert teller.reused == 1


def test_what_is_left_in_all_is_told_and_corrected_by_what_was_seen(pipe: tuple[Teller, io.StringIO]) -> None:
    teller, out = pipe
    teller.seconds, teller.labels = {"t": 0.1, "a": 600.0, "b": 600.0}, {"a": "adapter of swe, seed 1"}
    teller.tell(Progress("done", 1, 3, "t", 4.0))  # forty times as long as was thought, and no matter
    assert teller._in_all() == ", 21 min in all"
    teller.tell(Progress("done", 2, 3, "a", 1260.0))
    assert "[2/3] a (adapter of swe, seed 1)  1260.0 s" in out.getvalue()
    assert teller._in_all() == ", 20 min in all"
