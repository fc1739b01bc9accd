"""Federated averaging through Flower (the extra `flower`): the silos as nodes of its simulation, in other processes.

A node gets the shared weights and a round's number and sends what `federated.Silo` makes of them; its optimizer and its
text stay in its own folder. Rounds, averaging and checkpoints are the driver's, those of stages/federated.py.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from filelock import FileLock

from madx.config import InputError, RunError, first_line
from madx.stages.federated import FederatedStage, Report, Silo, Trained, Weights
from madx.stages.session import Session
from madx.store import Store

if TYPE_CHECKING:
    from flwr.app import Context, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid

JOIN = 600.0  # seconds that nodes have to appear
LONGEST = 30 * 24 * 3600.0  # seconds of a round; Flower's own 12 hours are too few for large encoders
LOOK = 0.1  # seconds
ALONE = "federated.flower starts processes of its own: leave --engine ray and --processes out"


class Home(NamedTuple):
    """Where a node works: what its session is made of, and the folder of the step that is made."""

    directory: Path
    store: Path
    data: Path | None
    trackers: tuple[str, ...]
    device: str
    cores: int
    folder: Path


def check_flower() -> None:
    """Raises InputError where Flower or its simulation's Ray isn't installed."""
    if not (find_spec("flwr") and find_spec("ray")):
        raise InputError(
            "federated.flower: Flower's simulation is not installed; pip install 'madx-adapters[flower]', or leave the "
            "key out: the silos are trained in turn then, with the same result"
        )


def simulated(
    stage: FederatedStage, folder: Path, session: Session, rounds: Callable[[FlowerSilos], Trained]
) -> Trained:
    """What `rounds` comes to with the silos as nodes. Raises RunError for a silo that fails.

    And where a Ray runs in this process already, which Flower would end, or others train this step too.
    """
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a node sees every GPU, and takes the session's
    import ray
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    if ray.is_initialized() or session.group.size > 1:
        raise RunError(ALONE)
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # a silo's failure is an answer, and said below
    count, threads = len(stage.silos), torch.get_num_threads()
    cores, store = max(1, threads // count), session.store.root.absolute()
    home = Home(Path.cwd(), store, session.data, session.trackers, str(session.device), cores, folder.absolute())
    stopped, said = threading.Event(), list[Trained | BaseException]()

    def watch(number: int, reports: Sequence[Report], tokens_per_s: int) -> None:
        loss = sum(report["last_loss"] for report in reports) / count
        label = f"language adapter {stage.subject}, {count} silos"
        session.watch(
            label, stage.until(number + 1), stage.schedule.steps, {"loss": loss, "tokens_per_s": tokens_per_s}
        )

    def main(grid: Grid, context: Context) -> None:
        try:
            said.append(rounds(FlowerSilos(grid, count, watch, stopped)))
        except BaseException as error:  # Flower would say it at length, and go on
            said.append(error)

    server = ServerApp()
    server.main()(main)
    with _as_before():
        try:
            run_simulation(
                server, nodes(stage, home), count,
                backend_config={
                    "init_args": {
                        "address": "local", "num_cpus": cores * min(count, threads), "num_gpus": 0,
                        "logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False,
                    },
                    "client_resources": {"num_cpus": cores, "num_gpus": 0.0},
                },
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            if not said:
                raise RunError(f"Flower's simulation: {first_line(error.__cause__ or error)}") from error
        finally:
            stopped.set()  # `main` runs in a thread of Flower's that nothing else would end
    (trained,) = said
    if isinstance(trained, BaseException):
        raise trained
    return trained


@contextmanager
def _as_before() -> Iterator[None]:
    """Ray and Flower leave a handler of SIGTERM and a search path behind; after this they are what they were."""
    path = os.environ.get("PYTHONPATH")
    here = threading.current_thread() is threading.main_thread()  # where handlers can be set
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGTERM, handler)
        if path is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = path


def nodes(stage: FederatedStage, home: Home) -> ClientApp:
    """What runs at each silo: one round of its training, or its held-out loss."""
    from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
    from flwr.clientapp import ClientApp

    app = ClientApp()

    def train(message: Message, context: Context) -> Message:
        def work(silo: Silo) -> RecordDict:
            weights, report = silo.train(_weights(message), int(message.content["config"]["round"]))
            arrays = ArrayRecord(torch_state_dict={name: value.cpu() for name, value in weights.items()})
            return RecordDict({"arrays": arrays, "config": ConfigRecord({"report": json.dumps(report)})})

        return answer(message, context, work)

    def held_out_loss(message: Message, context: Context) -> Message:
        def work(silo: Silo) -> RecordDict:
            return RecordDict({"config": ConfigRecord({"loss": silo.held_out_loss(_weights(message))})})

        return answer(message, context, work)

    def answer(message: Message, context: Context, work: Callable[[Silo], RecordDict]) -> Message:
        """What `work` makes, or what it fails with, which Flower would say without its kind."""
        try:
            with _at(stage, home, context) as silo:
                content = work(silo)
        except Exception as error:
            known = isinstance(error, (InputError, RunError, OSError))
            failure = first_line(error) if known else f"{type(error).__name__}: {first_line(error)}"
            content = RecordDict({"config": ConfigRecord({"failure": failure})})
        content["config"]["silo"] = _number(context)
        return Message(content, reply_to=message)

    app.train()(train)
    app.evaluate()(held_out_loss)
    return app


@dataclass(frozen=True)
class FlowerSilos:
    """The silos as a grid's nodes (a `federated.Silos`)."""

    grid: Grid
    count: int
    watch: Callable[[int, Sequence[Report], int], None]
    stopped: threading.Event

    def train(self, shared: Weights, number: int) -> list[tuple[Weights, Report]]:
        began = time.perf_counter()
        replies = self._ask("train", shared, number)
        seconds = time.perf_counter() - began
        reports: list[Report] = [json.loads(content["config"]["report"]) for content in replies]
        tokens = sum(report["tokens"] for report in reports) / (number + 1)  # of a round; they count from the first
        self.watch(number, reports, round(tokens / seconds))
        weights = [content["arrays"].to_torch_state_dict() for content in replies]
        return list(zip(weights, reports, strict=True))

    def held_out_losses(self, shared: Weights) -> list[float]:
        return [float(content["config"]["loss"]) for content in self._ask("evaluate", shared, 0)]

    def _ask(self, what: str, shared: Weights, number: int) -> list[RecordDict]:
        """Every silo's answer, in their order."""
        from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

        arrays = ArrayRecord(torch_state_dict={name: value.cpu() for name, value in shared.items()})
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({"round": number})})
        messages = [Message(content, node, what, ttl=LONGEST) for node in self._node_ids()]
        waiting, replies = set(self.grid.push_messages(messages)), list[Message]()
        while waiting:
            for reply in self.grid.pull_messages(waiting):
                replies.append(reply)
                waiting.remove(reply.metadata.reply_to_message_id)
            self._wait()
        for reply in replies:
            if reply.has_error():  # it never came to `answer`: a process that was lost, for one
                raise RunError(f"a silo failed: {reply.error.reason.strip().splitlines()[0]}")
        contents = sorted((reply.content for reply in replies), key=lambda content: content["config"]["silo"])
        for content in contents:
            if "failure" in content["config"]:
                raise RunError(f"silo {content['config']['silo']}: {content['config']['failure']}")
        return contents

    def _node_ids(self) -> list[int]:
        """Of all silos; nodes may take a moment to appear."""
        deadline = time.monotonic() + JOIN
        while len(ids := list(self.grid.get_node_ids())) < self.count:
            if time.monotonic() > deadline:
                raise RunError(f"{len(ids)} of {self.count} silos came to Flower in {JOIN:.0f} s")
            self._wait()
        return ids

    def _wait(self) -> None:
        if self.stopped.wait(LOOK):
            raise RunError("stopped while silos were at work; run it again to go on from there")


@lru_cache(1)  # a process's encoder stays in memory from round to round
def _session(home: Home) -> Session:
    os.chdir(home.directory)
    torch.set_num_threads(home.cores)
    return Session(Store(home.store), torch.device(home.device), home.data, home.trackers)


@contextmanager
def _at(stage: FederatedStage, home: Home, context: Context) -> Iterator[Silo]:
    """The silo at work. Alone: one of a driver that was killed may still be ending its update."""
    session, number = _session(home), _number(context)
    lock = FileLock(home.store / f".{stage.name}-silo-{number}.lock")
    with lock, stage.at_work(session) as (encoder, parameters):
        yield stage.silo(number, encoder, parameters, home.folder, session)


def _number(context: Context) -> int:
    """Of the silo, from 1."""
    return int(context.node_config["partition-id"]) + 1


def _weights(message: Message) -> Weights:
    weights: Weights = message.content["arrays"].to_torch_state_dict()
    return weights
