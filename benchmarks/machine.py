"""The machine: what it is, and how fast it multiplies matrices."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch


def gemm_rate(seconds: float = 1.0) -> float:
    """FLOP/s of fp32 matrix multiplication at XLM-R-base's own size, on the threads that torch has now."""
    a, b = torch.randn(512, 768), torch.randn(768, 3072)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        a @ b
        count += 1
    return count * 2 * 512 * 768 * 3072 / (time.perf_counter() - began)


def host() -> dict[str, Any]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].split(":")[1].strip() if names else platform.processor()
    return {"processor": processor, "cores": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine()}
