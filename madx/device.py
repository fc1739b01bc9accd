"""Device, number type, threads and seeds: decided once, passed on."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from madx.config import InputError, first_line

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
STATUS = Path("/proc/self/status")
Precision = Literal["fp32", "bf16", "auto"]


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes a GPU where there is one. Raises InputError for a device that this machine lacks."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        elif torch.backends.mps.is_available():
            name = "mps"
        else:
            name = "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {first_line(error)}") from None
    return device


def name_of(device: torch.device) -> str:
    """A GPU's model, else the device's kind: where figures of time and memory were taken."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def choose_precision(name: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """The number type of matrix products. `auto`: bf16 on a GPU that has it, fp32 elsewhere.

    Raises InputError for bf16 on a device that would only emulate it, more slowly than it computes in fp32.
    """
    if name == "fp32":
        return "fp32"
    if name == "auto":
        return "bf16" if device.type == "cuda" and _has_bf16(device) else "fp32"
    if not _has_bf16(device):
        needs = {"cuda": "compute capability 8.0 (Ampere) or newer", "cpu": "avx512_bf16 or AMX"}.get(device.type)
        why = f"this one lacks {needs}" if needs else f"madx has it on CPUs and CUDA GPUs, not on {device.type}"
        raise InputError(f"precision 'bf16' on {device.type}: {why}; use fp32 or auto")
    return "bf16"


def _has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bf16. (`torch.cuda.is_bf16_supported` also says so of what is emulated.)"""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def has_matrix_unit(device: torch.device) -> bool:
    """Whether this is a processor with AMX, which multiplies matrices in bf16 many times as fast as in fp32."""
    import torch

    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def set_threads() -> None:
    """All the cores this process may use, unless OMP_NUM_THREADS says otherwise."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        # macOS knows no affinity: there it is all cores
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def one_ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the calls give, in order; in a thread, the next one is made while its predecessor's result is worked on."""
    with ThreadPoolExecutor(1) as worker:
        ahead = None
        for call in calls:
            now, ahead = ahead, worker.submit(call)
            if now is not None:
                yield now.result()
        if ahead is not None:
            yield ahead.result()


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any parts: equal parts, equal seed, on every machine.

    Random numbers are a function of (seed, purpose, step) everywhere, so resuming needs no generator's state.
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def peak_memory(device: torch.device) -> int:
    """Bytes: the device's peak where it has memory of its own, else the process's peak resident size.

    Since `reset_peak_memory`, where the system can forget a peak (CUDA, Linux); else since the process began.
    """
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory(device: torch.device) -> None:
    """Peaks are a step's own, not its predecessors'."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif STATUS.exists():
        with suppress(OSError):  # a container may forbid it
            Path("/proc/self/clear_refs").write_text("5")
