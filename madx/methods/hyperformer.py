"""HyperFormer++ (Mahabadi et al. 2021): a task's adapter, while a network of all tasks makes it and afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from madx.adapters.generator import Generated
from madx.adapters.hyperformer import TaskNetwork
from madx.encoders.encoder import Encoder
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.method import Method


class HyperFormer(BottleneckAdapter):
    """An ordinary adapter once it is made. How much is trained is the network's affair (stages/several_tasks.py)."""

    what: ClassVar[str] = "adapter out of a network"

    def sized(self, size: int) -> Method | None:
        return None


@dataclass(frozen=True)
class Making:
    """In a method's place while the network is trained: what it gives for the task now, before every pass."""

    network: TaskNetwork
    generated: Generated
    task: int
    method: HyperFormer

    def retarget(self, encoder: Encoder, name: str, language: str | None) -> None:
        self.generated.put(self.network(self.task))
        self.method.retarget(encoder, name, language)
