"""How long a plan will take here: work in tokens, by what finished steps took, or by a few updates measured at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from madx.adapters.spec import BottleneckSpec
from madx.catalog.language import TextSource
from madx.config import InputError, digest
from madx.corpora.documents import files_of, find_file
from madx.corpora.prepare import HELD_OUT_SHARE, HELD_OUT_TOKENS
from madx.device import has_matrix_unit
from madx.encoders.encoder import Encoder
from madx.pipeline.plan import Plan
from madx.stages.arithmetic import BLOCKS, LAMBDAS, Arithmetic
from madx.stages.ensemble import Ensemble
from madx.stages.evaluate import Evaluation
from madx.stages.federated import FederatedStage
from madx.stages.joint import JointStage
from madx.stages.language import LanguageStage
from madx.stages.pruned import PrunedTask
from madx.stages.session import Session
from madx.stages.several_tasks import HandedOut, TasksStage
from madx.stages.task import TaskStage
from madx.stages.text import TextStage
from madx.stages.turns import shares
from madx.step import Step
from madx.tasks.batches import Tokens
from madx.tasks.data import LabelledData

BYTES_A_TOKEN, TEXT_TOKENS_A_SECOND = 4, 300_000  # of text that is prepared; nothing beside a training
EVERY_WEIGHT = 1.5  # three products of matrices where an adapter needs two
MEASURED_TOKENS = 1024  # of an update that is measured
LONG = 0.5  # seconds, beside which what the first time costs more is little
DAY, LONG_RUN = 24 * 3600, 20 * 60
SMALL_START = 3_000 * 2_048  # tokens of stage one, below which there is little to save


class Work(NamedTuple):
    """Tokens that are learnt from and tokens that are only read, by the encoder."""

    learnt: float = 0
    read: float = 0


class Speed(NamedTuple):
    """Tokens a second on this machine."""

    language: float  # stage one
    task: float  # stage two
    reading: float


def estimate(plan: Plan, session: Session) -> dict[str, float]:
    """Seconds of each step that is still to do, one after the other. Measures where nothing is known, in seconds.

    Where steps of a stage are finished in this store, their rate is taken; it is another machine's if they came from
    there. Nothing for an encoder that is still to be downloaded.
    """
    to_do = [step for step in plan.steps if not session.store.is_done(step.name)]
    if not any(map(_rate_of, to_do)):
        return {step.name: _text_seconds(step, session) for step in to_do}
    if not plan.encoder.is_here:
        return {}
    encoder = session.encoder(plan.encoder)
    work_of = _counter(encoder, session)
    done = [step for step in plan.steps if session.store.is_done(step.name)]
    known = {
        stage: _known_rate([step for step in done if _rate_of(step) == stage], work_of, session)
        for stage in (LanguageStage.stage, TaskStage.stage, Evaluation.stage)
    }
    measured = None if all(known[stage] for stage in map(_rate_of, to_do) if stage) else measure(encoder)
    seconds = {}
    for step in to_do:
        stage = _rate_of(step)
        work, rate = work_of(step), known[stage] if stage else None
        if rate:
            seconds[step.name] = (work.learnt + work.read / 3) / rate
        elif measured and stage:
            learnt = measured.language if stage == LanguageStage.stage else measured.task
            seconds[step.name] = work.learnt / learnt + work.read / measured.reading
        seconds[step.name] = seconds.get(step.name, 0.0) + _text_seconds(step, session)
    return seconds


def _rate_of(step: Step) -> str | None:
    """The stage whose tokens a second are a step's too; None: it takes no time to speak of."""
    match step:
        case LanguageStage() | JointStage() | Arithmetic():
            return LanguageStage.stage
        case PrunedTask() | HandedOut():  # out of what is finished
            return None
        case TaskStage() | TasksStage():
            return TaskStage.stage
        case Evaluation():
            return Evaluation.stage
    return None


