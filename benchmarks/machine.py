"""The machine: what it is, and how fast it multiplies matrices."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch


def gemm_rate(device: str = "cpu", seconds: float = 1.0) -> float:
    """FLOP/s of matrix multiplication: on a processor in fp32, at XLM-R-base's own size, on the threads that torch has
    now; on a GPU in bf16, square, large enough to fill it.
    """
    m, k, n = (512, 768, 3072) if device == "cpu" else (8192, 8192, 8192)
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    a, b = torch.randn(m, k, device=device, dtype=kind), torch.randn(k, n, device=device, dtype=kind)
    wait(device)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        a @ b
        wait(device)
        count += 1
    return count * 2 * m * k * n / (time.perf_counter() - began)


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def host(device: str = "cpu") -> dict[str, Any]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].split(":")[1].strip() if names else platform.processor()
    gpu = {"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}
    return {
        "processor": processor, "cores": os.cpu_count(), "load": os.getloadavg()[0], "machine": platform.machine(),
        **gpu,
    }  # fmt: skip
