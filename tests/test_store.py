"""The store: a folder is claimed by one, finished once, and found again."""

import errno
import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from madx.config import InputError, RunError
from madx.store import Store
from madx.writing import UMASK, locked, new_folder, write_bytes, write_record, write_text


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


def finished(root: Path, name: str = "text-swe-1") -> Store:
    store = Store(root)
    with store.claim(name) as folder:
        assert folder is not None
        (folder / "train.bin").write_bytes(b"0123456789")
        (folder / "README.md").write_text("a card")
        store.finish(name, {"seconds": 1.0, "memory_mb": 1, "result": {"tokens": 3, "by_length": {10: 1, 2: 1}}})
    return store


def test_every_flipped_byte_of_done_json_is_found_and_the_step_made_again(tmp_path: Path) -> None:
    finished(tmp_path)
    path = tmp_path / "text-swe-1" / "done.json"
    whole = path.read_bytes()
    assert Store(tmp_path).is_whole("text-swe-1")
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        store = Store(tmp_path)
        if store.is_done("text-swe-1"):  # other white space between the same values
            assert json.loads(path.read_bytes()) == json.loads(whole), place
            continue
        assert store.problem("text-swe-1") == f"{path}: damaged"
        with pytest.raises(RunError, match="damaged"):
            store.result("text-swe-1")
    for content in (b"", b"{}", b"[" * 100_000, b"\xff", whole[:-20], b'{"seconds": 1}'):
        path.write_bytes(content)
        assert not Store(tmp_path).is_done("text-swe-1")
    with Store(tmp_path).claim("text-swe-1") as folder:
        assert folder is not None
        assert not path.exists()


def test_a_damaged_file_of_a_finished_step_is_named_and_made_again(tmp_path: Path) -> None:
    finished(tmp_path)
    path = tmp_path / "text-swe-1" / "train.bin"
    (path.parent / "README.md").write_text("a better card")  # for people: they may
    assert Store(tmp_path).is_whole("text-swe-1")
    for damage in (lambda: path.write_bytes(b"012345678X"), lambda: path.write_bytes(b""), path.unlink, path.mkdir):
        damage()
        store = Store(tmp_path)
        assert store.is_done("text-swe-1")  # a look costs no reading of files
        assert not store.is_whole("text-swe-1")
        assert str(path) in store.problem("text-swe-1")
        assert not store.is_done("text-swe-1")  # from then on
    path.rmdir()
    with store.claim("text-swe-1") as folder:
        assert folder is not None
        path.write_bytes(b"0123456789")
        store.finish("text-swe-1", {"seconds": 1.0, "memory_mb": 1, "result": {}})
    assert store.is_whole("text-swe-1")
    assert store.problem("text-swe-1") == ""


def test_what_was_finished_before_there_were_seals_stays_finished(tmp_path: Path) -> None:
    (tmp_path / "text-swe-1").mkdir()
    done = {"seconds": 1.0, "memory_mb": 1, "result": {}}
    (tmp_path / "text-swe-1" / "done.json").write_text(json.dumps(done))
    assert Store(tmp_path).is_whole("text-swe-1")
    # a seal's key, damaged; what no release has written
    for other in ({**done, "sfal": "x"}, {"result": {}}, {**done, "seconds": "x"}, {**done, "result": []}):
        (tmp_path / "text-swe-1" / "done.json").write_text(json.dumps(other))
        assert not Store(tmp_path).is_done("text-swe-1")


def test_looking_at_ten_thousand_finished_steps_reads_each_once(tmp_path: Path) -> None:
    names = [f"text-swe-{number}" for number in range(300)]
    for name in names:
        finished(tmp_path, name)
    store = Store(tmp_path)
    assert all(store.is_done(name) for name in names)
    for name in names:
        (tmp_path / name / "train.bin").unlink()  # not looked at
    began = time.perf_counter()
    assert all(store.is_done(name) for _ in range(10) for name in names)
    assert time.perf_counter() - began < 1


def test_leftovers_of_a_killed_process_go_with_the_next_claim(tmp_path: Path) -> None:
    (tmp_path / "a-b-1").mkdir()
    (tmp_path / "a-b-1" / ".x.bin.0123456789ab.part").write_bytes(b"half")
    with Store(tmp_path).claim("a-b-1") as folder:
        assert folder is not None
        assert list(folder.iterdir()) == []


def test_a_new_folder_is_whole_or_not_there_and_never_replaces_another(tmp_path: Path) -> None:
    def fill(what: str) -> None:
        with new_folder(tmp_path / "to") as folder:
            (folder / "a").write_text(what)
            if what == "fails":
                raise ValueError(what)

    with pytest.raises(ValueError, match="fails"):
        fill("fails")
    assert list(tmp_path.iterdir()) == []
    slow = new_folder(tmp_path / "to")
    slow.__enter__()
    fill("fast")
    with pytest.raises(InputError, match="is there already"):
        slow.__exit__(None, None, None)
    with pytest.raises(InputError, match="is there already"):
        fill("late")
    assert (tmp_path / "to" / "a").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_two_threads_write_one_file_and_one_of_them_wins(tmp_path: Path) -> None:
    contents = [bytes([65 + number]) * 50_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_bytes(tmp_path / "a", content), contents * 5))
    assert (tmp_path / "a").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~UMASK


def test_a_store_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(RunError, match="store.*run the same command again"), Store(tmp_path / "store").claim("a-b-1"):
        pass


def test_files_in_a_steps_own_folders_are_sealed_too(tmp_path: Path) -> None:
    """A fusion keeps each adapter in a folder of its name."""
    store = Store(tmp_path)
    with store.claim("task-pos-1") as folder:
        assert folder is not None
        (folder / "task pos 0").mkdir()
        (folder / "task pos 0" / "adapter.safetensors").write_bytes(b"weights")
        store.finish("task-pos-1", {"seconds": 0.0, "memory_mb": 0, "result": {}})
    assert Store(tmp_path).is_whole("task-pos-1")
    (tmp_path / "task-pos-1" / "task pos 0" / "adapter.safetensors").write_bytes(b"weighty")
    damaged = Store(tmp_path)
    assert not damaged.is_whole("task-pos-1")
    assert "task pos 0/adapter.safetensors: damaged" in damaged.problem("task-pos-1")


def test_a_disk_without_locks_is_a_line_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_locks(descriptor: int, operation: int) -> None:
        asked.append(operation)
        assert len(asked) < 5, "it is asked again and again"
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(RunError, match=rf"{tmp_path}.*: No locks available; what was"), locked(tmp_path / "index.json"):
        pass
    claim = Store(tmp_path).claim("text-swe-000000000000")
    with pytest.raises(RunError, match=rf"{tmp_path}.*: No locks available; what was"), claim:
        pass


def test_a_record_has_a_line_for_each_entry_of_its_parts(tmp_path: Path) -> None:
    record = {
        "name": "størst", "none": None, "empty": {}, "steps": {"a-1": {"seconds": 1.5, "files": [1, 2]}, "b": {}},
        "cells": [{"seed": 1}, {"seed": 2}], "half": 0.5,
    }  # fmt: skip
    write_record(tmp_path / "run.json", record)
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert json.loads(text) == record
    assert '\n  "a-1": {"seconds": 1.5, "files": [1, 2]},\n  "b": {}\n},\n' in text
    assert '"name": "størst",\n' in text
