"""Label new text with what a run has trained."""

from collections.abc import Iterator

from madx.config import InputError, nearest
from madx.pipeline.grid import GRID
from madx.pipeline.planner import Planner
from madx.stages.session import Session


def label(
    planner: Planner, session: Session, task: str, language: str, method: str, seed: int | None, lines: Iterator[str]
) -> Iterator[str]:
    """Labelled lines, in the format of the input. Raises InputError where nothing has been trained yet."""
    if method not in GRID:
        raise InputError(f"unknown method '{method}'{nearest(method, list(GRID))}")
    code = planner.language(language).code
    cell = planner.cell(planner.task(task), method, code, planner.recipe.seeds[0] if seed is None else seed)
    if not session.store.is_done(cell.stage.name):
        raise InputError(f"'{task}' has not been trained with this recipe ({method}); `madx run` it first")
    if cell.language is not None and not session.store.is_done(cell.language.name):
        raise InputError(
            f"no language adapter for '{cell.language.subject}' yet; add it to the recipe's targets and `madx run`"
        )
    encoder = session.encoder(cell.stage.encoder)
    with cell.stage.method.borrowed(encoder):
        model = cell.stage.trained(encoder, session)
        model.retarget(cell.language.attach(encoder, session) if cell.language else None)
        examples = model.kind.read_plain(lines)
        predicted = model.predict(examples) if examples else []
    for example, value in zip(examples, predicted, strict=True):
        yield model.kind.write_labelled(example, value)
