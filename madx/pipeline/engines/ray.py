"""Ray: workers on this machine, or on a cluster's. Steps travel as names; a lost worker's step is made elsewhere."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from madx.config import InputError, RunError, first_line
from madx.pipeline.engines.engine import Event, Needs
from madx.pipeline.engines.running import relay
from madx.pipeline.engines.worker import make_named, published
from madx.step import Step

if TYPE_CHECKING:
    from madx.pipeline.plan import Plan
    from madx.stages.session import Session

WAIT = 0.5  # seconds
OBJECTS = 80 << 20  # bytes of Ray's own store; all that is in it are words
TOKEN = Path.home() / ".ray" / "auth_token"
MOST = 1000  # steps that Ray is given at once; it slows down where very many wait


class Ray:
    """`ray.remote` tasks, each with what its step needs."""

    def __init__(self, path: Path, session: Session) -> None:
        import ray

        self._plan, self._look = ray.put(path.read_bytes()), relay(session)  # not every worker need see the file
        self._make = ray.remote(max_retries=0)(make_named)  # run_plan counts the tries, and says what was lost
        self._running: dict[ray.ObjectRef[str], str] = {}
        self._cores = int(
            max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
        )  # of the largest
        self._queue: deque[tuple[Step, Needs]] = deque()

    def submit(self, step: Step, needs: Needs) -> None:
        self._queue.append((step, needs))

    def results(self) -> Iterator[Event]:
        import ray

        while self._queue and len(self._running) < MOST:
            step, needs = self._queue.popleft()
            cores = min(needs.cores, self._cores)
            memory = (needs.memory_mb or 0) << 20 or None
            task = self._make.options(num_cpus=cores, num_gpus=needs.gpus, memory=memory, name=step.name)
            self._running[task.remote(self._plan, step.name, cores)] = step.name
        ended, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        if not ended:
            ended, _ = ray.wait(list(self._running), timeout=WAIT)
        self._look()
        for ref in ended:
            name = self._running.pop(ref)
            try:
                yield Event(name, ray.get(ref))
            except ray.exceptions.RayTaskError as error:
                yield Event(name, "failed", error=error.cause)
            except ray.exceptions.RayError as error:
                yield Event(name, "lost", first_line(error))


@contextmanager
def ray_engine(plan: Plan, session: Session, address: str | None, cores: int) -> Iterator[Ray]:
    """Within, a cluster of this machine's cores (and GPUs), or the one at `address`. Raises InputError."""
    if address is not None and TOKEN.exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # as `ray start` does where there is one; before the import
    try:
        import ray
    except ImportError:
        raise InputError("--engine ray: Ray is not installed; pip install 'madx-adapters[ray]'") from None
    here = address is None
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address or "local", num_cpus=cores if here else None, object_store_memory=OBJECTS if here else None,
            include_dashboard=False, log_to_driver=False, logging_level="error",
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        if here:
            raise RunError(f"Ray didn't start: {first_line(error)}") from None
        raise InputError(
            f"--address {address}: Ray doesn't let this driver in ({first_line(error)}); is a cluster there "
            "(`ray start --head`), and has this machine its authentication token?"
        ) from None
    try:
        with published(plan, session) as path:
            yield Ray(path, session)
    finally:
        ray.shutdown()
