"""What hostile files can make madx ask for: the tests of mutated data, recipes and adapters, in a process whose memory
is measured. With MADX_MUTATIONS and MADX_FUZZ at 10000 (`make hostile`) it is their long form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 1000  # MB
TESTS = ("tests/tasks/test_mutated.py", "tests/pipeline/test_mutated_recipes.py", "tests/formats/test_fuzz.py")
MEASURED = """
import sys
import pytest

def peak():  # in MB, of this process alone: getrusage would count what its parent had
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))

class Base:
    def pytest_collection_finish(self, session):
        self.peak = peak()

base = Base()
status = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], [base])
print(int(status), base.peak, peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured as Linux does")
def test_mutated_files_take_no_more_memory_than_a_laptop_has(tmp_path: Path) -> None:
    numbers = {name: os.environ.get(name, "300") for name in ("MADX_MUTATIONS", "MADX_FUZZ")}
    command = [sys.executable, "-c", MEASURED, f"--basetemp={tmp_path / 'inner'}", *TESTS]
    root = Path(__file__).parents[2]
    variables = {**os.environ, **numbers}
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    said = done.stdout.splitlines()[-1]
    status, base, peak = map(int, said.split())
    print(f"{base} MB with the tests and torch imported, {peak} MB at the most")
    assert status == 0, done.stdout
    assert base <= peak < LIMIT
