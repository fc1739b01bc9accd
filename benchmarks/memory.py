"""A process's own peak memory. Both environments use it."""


def peak_memory_mb(device: str = "cpu") -> float:
    """On a GPU: what torch has held at once. Else resident, from Linux's own count.

    (getrusage's maximum begins with what the parent had when it forked.)
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
