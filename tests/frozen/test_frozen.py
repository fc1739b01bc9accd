"""What earlier releases have left behind is read, and says the same: tests/frozen/freeze.py makes it."""

import csv
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from frozen.freeze import answers

import madx
from madx.pipeline.rescore import score_run
from madx.store import Store

ARCHIVES = sorted(Path(__file__).parent.glob("*.tar.gz"))


@pytest.fixture(params=ARCHIVES, ids=[archive.name for archive in ARCHIVES])
def release(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    monkeypatch.chdir(folder)
    return folder


def test_every_finished_step_is_whole(release: Path) -> None:
    store = Store(release / "results" / ".store")
    names = [path.name for path in store.root.iterdir() if path.is_dir()]
    assert len(names) > 50
    assert [name for name in names if not store.is_whole(name)] == []


def test_every_method_says_the_same(release: Path) -> None:
    said = answers(Path("results/frozen"))
    frozen = json.loads((release / "said.json").read_text())
    assert set(said) == set(frozen)
    for method, rows in frozen.items():
        for now, then in zip(said[method], rows, strict=True):
            told, was = now["prediction"], then["prediction"]
            assert told.pop("probabilities") == pytest.approx(was.pop("probabilities"), abs=1e-4), method
            assert told == was, method


def test_scores_are_counted_again_from_predictions(release: Path) -> None:
    score_run(Path("results/frozen"))
    now = list(csv.DictReader((release / "results" / "frozen" / "scores.csv").open()))
    with tarfile.open(next(a for a in ARCHIVES if a.name.startswith(f"{release.name}.tar"))) as archive:
        file = archive.extractfile(f"{release.name}/results/frozen/scores.csv")
        assert file is not None
        then = list(csv.DictReader(file.read().decode().splitlines()))
    for a, b in zip(now, then, strict=True):
        assert float(a.pop("value")) == pytest.approx(float(b.pop("value")))
        assert {key: a[key] for key in ("task", "metric", "method", "target", "seed", "n")} == {
            key: b[key] for key in ("task", "metric", "method", "target", "seed", "n")
        }


def test_an_adapter_is_loaded_into_its_encoder(release: Path) -> None:
    folder = next(path for path in (release / "results" / ".store").glob("language-swe-*") if _plain(path))
    encoder = madx.load(folder, "encoder", "swe")
    assert encoder.adapters.names == ["swe"]
    madx.save(encoder, "swe", "out")
    assert (release / "out" / "adapter.safetensors").stat().st_size > 1000
    shutil.rmtree("out")


def _plain(folder: Path) -> bool:
    return (folder / "adapter_config.json").exists() and "vocabulary" not in str(list(folder.iterdir()))
