"""Federated averaging through Flower (the extra `flower`): each silo a node of its simulation, in a process of its own.

A node gets the shared weights and a round's number and sends what `federated.Silo` makes of them; its optimizer and its
text stay in its own folder. Rounds, averaging and checkpoints are the driver's, those of stages/federated.py, so that
a place where silos are trained changes no bit of what comes out.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from madx.config import InputError, RunError
from madx.stages.federated import FederatedStage, Report, Silo, Trained, Weights
from madx.stages.session import Session
from madx.store import Store

if TYPE_CHECKING:
    from flwr.app import Context, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid

# of a round, beside the weights
REPORTED = ("last_loss", "training_seconds", "tokens", "tokens_per_s", "peak_memory_mb", "warnings")
JOIN = 600.0  # seconds that nodes have to appear


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
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    if ray.is_initialized() or session.group.size > 1:
        raise RunError("federated.flower starts processes of its own: leave --engine ray and --processes out")
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # a silo's failure is an answer, and said below
    count, store = len(stage.silos), session.store.root.absolute()
    cores = max(1, torch.get_num_threads() // count)
    home = Home(Path.cwd(), store, session.data, session.trackers, session.device.type, cores, folder.absolute())

    def watch(number: int, reports: Sequence[Report]) -> None:
        loss = sum(report["last_loss"] for report in reports) / count
        label = f"language adapter {stage.subject}, {count} silos"
        speed = sum(report["tokens_per_s"] for report in reports)
        session.watch(label, stage.until(number + 1), stage.schedule.steps, {"loss": loss, "tokens_per_s": speed})

    said: list[Trained | BaseException] = []
    server = ServerApp()

    def main(grid: Grid, context: Context) -> None:
        try:
            said.append(rounds(FlowerSilos(grid, count, watch)))
        except BaseException as error:  # Flower would say it at length, and go on
            said.append(error)

    server.main()(main)
    gpus = 1.0 / count if session.device.type == "cuda" else 0.0
    run_simulation(
        server, nodes(stage, home), count,
        backend_config={
            "init_args": {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False},
            "client_resources": {"num_cpus": cores, "num_gpus": gpus},
        },
    )  # fmt: skip
    (trained,) = said
    if isinstance(trained, BaseException):
        raise trained
    return trained


def nodes(stage: FederatedStage, home: Home) -> ClientApp:
    """What runs at each silo: one round of its training, or its held-out loss."""
    from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
    from flwr.clientapp import ClientApp

    app = ClientApp()

    def train(message: Message, context: Context) -> Message:
        with _at(stage, home, context) as silo:
            weights, report = silo.train(_weights(message), int(message.content["config"]["round"]))
            said = {"silo": _number(context), "report": json.dumps({key: report[key] for key in REPORTED})}
            arrays = {name: value.cpu() for name, value in weights.items()}
            content = RecordDict({"arrays": ArrayRecord(torch_state_dict=arrays), "config": ConfigRecord(said)})
        return Message(content, reply_to=message)

    def held_out_loss(message: Message, context: Context) -> Message:
        with _at(stage, home, context) as silo:
            said = {"silo": _number(context), "loss": silo.held_out_loss(_weights(message))}
        return Message(RecordDict({"config": ConfigRecord(said)}), reply_to=message)

    app.train()(train)
    app.evaluate()(held_out_loss)
    return app


@dataclass(frozen=True)
class FlowerSilos:
    """The silos as a grid's nodes (a `federated.Silos`)."""

    grid: Grid
    count: int
    watch: Callable[[int, Sequence[Report]], None]

    def train(self, shared: Weights, number: int) -> list[tuple[Weights, Report]]:
        replies = self._ask("train", shared, number)
        reports = [json.loads(content["config"]["report"]) for content in replies]
        self.watch(number, reports)
        weights = [content["arrays"].to_torch_state_dict() for content in replies]
        return list(zip(weights, reports, strict=True))

    def held_out_losses(self, shared: Weights) -> list[float]:
        return [float(content["config"]["loss"]) for content in self._ask("evaluate", shared, 0)]

    def _ask(self, what: str, shared: Weights, number: int) -> list[RecordDict]:
        """Every silo's answer, in their order."""
        from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

        arrays = ArrayRecord(torch_state_dict={name: value.cpu() for name, value in shared.items()})
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({"round": number})})
        ids = self._node_ids()
        replies = list(self.grid.send_and_receive([Message(content, node, what) for node in ids]))
        for reply in replies:
            if reply.has_error():
                reason = reply.error.reason.strip().splitlines()[-1].rpartition("Message: ")[2].removesuffix("'>")
                raise RunError(f"a silo failed: {reason}")
        if len(replies) != self.count:
            raise RunError(f"{len(replies)} of {self.count} silos answered Flower")
        return sorted((reply.content for reply in replies), key=lambda content: content["config"]["silo"])

    def _node_ids(self) -> list[int]:
        """Of all silos; nodes may take a moment to appear."""
        deadline = time.monotonic() + JOIN
        while len(ids := list(self.grid.get_node_ids())) < self.count:
            if time.monotonic() > deadline:
                raise RunError(f"{len(ids)} of {self.count} silos came to Flower in {JOIN:.0f} s")
            time.sleep(0.1)
        return ids


@lru_cache(1)  # a process's encoder stays in memory from round to round
def _session(home: Home) -> Session:
    os.chdir(home.directory)
    torch.set_num_threads(home.cores)
    return Session(Store(home.store), torch.device(home.device), home.data, home.trackers)


@contextmanager
def _at(stage: FederatedStage, home: Home, context: Context) -> Iterator[Silo]:
    session = _session(home)
    with stage.at_work(session) as (encoder, parameters):
        yield stage.silo(_number(context), encoder, parameters, home.folder, session)


def _number(context: Context) -> int:
    """Of the silo, from 1."""
    return int(context.node_config["partition-id"]) + 1


def _weights(message: Message) -> Weights:
    weights: Weights = message.content["arrays"].to_torch_state_dict()
    return weights
