"""Lines of files as they come: every compression, mark and line end; what is no text is named in a line."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from madx.config import InputError
from madx.corpora import lines
from madx.corpora.lines import read_lines, read_whole, suffix_of

TEXT = "første\n第二\nثالث\n"


def read(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.bz2", "a.txt.xz", "named as nothing"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compression_is_told_by_the_first_bytes(tmp_path: Path, name: str, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(compress(TEXT.encode()))
    if compress is bytes and name.endswith((".gz", ".bz2", ".xz")):
        with pytest.raises(InputError, match=rf"{name}: damaged or misnamed: it does not begin as"):
            read(tmp_path / name)
    else:
        assert read(tmp_path / name) == TEXT.split()


def test_what_a_file_is_by_its_name_leaves_compression_out() -> None:
    assert [suffix_of(Path(name)) for name in ("a.TSV.gz", "a.json.xz", "a.conllu", "a", "a.iob2.bz2")] == [
        ".tsv", ".json", ".conllu", "", ".iob2",
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_mark_are_no_text(tmp_path: Path, end: str, mark: str) -> None:
    (tmp_path / "a.txt").write_bytes((mark + TEXT.replace("\n", end)).encode())
    assert list(read_lines(tmp_path / "a.txt")) == list(enumerate(TEXT.split(), 1))
    assert read_whole(tmp_path / "a.txt").split() == TEXT.split()


def test_a_return_inside_a_line_does_not_end_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\rtwo\nthree\r\r\n")
    assert read(tmp_path / "a.txt") == ["one\rtwo", "three"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hund\n".encode("utf-16"), "this is UTF-16 text; convert it: iconv"),
        ("hund\nkat\n".encode("utf-16-le"), "not text, or UTF-16"),
        (gzip.compress("hund\n".encode("utf-16"), mtime=0), "this is UTF-16 text"),
        (b"fine\nna\xefve\n", r":2: not UTF-8 \(byte 3\)"),
        (b"fine\nsurrogate \xed\xa0\x80\n", r":2: not UTF-8 \(byte 11\)"),
        (b"fine\n" * 50_000 + b"cut \xe4\xb8", r":50001: not UTF-8 \(byte 5\)"),
        (gzip.compress(TEXT.encode() * 99, mtime=0)[:-9], "damaged file"),
        (bz2.compress(TEXT.encode() * 99)[:-9], "damaged file"),
        (lzma.compress(TEXT.encode() * 99)[:-9], "damaged file"),
        (gzip.compress(TEXT.encode(), mtime=0)[:20] + b"#" * 20, "damaged file"),
        (b"PK\x03\x04 and so on", "zip archive .*Word"),
        (b"%PDF-1.7", "this is a PDF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\x28\xb5\x2f\xfd\x04\x00", r"zstd, which needs `pip install zstandard`|damaged"),
    ],
    ids=[f"case {number}" for number in range(14)],
)
def test_what_is_no_text_is_named_for_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    for reader in (read, read_whole):
        with pytest.raises(InputError, match=message) as error:
            reader(tmp_path / "a.txt")
        assert str(tmp_path / "a.txt") in str(error.value)
        assert "\n" not in str(error.value)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        read(tmp_path)
    with pytest.raises(InputError, match="none.txt: no such file"):
        read(tmp_path / "none.txt")


def test_a_line_of_megabytes_is_one_line_and_an_endless_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("第" * 2_000_000 + "\nend\n")
    assert [len(line) for line in read(tmp_path / "a.txt")] == [2_000_000, 3]
    monkeypatch.setattr(lines, "LONGEST", 1_000_000)
    with pytest.raises(InputError, match=r"a\.txt:1: a line of more than 1,000,000 characters"):
        read(tmp_path / "a.txt")
