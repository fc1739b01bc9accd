"""Federated averaging: one silo is plain stage one, equal silos are one, and a killed one ends in the same bits."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madx.catalog.find import Catalogue
from madx.catalog.language import TextSource
from madx.config import InputError, RunError
from madx.corpora.documents import documents
from madx.formats.tensors import load_tensors
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.federated import FederatedStage, mean
from madx.stages.language import LanguageStage
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import Step
from madx.store import Store
from madx.training import fit as fit_module

STEPS = "language_adapter.steps=9"
FLOWER = "Flower is not installed: pip install 'madx-adapters[flower]'"


def planner(project: Path, *settings: str) -> Planner:
    recipe = load_recipe(project / "recipe.toml", ["methods=['madx-federated']", "seeds=[1]", STEPS, *settings])
    return Planner(recipe, Catalogue(project), None, project)


def federated(project: Path, *settings: str) -> FederatedStage:
    plan = planner(project, *settings)
    stage = plan.cell(plan.task("tags"), "madx-federated", "swe", 1).language
    assert isinstance(stage, FederatedStage)
    return stage


def made(step: Step, session: Session) -> Path:
    """Its folder, once it and its texts are finished."""
    texts = [text for text in step.upstream if isinstance(text, TextStage)]
    for one in (*texts, step):
        with session.store.claim(one.name) as folder:
            if folder is not None:
                session.store.finish(one.name, {"seconds": 0.0, "memory_mb": 0, "result": one.run(folder, session)})
    return session.folder(step)


def session_in(folder: Path) -> Session:
    return Session(Store(folder), torch.device("cpu"))


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {k: t for name in ("adapter", "lm_head") for k, t in load_tensors(folder / f"{name}.safetensors").items()}


def alone(project: Path) -> LanguageStage:
    return planner(project).language_stage("swe")


@pytest.mark.parametrize("rounds", [1, 4])
def test_one_silo_is_plain_stage_one_in_any_number_of_rounds(project: Path, tmp_path: Path, rounds: int) -> None:
    """Its optimizer goes on from round to round, and so does the rate."""
    session, plain = session_in(tmp_path / "store"), alone(project)
    wanted = tensors(made(plain, session))
    stage = FederatedStage.of(plain, [plain.text], rounds)
    found = tensors(made(stage, session))
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.allclose(found[name], tensor, rtol=0, atol=1e-7), name
    before, after = (session.result(stage)[key] for key in ("held_out_before", "held_out_after"))
    assert before == pytest.approx(session.result(plain)["held_out_before"])
    assert after == pytest.approx(session.result(plain)["held_out_after"])
    assert after < before


def test_two_equal_silos_are_one_and_two_others_are_not(project: Path, tmp_path: Path) -> None:
    session, plain = session_in(tmp_path / "store"), alone(project)
    wanted = tensors(made(plain, session))
    equal = tensors(made(FederatedStage.of(plain, [plain.text, plain.text], 3), session))
    for name, tensor in wanted.items():
        assert torch.allclose(equal[name], tensor, rtol=0, atol=1e-7), name
    stage = federated(project, "federated={ silos = 2, rounds = 3 }")
    other = tensors(made(stage, session))
    assert any(not torch.allclose(other[name], tensor, rtol=0, atol=1e-4) for name, tensor in wanted.items())
    blocks = session.result(stage)["blocks_of_silos"]
    assert blocks == [session.result(text)["blocks"] for text in stage.silos]


def test_a_killed_one_ends_in_the_same_bits(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed within a silo's round, between two silos' rounds, and in the last round."""
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(fit_module, "LOG_EVERY", 1)
    stage = federated(project, "federated={ silos = 2, rounds = 3 }")
    whole = tensors(made(stage, session_in(tmp_path / "whole")))
    store = tmp_path / "cut"
    for label, update in (("silo 1", 2), ("silo 2", 1), ("silo 1", 4), ("silo 2", 5), ("silo 1", 9), ("silo 2", 8)):
        session = session_in(store)

        def watch(
            said: str, done: int, total: int, numbers: dict[str, Any], at: tuple[str, int] = (label, update)
        ) -> None:
            if said.endswith(at[0]) and done == at[1] and "resumed" not in numbers:
                raise KeyboardInterrupt

        session.watch = watch
        with pytest.raises(KeyboardInterrupt):
            made(stage, session)
    folder = made(stage, session_in(store))
    found = tensors(folder)
    assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())
    assert not list(folder.rglob("checkpoint-*"))


def test_flowers_simulation_ends_in_the_same_bits(project: Path, tmp_path: Path) -> None:
    """A place, and not in the step's name."""
    pytest.importorskip("flwr", reason=FLOWER)
    pytest.importorskip("ray", reason=FLOWER)
    in_turn = federated(project, "federated={ silos = 3, rounds = 3 }")
    stage = federated(project, "federated={ silos = 3, rounds = 3, flower = true }")
    assert stage.flower
    assert stage.name == in_turn.name
    here, there = session_in(tmp_path / "here"), session_in(tmp_path / "there")
    told: list[tuple[str, int, int, set[str]]] = []
    there.watch = lambda label, done, total, numbers: told.append((label, done, total, set(numbers)))
    wanted, found = tensors(made(in_turn, here)), tensors(made(stage, there))
    told = [one for one in told if "silos" in one[0]]
    assert told == [("language adapter swe, 3 silos", done, 9, {"loss", "tokens_per_s"}) for done in (3, 6, 9)]
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    same = ("evaluations", "last_losses_of_silos", "tokens", "blocks_of_silos", "held_out_after", "warnings")
    assert all(there.result(stage)[key] == here.result(in_turn)[key] for key in same)


