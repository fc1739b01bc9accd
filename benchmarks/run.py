"""Speed and memory at XLM-R-base's shape, side by side with the real peer: `make bench`.

    python benchmarks/run.py --data DIR [--updates 20] [--repeats 3] [--stages language pos nli evaluation]
    python benchmarks/run.py --data DIR --device cuda --updates 40 --blocks 64

Both sides run on the same work (workload.py), each stage in a process of its own, interleaved: peer, madx, peer, madx.
Real tokens per second (padding isn't counted), the process's peak memory, the losses step by step. On a GPU in bf16.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent


class Row(NamedTuple):
    """A line of the table: what the peer runs and what we run; on a processor each for a share of the updates."""

    name: str
    peer: str
    ours: str
    options: tuple[str, ...] = ()
    ours_share: float = 1.0
    peer_share: float = 1.0
    only: str = ""  # on this kind of device


STAGES: dict[str, tuple[Row, ...]] = {
    "language": (
        Row("stage one", "language", "language"),
        Row('stage one, `softmax = "corpus"`', "language", "language", ("corpus",), 0.5),
        Row("stage one, `compile = true`", "language", "language", ("compiled",), only="cuda"),
        Row('stage one, `precision = "bf16"`', "language", "language", ("bf16",), 0.5, only="cpu"),
    ),
    "pos": (
        Row("stage two, POS", "pos", "pos"),
        Row('stage two, POS, `precision = "bf16"`', "pos", "pos", ("bf16",), only="cpu"),
        Row('stage two, POS, `leave_out` lower half, `lower_layers = "kept"`', "pos", "pos-upper", ("kept",), 0.5),
        Row("the same, the peer with that `leave_out` too", "pos-upper", "pos-upper", ("kept",), 0.5, 0.5),
    ),
    "nli": (Row("stage two, NLI", "nli", "nli", (), 0.4, 0.4),),
    "evaluation": (
        Row("evaluation, POS, 20 languages", "evaluation", "evaluation"),
        Row('evaluation, `weights = "int8"`', "evaluation", "evaluation", ("int8",), only="cpu"),
    ),
}


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest of our value over theirs, run by run."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(each), min(each), max(each)


def language_flops(shape: dict[str, int], block: int, reduction: float, masked: float) -> float:
    """Floating-point operations that one real token of stage one needs, with an invertible adapter of factor 2.

    Frozen weights: forward, and backward to the inputs (2 + 2 for each); adapters: the weights' gradients too (2 + 4).
    The last layer's output projection, feed-forward and adapter, the inverse and the logits: at the masked positions
    only. Attention's scores and values: 4 * block * width forward, twice that backward.
    """
    width, layers = shape["hidden_size"], shape["num_hidden_layers"]
    whole = layers - 1 + masked  # layers that are computed after the attention's scores
    frozen = layers * 3 * width**2 + whole * (width**2 + 2 * width * shape["intermediate_size"])
    adapters = whole * 2 * width * width / reduction + (1 + masked) * width**2 / 2
    attention = layers * 4 * block * width * 3
    head = masked * (4 * width * shape["vocab_size"] + 6 * width**2)
    return 4 * frozen + 6 * adapters + attention + head


def exported_mini() -> Path:
    """`mini` as a stock transformers folder, which the peer reads; made once."""
    folder = ROOT / ".bench" / "mini"
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "madx", "models", "export", "mini", str(folder)], check=True)
    return folder


def measure(python: Path | str, script: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([str(python), str(HERE / script), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {script} {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(record: dict[str, Any]) -> str:
    host = record["host"]
    place = f"{host['gpu']}, bf16" if "gpu" in host else f"{host['processor']}, {host['cores']} cores, fp32"
    lines = [
        f"## XLM-R-base's shape, {place}", "",
        "Each side in turn, in processes of their own; spread: least to greatest ratio of a pair of runs.", "",
        "| | runs of each | peer tokens/s | madx tokens/s | ratio | peer MB | madx MB | memory ratio |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for name, row in record["rows"].items():
        median, least, greatest = row["speed_ratio"]
        peer, ours = row["peer"], row["madx"]
        lines.append(
            f"| {name} | {row['repeats']} | {peer['tokens_per_s']:.0f} | {ours['tokens_per_s']:.0f} | {median:.2f} "
            f"({least:.2f} to {greatest:.2f}) | {peer['memory_mb']:.0f} | {ours['memory_mb']:.0f} | "
            f"{row['memory_ratio']:.2f} |"
        )
    differences = ", ".join(
        f"{name} {value:.1e} ({record['loss_steps'][name]} steps)" for name, value in record["loss_difference"].items()
    )
    lines += ["", f"Stage one: updates of {record['blocks']} x 128 tokens. Greatest difference of the losses over the "
              f"steps: {differences}."]  # fmt: skip
    if "gemm_share" in record:
        median, least, greatest = record["gemm_share"]
        lines.append(
            f"It runs at {median:.2f} ({least:.2f} to {greatest:.2f}) of the machine's rate of matrix "
            f"multiplication, {record['gemm_gflops']:.0f} GFLOP/s, taken before and after each run."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the catalogue's files")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=8, help="of 128 tokens, in an update of stage one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES, help="the others keep theirs")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed")
    options = parser.parse_args()
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "parity")]
    import workload
    from machine import host
    from peer_env import make, versions

    peer = make()
    device, machine = options.device, host(options.device)
    folder = str(workload.make(options.work, options.data, options.updates, options.blocks))
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / ("xlmr-base.json" if device == "cpu" else f"xlmr-base-{device}.json")
    kept = json.loads(file.read_text()) if file.exists() and set(options.stages) != set(STAGES) else {}
    record: dict[str, Any] = {
        "host": machine, "versions": versions(), "blocks": options.blocks,
        "rows": kept.get("rows", {}), "loss_difference": kept.get("loss_difference", {}),
        "loss_steps": kept.get("loss_steps", {}),
        **{key: kept[key] for key in ("gemm_share", "gemm_gflops") if key in kept},
    }  # fmt: skip
    for stage in options.stages:
        runs: dict[tuple[str, ...], list[dict[str, Any]]] = {}

        def run(key: tuple[str, ...], number: int, runs: dict[Any, Any] = runs) -> None:
            if len(runs.setdefault(key, [])) > number:
                return  # a row before this one has it
            side, *arguments = key
            script = "peer.py" if side == "peer" else "ours.py"
            runs[key].append(measure(peer if side == "peer" else sys.executable, script, folder, device, *arguments))
            print(f"{number + 1}/{options.repeats} {' '.join(key)}: {runs[key][-1]['tokens_per_s']:.0f} tokens/s",
                  file=sys.stderr, flush=True)  # fmt: skip

        keys = {}
        rows = [row for row in STAGES[stage] if row.only in ("", device)]
        for row in rows:
            shares = (row.peer_share, row.ours_share) if device == "cpu" else (1, 1)
            theirs, ours = (str(round(options.updates * share)) for share in shares)
            keys[row.name] = (("peer", row.peer, theirs), ("madx", row.ours, ours, *row.options))
        for number in range(options.repeats):
            for pair in keys.values():
                for key in pair:
                    run(key, number)
        for name, pair in keys.items():
            theirs, ours = (runs[key] for key in pair)
            record["rows"][name] = {
                **{side: {"tokens_per_s": statistics.median(r["tokens_per_s"] for r in found),
                          "memory_mb": max(r["memory_mb"] for r in found)}
                   for side, found in (("peer", theirs), ("madx", ours))},
                "repeats": options.repeats,
                "speed_ratio": ratios([r["tokens_per_s"] for r in ours], [r["tokens_per_s"] for r in theirs]),
                "memory_ratio": max(r["memory_mb"] for r in ours) / max(r["memory_mb"] for r in theirs),
            }  # fmt: skip
        for row in rows:
            if stage == "evaluation" or row.peer != row.ours:
                continue
            theirs, updates = runs[keys[row.name][0]][0]["losses"], keys[row.name][0][2]
            if row.options == ("corpus",):
                continue  # another loss
            same = measure(sys.executable, "ours.py", folder, device, row.ours, updates, "same", *row.options)["losses"]
            compared = {row.name: (same, theirs)}
            if stage == "language" and device == "cpu":  # random weights are chaotic: rounding alone moves them
                exact = (folder, device, "language", updates)
                compared[f"{row.name} in float64"] = (
                    measure(sys.executable, "ours.py", *exact, "same", "float64")["losses"],
                    measure(peer, "peer.py", *exact, "float64")["losses"],
                )
            for name, sides in compared.items():
                record["loss_difference"][name] = max(abs(a - b) for a, b in zip(*sides, strict=True))
                record["loss_steps"][name] = len(sides[0])
        if stage == "language":
            ours = runs[keys["stage one"][1]]
            flops = language_flops(workload.SHAPE, workload.BLOCK, 2.0, 0.15)
            record["gemm_share"] = ratios([r["tokens_per_s"] * flops for r in ours], [r["gemm"] for r in ours])
            record["gemm_gflops"] = statistics.median(r["gemm"] for r in ours) / 1e9
        # after every stage: what is done is done
        file.write_text(json.dumps(record, indent=2) + "\n")
        file.with_suffix(".md").write_text(table(record))
    print(table(record))


if __name__ == "__main__":
    main()
