"""A real SLURM of one node on this machine, for tests: munged, slurmctld and slurmd, started and stopped.

Wants root and Debian's packages (apt-get install slurm-wlm munge). By hand: python tests/pipeline/slurm_here.py FOLDER
"""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "runuser")
CONFIGURATION = """
ClusterName=madx
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPort={ctld}
SlurmdPort={d}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why there can be no SLURM here; None: there can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "slurmd wants root"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@contextmanager
def slurm_here(folder: Path) -> Iterator[dict[str, str]]:
    """Within, sbatch and the others work with the environment that is given."""
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    ports = [_free_port() for _ in range(2)]
    values = {"host": socket.gethostname().split(".")[0], "folder": folder, "ctld": ports[0], "d": ports[1]}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
    with ExitStack() as stack:
        stack.enter_context(_running(_munged(folder / "munge"), folder, environment))
        _wait(lambda: (folder / "munge" / "socket").exists(), "munged", folder)
        stack.enter_context(_running(["slurmctld", "-D", "-c"], folder, environment))
        stack.enter_context(_running(["slurmd", "-D", "-c"], folder, environment))
        _wait(lambda: "idle" in _output(["sinfo", "-h", "-o", "%T"], environment), "slurmd", folder)
        try:
            yield environment
        finally:
            _output(["scancel", "--full", "--user", pwd.getpwuid(os.getuid()).pw_name], environment)
            _wait(lambda: not _output(["squeue", "-h"], environment).strip(), "scancel", folder)


def _munged(folder: Path) -> list[str]:
    """munged refuses to be root, and to have its files where others may write."""
    user = pwd.getpwnam("munge")
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o400)
    for path in (folder, folder / "key"):
        os.chown(path, user.pw_uid, user.pw_gid)
    folder.chmod(0o755)
    for above in folder.parents:  # a test's folder is its user's alone
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return ["runuser", "-u", "munge", "--", "munged", "--foreground", "--force",
            *(f"--{option}={folder / name}" for option, name in files.items())]  # fmt: skip


@contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    name = next(word for word in command if word in PROGRAMS and word != "runuser")
    with open(folder / f"{name}.log", "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def _output(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(condition: object, what: str, folder: Path) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        logs = "".join(path.read_text()[-1500:] for path in sorted(folder.glob("*.log")))
        assert time.monotonic() < deadline, f"{what} doesn't answer:\n{logs}"
        time.sleep(0.2)


if __name__ == "__main__":
    with slurm_here(Path(sys.argv[1])) as variables:
        print(f"export SLURM_CONF={variables['SLURM_CONF']}; Ctrl-C stops it", flush=True)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            pass
