"""The store: a folder is claimed by one, finished once, and found again."""

import json
from pathlib import Path

import pytest

from madx.config import RunError
from madx.store import Store, write_text


def test_a_folder_is_claimed_by_one_at_a_time_and_finished_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.claim("text-swe-1") as folder:
        assert folder is not None
        with Store(tmp_path / "store").claim("text-swe-1") as second:
            assert second is None
        with Store(tmp_path / "store").claim("text-eng-1") as another:
            assert another is not None
        assert not store.is_done("text-swe-1")
        store.finish("text-swe-1", {"seconds": 1.0, "result": {"tokens": 3}})
    assert store.result("text-swe-1")["result"] == {"tokens": 3}
    with store.claim("text-swe-1") as again:
        assert again is None
    with pytest.raises(RunError, match="is finished already"):
        store.finish("text-swe-1", {})


def test_a_claim_ends_with_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail() -> None:
        with store.claim("a-b-1") as folder:
            assert folder is not None
            write_text(folder / "part.txt", "kept for whoever goes on")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail()
    with store.claim("a-b-1") as folder:
        assert folder is not None
        assert [p.name for p in folder.iterdir()] == ["part.txt"]


def test_what_is_written_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.json", json.dumps([1]))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "a.json", json.dumps([2]))
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
