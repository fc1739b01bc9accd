"""What this machine is asked for: bf16 only where the hardware multiplies in it."""

import pytest
import torch

from madx.config import InputError
from madx.device import STATUS, choose_precision, peak_memory, reset_peak_memory, set_threads

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def machine(
    monkeypatch: pytest.MonkeyPatch, gpu: tuple[int, int] = (8, 0), avx: bool = False, amx: bool = False
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: gpu)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


def test_auto_is_bf16_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, wanted in (((7, 0), "fp32"), ((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        machine(monkeypatch, gpu=capability)
        assert choose_precision("auto", CUDA) == wanted
        assert choose_precision("fp32", CUDA) == "fp32"


def test_a_cpu_computes_in_bf16_when_asked_and_able(monkeypatch: pytest.MonkeyPatch) -> None:
    for able in ({"avx": True}, {"amx": True}):
        machine(monkeypatch, **able)
        assert choose_precision("bf16", CPU) == "bf16"
        assert choose_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize(
    ("device", "message"),
    [("cpu", "lacks avx512_bf16 or AMX"), ("cuda", r"lacks compute capability 8\.0"), ("mps", "not on mps")],
)
def test_emulated_bf16_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, device: str, message: str) -> None:
    machine(monkeypatch, gpu=(7, 5))
    with pytest.raises(InputError, match=message) as error:
        choose_precision("bf16", torch.device(device))
    assert "\n" not in str(error.value)
    assert choose_precision("auto", torch.device(device)) == "fp32"


def test_a_peak_is_a_steps_own() -> None:
    """Linux forgets a peak when it is asked to; elsewhere it is the process's."""
    if not STATUS.exists():
        pytest.skip("the process's peak can't be reset here")
    cpu = torch.device("cpu")
    big = b"x" * (300 << 20)
    high = peak_memory(cpu)
    del big
    reset_peak_memory(cpu)
    if peak_memory(cpu) >= high:
        pytest.skip("this container forbids it")
    assert peak_memory(cpu) < high - (200 << 20)


def test_without_affinity_all_cores_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS."""
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    seen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    set_threads()
    assert seen == [6]
