"""A process's own peak memory. No imports: both environments use it."""


def peak_memory_mb() -> float:
    """Resident, from Linux's own count. (getrusage's maximum begins with what the parent had when it forked.)"""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