def _known_rate(steps: Iterable[Step], work_of: Callable[[Step], Work], session: Session) -> float | None:
    """Tokens a second of finished steps; one that is only read counts a third."""
    tokens = seconds = 0.0
    for step in steps:
        work = work_of(step)
        tokens += work.learnt + work.read / 3
        seconds += session.store.result(step.name)["seconds"]
    return tokens / seconds if tokens and seconds else None


def _counter(encoder: Encoder, session: Session) -> Callable[[Step], Work]:
    tokens = Tokens(encoder.tokenizer, encoder.max_length)

    counted: dict[str, float] = {}

    def tokens_in(data: LabelledData) -> float:
        """Of all its features, from a sample of them."""
        name = digest(data)
        if name not in counted:
            size, sample = session.sample(data)
            features = data.kind.features(sample, tokens, data.task)
            counted[name] = sum(sum(map(len, f.sequences)) for f in features) * size / len(sample)
        return counted[name]

    def held_out(text: TextStage) -> float:
        return min(HELD_OUT_TOKENS, HELD_OUT_SHARE * text_bytes(text, session) / BYTES_A_TOKEN)

    def work_of(step: Step) -> Work:
        match step:
            case JointStage():
                return Work(step.schedule.steps * step.batch_tokens, 2 * sum(map(held_out, step.texts)))
            case FederatedStage():
                updates = len(step.silos) * step.schedule.steps
                return Work(updates * step.batch_tokens, 5 * sum(map(held_out, step.silos)))
            case LanguageStage():
                share = 1.0 if step.method.shared else EVERY_WEIGHT
                return Work(share * step.schedule.steps * step.batch_tokens, 5 * held_out(step.text))
            case HandedOut():
                return Work()
            case TasksStage():
                sizes = [
                    sum(math.ceil(session.sample(d).size / task.batch_size) for d in task.train) for task in step.tasks
                ]
                turns = zip(shares(sizes, step.temperature), sizes, step.tasks, strict=True)
                learnt = sum(count / size * sum(map(tokens_in, task.train)) for count, size, task in turns)
                read = sum(sum(map(tokens_in, task.dev)) for task in step.tasks)
                return Work(step.epochs * learnt, step.epochs * read)
            case TaskStage():
                share = 1.0 if step.method.shared else EVERY_WEIGHT
                learnt = step.epochs * sum(map(tokens_in, step.train))
                if step.beside is not None:
                    updates = step.epochs * sum(
                        math.ceil(session.sample(data).size / step.batch_size) for data in step.train
                    )
                    learnt += updates * step.beside.updates * step.beside.batch_tokens
                return Work(share * learnt, step.epochs * sum(map(tokens_in, step.dev)))
            case Arithmetic():
                text = text_bytes(step.text, session) / BYTES_A_TOKEN
                return Work(0, len(LAMBDAS) * min(BLOCKS * step.text.corpus.block_size, text))
            case Evaluation():
                tokens = tokens_in(step.test)
                if step.adapts is None:
                    return Work(0, tokens)
                parts = len(step.language.parts) if isinstance(step.language, Ensemble) else 1
                learnt, read = step.adapts.passes(parts)
                return Work(learnt * tokens, read * tokens)
        return Work()

    return work_of


def _text_seconds(step: Step, session: Session) -> float:
    return text_bytes(step, session) / BYTES_A_TOKEN / TEXT_TOKENS_A_SECOND if isinstance(step, TextStage) else 0.0


def text_bytes(text: TextStage, session: Session) -> int:
    """Of a language's files, as they lie there; of a Hub data set as much as would be taken."""
    most = text.corpus.max_tokens * BYTES_A_TOKEN
    return min(most, sum(_size(source, session) or most for source in text.corpus.sources))


def _size(source: TextSource, session: Session) -> int:
    if source.file is None:
        return 0
    try:
        return sum(path.stat().st_size for path in files_of(find_file(source.file, session.data)))
    except (InputError, OSError):
        return 0