def test_flower_that_is_not_installed_is_said_before_work(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("madx.stages.flower.find_spec", lambda name: None)
    stage = federated(project, "federated={ silos = 3, rounds = 3, flower = true }")
    with pytest.raises(InputError, match=r"pip install 'madx-adapters\[flower\]', or leave the key out"):
        stage.check(session_in(tmp_path))


def test_flower_is_not_started_within_another_ray(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flwr", reason=FLOWER)
    ray = pytest.importorskip("ray", reason=FLOWER)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    stage = federated(project, "federated={ silos = 3, rounds = 3, flower = true }")
    with pytest.raises(RunError, match=r"leave --engine ray and --processes out"):
        made(stage, session_in(tmp_path))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("failed", r"silo 2: train\.bin: No space left on device$"),
        ("lost", r"a silo failed: the actor died$"),
        ("silent", "stopped while silos were at work"),
    ],
)
def test_a_silo_that_fails_or_is_silent_is_one_line(second: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flwr = pytest.importorskip("flwr.app", reason=FLOWER)
    for name in ("_task_id", "_run_id", "_node_id"):  # a message's sender; Flower sets it where its server begins
        monkeypatch.setattr(f"flwr.supercore.task_identity.TaskIdentity.{name}", 1)
    from madx.stages.flower import FlowerSilos

    stopped = threading.Event()

    class Grid:
        """Of two nodes; the second one doesn't do what it should."""

        sent: tuple[Any, ...] = ()

        def get_node_ids(self) -> list[int]:
            return [1, 2]

        def push_messages(self, messages: list[Any]) -> list[str]:
            for number, message in enumerate(messages):
                message.metadata._message_id = str(number)
            self.sent = tuple(messages)
            return ["0", "1"]

        def pull_messages(self, ids: set[str]) -> list[Any]:
            if "0" in ids:
                return [self.reply(0, {"silo": 1, "loss": 2.0})]
            if second == "failed":
                return [self.reply(1, {"silo": 2, "failure": "train.bin: No space left on device"})]
            if second == "lost":
                error = flwr.Error(code=0, reason="the actor died\nTraceback")
                return [flwr.Message(error, reply_to=self.sent[1])]
            stopped.set()
            return []

        def reply(self, to: int, said: dict[str, Any]) -> Any:
            return flwr.Message(flwr.RecordDict({"config": flwr.ConfigRecord(said)}), reply_to=self.sent[to])

    with pytest.raises(RunError, match=said):
        FlowerSilos(Grid(), 2, lambda number, reports, speed: None, stopped).held_out_losses({"a": torch.ones(2)})


def test_the_mean_by_hand() -> None:
    one, two = {"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([3.0, 6.0])}
    assert mean([one, two], [0.25, 0.75])["a"].tolist() == [2.5, 5.0]


def test_the_mean_is_flowers() -> None:
    aggregate = pytest.importorskip("flwr.server.strategy.aggregate", reason=FLOWER).aggregate
    generator = np.random.default_rng(0)
    silos = [[generator.normal(size=shape).astype(np.float32) for shape in ((5, 3), (7,))] for _ in range(3)]
    counts = [3, 10, 41]
    wanted = aggregate(list(zip(silos, counts, strict=True)))
    weights = [{str(i): torch.from_numpy(array) for i, array in enumerate(silo)} for silo in silos]
    found = mean(weights, [count / sum(counts) for count in counts])
    for i, array in enumerate(wanted):
        assert np.allclose(found[str(i)].numpy(), array, rtol=0, atol=1e-6)


def test_a_silo_is_a_file_or_every_nth_document_and_its_text_is_its_own(project: Path) -> None:
    (project / "more.txt").write_text((project / "eng.txt").read_text())
    files = federated(project, "text.swe=['swe.txt', 'more.txt']", "federated.rounds=3")
    assert [[Path(s.file or "").name for s in silo.corpus.sources] for silo in files.silos] == [
        ["swe.txt"],
        ["more.txt"],
    ]
    parts = federated(project, "federated={ silos = 3, rounds = 3 }")
    read = [[*documents(silo.corpus.sources[0], None)] for silo in parts.silos]
    whole = [*documents(TextSource(file=str(project / "swe.txt")), None)]
    assert read == [whole[0::3], whole[1::3], whole[2::3]]
    assert len({silo.name for silo in parts.silos}) == 3
    assert parts.name != federated(project, "federated={ silos = 3, rounds = 2 }").name


def test_what_cannot_be_federated_is_refused_in_one_line(project: Path) -> None:
    with pytest.raises(InputError, match=r"madx-federated: the text of 'swe' is one file"):
        federated(project)
    with pytest.raises(InputError, match=r"federated\.rounds = 10: there are 9 steps"):
        federated(project, "federated.silos=2")
