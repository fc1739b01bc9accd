"""The whole quick start, as madx does it and as a script over the real peer does it: `python benchmarks/quickstart.py`.

The same languages, labels, updates, batch sizes, learning rates and cells: madx's own plan is written down and handed
to peer_quickstart.py (quickstart_plan.py). Both are timed as whole processes, start-up included, one after the other.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed")
    options = parser.parse_args()
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "parity")]
    from machine import host
    from peer_env import make, versions
    from quickstart_plan import quickstart_plan
    from run import exported_mini, measure

    peer, machine = make(), host()
    work = ROOT / ".bench" / "quickstart"
    work.mkdir(parents=True, exist_ok=True)
    (work / "plan.json").write_text(json.dumps(quickstart_plan(exported_mini())))
    seconds: dict[str, list[float]] = {"peer": [], "madx": []}
    for _ in range(options.repeats):
        began = time.perf_counter()
        theirs = measure(peer, "peer_quickstart.py", str(work / "plan.json"))
        seconds["peer"].append(time.perf_counter() - began)
        shutil.rmtree(work / "results", ignore_errors=True)
        began = time.perf_counter()
        command = [sys.executable, "-m", "madx", "run", "--quiet", "--results", str(work / "results")]
        subprocess.run(command, check=True, capture_output=True)
        seconds["madx"].append(time.perf_counter() - began)
        print(f"peer {seconds['peer'][-1]:.0f} s, madx {seconds['madx'][-1]:.0f} s", file=sys.stderr, flush=True)
    ratio = [a / b for a, b in zip(seconds["peer"], seconds["madx"], strict=True)]
    record = {
        "host": machine, "versions": versions(), "seconds": seconds, "ratio": statistics.median(ratio), "peer": theirs
    }  # fmt: skip
    updates = theirs["updates"]
    text = (
        f"## The quick start on mini, {machine['processor']}, {machine['cores']} cores\n\n"
        f"{updates['language']} updates of stage one, {updates['task']} of stage two, {theirs['evaluations']} "
        f"evaluations; whole processes. The peer {statistics.median(seconds['peer']):.0f} s, madx "
        f"{statistics.median(seconds['madx']):.0f} s: {record['ratio']:.1f} times ({min(ratio):.1f} to "
        f"{max(ratio):.1f}). madx also cleans the text, writes checkpoints, model cards, intervals and the report.\n"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quickstart.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / "quickstart.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
