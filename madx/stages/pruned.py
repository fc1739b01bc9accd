"""A finished task adapter without its smallest weights: pruned after training, by magnitude."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from madx.config import InputError
from madx.formats.adapterhub import save_adapter
from madx.formats.card import write_card
from madx.formats.manifest import read_manifest, seal
from madx.methods.pruned import prune_by_magnitude
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.stages.task_model import in_encoder
from madx.step import Result


class PrunedTask(TaskStage):
    """In all but its weights the task that it was."""

    stage: ClassVar[str] = "pruned"
    dense: TaskStage
    sparsity: float = Field(ge=0, lt=1)

    @classmethod
    def of(cls, dense: TaskStage, sparsity: float) -> Self:
        return cls(**{name: getattr(dense, name) for name in TaskStage.model_fields}, dense=dense, sparsity=sparsity)

    def check(self, session: Session) -> None:
        if self.method.stored != "adapter":
            raise InputError(f"{self.method.what}: only adapters can be pruned")

    def run(self, folder: Path, session: Session) -> Result:
        encoder, name = session.encoder(self.encoder), in_encoder(self.subject)
        with self.method.borrowed(encoder):
            model = self.dense.trained(encoder, session)
            prune_by_magnitude(encoder.adapters.get(name), self.sparsity)
            save_adapter(folder, encoder, name, save_as=self.subject, packed=True)
            model.kind.save_head(folder, encoder, model.head, self.subject)
        seal(folder, {**read_manifest(session.folder(self.dense)), "sparsity": self.sparsity})
        write_card(folder, folder.name)
        return {"warnings": []}
