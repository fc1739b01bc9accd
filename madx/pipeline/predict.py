"""Label new text with what a run has trained."""

from collections.abc import Iterator

import torch

from madx.config import InputError
from madx.methods.grid import GRID
from madx.pipeline.plan import Planner
from madx.stages.language import attach_language
from madx.stages.scoring import decode_all
from madx.stages.session import Session, step_name
from madx.tasks.data import LabelledData
from madx.tasks.examples import Tokens


@torch.no_grad()
def label(
    planner: Planner, session: Session, task: str, language: str, method: str, seed: int | None, lines: Iterator[str]
) -> Iterator[str]:
    """Labelled lines, in the format of the input. Raises InputError where nothing has been trained yet."""
    if method not in GRID:
        raise InputError(f"unknown method '{method}'; known: {', '.join(GRID)}")
    spec, row = planner.catalogue.task(task), GRID[method]
    code = planner.language(language).code
    targets = planner.targets_of(spec)
    stage = planner.task_stage(spec, row, code, targets, planner.recipe.seeds[0] if seed is None else seed)
    if not session.store.is_done(step_name(stage)):
        raise InputError(f"'{task}' has not been trained with this recipe ({method}); `madx run` it first")
    over = {"target": code, "source": planner.language(planner.recipe.source[0]).code, "none": None}[row.evaluated_with]
    adapter = planner.language_stage(over) if over else None
    if adapter is not None and not session.store.is_done(step_name(adapter)):
        raise InputError(f"no language adapter for '{over}' yet; add it to the recipe's targets and `madx run`")
    kind = stage.train[0].kind
    encoder = session.encoder(stage.encoder)
    with encoder.lent(*stage.method.changes(encoder)):
        head = stage.attach(encoder, session)
        stage.retarget(encoder, attach_language(adapter, encoder, session) if adapter else None)
        tokens = Tokens(encoder.tokenizer, min(stage.max_length, encoder.max_length))
        examples = kind.read_plain(lines)
        data = LabelledData(
            task=stage.train[0].task, language=code, has_spaces=True, split="test", files=(), digests=()
        )
        if examples:
            predicted = decode_all(encoder, head, data, examples, tokens)
            for example, value in zip(examples, predicted, strict=True):
                yield kind.write_labelled(example, value)
