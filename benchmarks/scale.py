"""500 languages x 5 tasks x 5 seeds on XLM-R large, simulated on 1, 8 and 64 GPUs, from rates that were measured.

    python benchmarks/scale.py

Rates are those of results/speed/xlmr-base-cuda.md (H200, bf16), divided by how much larger XLM-R large is. The real
ones may be better: a larger encoder keeps a GPU busier than the base one does, whose limit is the host.
"""

from collections.abc import Iterator

from madx.pipeline.estimate import duration
from madx.pipeline.simulate import GPU, WORKERS, Job, simulate

LANGUAGES, TASKS, SEEDS = 500, 5, 5
LANGUAGE_RATE, TASK_RATE, READING_RATE = 253_236, 23_789, 110_329  # tokens a second, XLM-R base
LARGER = (24 * 1024**2) / (12 * 768**2)  # operations in the layers
LANGUAGE_TOKENS = 100_000 * 64 * 128  # MAD-X: 100,000 updates of 64 blocks
LITTLE = 0.1  # and with a tenth of that
TASK_TOKENS = 10 * 12_500 * 30  # ten epochs of a treebank
TEST_TOKENS = 1_000 * 30
OVERHEAD = 4.0  # seconds of a step for reading adapters and writing results
ADAPTER_BYTES = 4 * (24 * 2 * 1024 * 512 + 2 * 512 * 256 * 2)  # reduction factor 2, and NICE
TASK_BYTES = 4 * 24 * 2 * 1024 * 64  # reduction factor 16
TEXT_BYTES = 100e6


def jobs(share: float) -> list[Job]:
    """Every text, language adapter, task adapter and evaluation; `share`: of MAD-X's updates."""
    made = []
    for code in range(LANGUAGES):
        made.append(Job(f"text-{code}", TEXT_BYTES / 3.2e6, 2 * TEXT_BYTES))  # results/speed/growth.md
        training = share * LANGUAGE_TOKENS / LANGUAGE_RATE * LARGER
        made.append(Job(f"language-{code}", training + OVERHEAD, TEXT_BYTES + ADAPTER_BYTES, (f"text-{code}",)))
    for task in range(TASKS * SEEDS):
        training = TASK_TOKENS / TASK_RATE * LARGER
        made.append(Job(f"task-{task}", training + OVERHEAD, ADAPTER_BYTES + TASK_BYTES, ("language-0",)))
    test = TEST_TOKENS / READING_RATE * LARGER
    made += [
        Job(f"e-{task}-{code}", test + OVERHEAD, ADAPTER_BYTES + TASK_BYTES, (f"task-{task}", f"language-{code}"))
        for task in range(TASKS * SEEDS)
        for code in range(LANGUAGES)
    ]
    return made


def table() -> Iterator[str]:
    yield "| updates of stage one | GPUs | time | GPUs busy | the limit | dollars | MWh |"
    yield "|--:|--:|--:|--:|---|--:|--:|"
    for share in (1.0, LITTLE):
        plan = jobs(share)
        for workers in (*WORKERS, 512):
            found = simulate(plan, workers, GPU)
            yield (
                f"| {100_000 * share:,.0f} | {workers} | {duration(found.seconds)} | {found.busy:.0%} "
                f"| {found.limit} | {found.dollars:,.0f} | {found.kwh / 1000:.2f} |"
            )
    yield f"{len(plan):,} steps, {sum(job.bytes for job in plan) / 1e12:.1f} TB read and written."


if __name__ == "__main__":
    print("\n".join(table()))