def measure(encoder: Encoder) -> Speed:
    """A few updates of an adapter in this encoder, of random tokens."""
    length = min(128, encoder.max_length)
    rows = max(1, min(MEASURED_TOKENS, encoder.micro_tokens) // length)
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(5, encoder.vocabulary, (rows, length), generator=generator).to(encoder.device)
    with encoder.lent(), encoder.training():
        encoder.adapters.add("measured", BottleneckSpec(reduction_factor=2.0)).to(encoder.device)
        encoder.adapters.activate("measured")
        masked_M = torch.arange(0, rows * length, 7, device=encoder.device)
        read = (masked_M // length, masked_M % length)
        targets_M = ids_BT[read]

        def language() -> None:
            encoder.masked_lm_loss(encoder.hidden(ids_BT, read=read), targets_M).backward()  # type: ignore[no-untyped-call]

        def task() -> None:
            encoder.hidden(ids_BT).sum().backward()  # type: ignore[no-untyped-call]

        def reading() -> None:
            with torch.no_grad():
                encoder.hidden(ids_BT)

        return Speed(*(ids_BT.numel() / _seconds(what, encoder.device) for what in (language, task, reading)))


def _seconds(what: Callable[[], None], device: torch.device) -> float:
    """The shorter of two times, after one that warms up; on a CPU the first, where it is long enough to tell."""
    times: list[float] = []
    while len(times) < 3 and not (device.type == "cpu" and times and times[0] > LONG):
        began = time.perf_counter()
        what()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:] or times)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`, `9.0 days`."""
    for unit, size in (("days", DAY), ("h", 3600), ("min", 60)):
        if seconds >= size * (1 if unit == "days" else 1.5):
            return f"{seconds / size:.0f} min" if unit == "min" else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def advice(plan: Plan, seconds: dict[str, float], device: torch.device) -> str | None:
    """What to change, where a plan takes days here, or a faster unit of the processor lies idle for long."""
    total = sum(seconds.values())
    idle = plan.recipe.precision == "auto" and plan.encoder.precision == "fp32" and has_matrix_unit(device)
    faster = 'this processor has AMX: with precision = "bf16" it takes about half of that' if idle else ""
    if total < DAY:
        return f"about {duration(total)} in all; {faster}" if faster and total > LONG_RUN else None
    by_stage: dict[str, float] = {}
    for step in plan.steps:
        by_stage[step.stage] = by_stage.get(step.stage, 0.0) + seconds.get(step.name, 0.0)
    longest = max(by_stage, key=lambda stage: by_stage[stage])
    settings = plan.recipe.language_adapter
    change = "fewer targets, methods or seeds"
    if longest == TaskStage.stage:
        change = "fewer seeds, methods or epochs, or [limit] for the methods that train every weight"
    elif longest == LanguageStage.stage and settings.steps * settings.batch_tokens > SMALL_START:
        change = (
            f"fewer updates than language_adapter.steps = {settings.steps} x batch_tokens = {settings.batch_tokens} "
            '(3,000 x 2,048 at learning_rate 1e-3 for a start), or softmax = "corpus"'
        )
    said = f"about {duration(total)} on this machine, most of it in stage '{longest}': a GPU, `mini`, or {change}"
    return f"{said}; {faster}" if faster else said


def labels_of(plan: Plan) -> dict[str, str]:
    """What each step is for people: method, language, seed."""
    methods: dict[str, list[str]] = {}
    for cell in plan.cells:
        for step in (cell.stage, *([cell.evaluation] if cell.evaluation else [])):
            if cell.method not in methods.setdefault(step.name, []):
                methods[step.name].append(cell.method)
    labels = {}
    for step in plan.steps:
        who = ", ".join(methods.get(step.name, ()))
        match step:
            case LanguageStage():
                labels[step.name] = f"{step.method.what} of {step.subject}, seed {step.seed}"
            case TaskStage():
                labels[step.name] = f"{who or step.method.what}, seed {step.seed}"
            case Evaluation():
                labels[step.name] = f"{who}, seed {step.task.seed}"
    return labels
