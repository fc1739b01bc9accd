"""What others made is checked in one place: names, places, kinds of files, sizes, JSON."""

import json
import os
import socket
from pathlib import Path

import pytest

from madx.config import InputError
from madx.foreign import SMALL, checked_name, inside, open_regular, printable, read_json_object, read_small, read_toml


@pytest.mark.parametrize("name", ["swe", "ta,tb", "näher", "srp-Latn", "a b", "xlm-r_qu.2", "x" * 200])
def test_names_that_people_use(name: str) -> None:
    assert checked_name(name, "here") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/etc/x", "../x", "a/b", "a\\b", "a\0b", "a\nb", "\x1b[2J", "\u202egnp", "\ud800", "x" * 201,
     "=1+1", "@SUM", None, 3, ["a"]],
)  # fmt: skip
def test_names_that_are_none(name: object) -> None:
    with pytest.raises(InputError, match="^file.json: .*is no name") as caught:
        checked_name(name, "file.json")
    assert printable(str(caught.value)) == str(caught.value)


def test_a_path_stays_below_its_folder(tmp_path: Path) -> None:
    box = tmp_path / "box"
    (box / "in").mkdir(parents=True)
    (box / "link").symlink_to(tmp_path)
    (box / "round").symlink_to(box / "round")
    assert inside(box, box / "in" / "new.txt") == box / "in" / "new.txt"
    for path in (box / ".." / "x", tmp_path / "boxes", box / "link" / "x", Path("/etc/passwd"), box / "round" / "x"):
        with pytest.raises(InputError, match="leads out of"):
            inside(box, path)


def test_only_regular_files_are_opened_and_nothing_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path, message in (
            (tmp_path / "pipe", "is a pipe"), (tmp_path / "socket", "cannot be read"), (tmp_path, "is a folder"),
            (Path("/dev/zero"), "is a device"), (tmp_path / "none", "no such file"), (tmp_path / "a\0b", "null"),
            (tmp_path / ("x" * 300), "too long"),
        ):  # fmt: skip
            with pytest.raises(InputError, match=message):
                open_regular(path)


def test_json_bombs_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "madx.json"
    for content, message in (
        ("[" * 100_000, "nested too deeply"), ('{"a": ' * 50_000, "nested too deeply"), ("1" * 5000, "digits"),
        ("[1]", "not a JSON object"), ("{", "not JSON"),
    ):  # fmt: skip
        path.write_text(content)
        with pytest.raises(InputError, match=message) as caught:
            read_json_object(path)
        assert len(str(caught.value).splitlines()) == 1
    path.write_bytes(json.dumps({"a": "å"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_json_object(path)
    with open(path, "wb") as file:
        file.truncate(SMALL + 1)  # a file with a hole: large, and nothing on the disk
    with pytest.raises(InputError, match="more than 8 MiB"):
        read_small(path)


def test_what_steers_a_terminal_is_spelt_out() -> None:
    assert printable("a\x1b[31mb\x07\u202ec") == "a\\x1b[31mb\\x07\\u202ec"
    assert printable("Ænå日本\tx\n") == "Ænå日本\tx\n"


def test_toml_bombs_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    for content, message in (
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply"), ("a = " + "9" * 5000, "digits"),
        ("a = \nb = 1", "not valid TOML.*line 1"), ('a = "' + "x" * SMALL + '"', "more than 8 MiB"),
    ):  # fmt: skip
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read_toml(path)
    path.write_bytes(b'a = "\xff"')
    with pytest.raises(InputError, match="not UTF-8"):
        read_toml(path)
