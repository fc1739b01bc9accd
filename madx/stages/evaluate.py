"""Stage three: zero-shot evaluation. The target's language adapter is swapped in below the task adapter, and a
language is scored for which no label was ever seen (Pfeiffer et al. 2020, section 3.2).

The evaluator knows no adapters: it retargets and scores.
"""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar, Literal

from madx.config import InputError
from madx.encoders.int8 import int8_weights
from madx.stages.entropy import Adapts
from madx.stages.predictions import PREDICTIONS, write_predictions
from madx.stages.scoring import score_examples
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.stages.task_model import in_encoder
from madx.step import AdapterStep, Result, Step
from madx.tasks.data import LabelledData


class Evaluation(Step):
    stage: ClassVar[str] = "evaluation"
    task: TaskStage
    language: AdapterStep | None  # the adapter that is swapped in
    test: LabelledData
    weights: Literal["fp32", "int8"] = "fp32"  # of the frozen encoder
    adapts: Adapts | None = None  # what is done with a mixture (EMEA, a mean of probabilities)
    dropped: int = 0  # AdapterDrop: so many of the lowest layers go without the task's adapter

    @property
    def subject(self) -> str:
        return f"{self.task.subject}-{self.test.language}"

    def check(self, session: Session) -> None:
        session.check_data(self.test)
        if self.dropped and self.task.method.stored != "adapter":
            raise InputError(f"{self.task.method.what}: only adapters can be dropped from layers")

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.task.encoder)
        began = time.perf_counter()
        examples = self.test.load()
        with self.task.method.borrowed(encoder):
            model = self.task.trained(encoder, session)
            model.retarget(self.language.attach(encoder, session) if self.language else None)
            if self.dropped:
                encoder.adapters.dropped[in_encoder(self.task.subject)] = self.dropped
            started = time.perf_counter()
            with int8_weights(encoder.base) if self.weights == "int8" else nullcontext():
                model.adapts = self.adapts
                predicted = model.predict(examples)
            seconds = time.perf_counter() - started
        write_predictions(folder / PREDICTIONS, self.test, examples, predicted)
        return {
            "value": score_examples(self.test, examples, predicted)[0],
            "examples": len(examples),
            "evaluation_seconds": round(time.perf_counter() - began, 2),
            "prediction_seconds": round(seconds, 4),
            "warnings": [],
        }
