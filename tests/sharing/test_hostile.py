"""Publishers that send too much, too slowly or something else; links, races, and what is left behind: nothing."""

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from madx.adapters.spec import BottleneckSpec
from madx.cli.adapters import adapters_pull
from madx.config import InputError, RunError
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import save_adapter
from madx.formats.manifest import seal
from madx.sharing import download
from madx.sharing.address import parse_address
from madx.sharing.fetch import entries_of, fetch
from madx.sharing.index import read_index
from madx.sharing.push import push

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def adapter(tiny: Encoder, tmp_path: Path) -> Path:
    folder = tmp_path / "swe"
    tiny.adapters.add("swe", BottleneckSpec(reduction_factor=2.0))
    save_adapter(folder, tiny, "swe")
    seal(folder, {"kind": "language adapter", "language": "swe", "corpus": {
        "sources": [{"name": "own", "file": str(tmp_path / "home" / "me" / "swe.txt"), "licence": "CC0"}], "tokens": 5,
    }, "base_model": {"name": str(tmp_path / "models" / "tiny"), "digest": tiny.ref.digest}})  # fmt: skip
    return folder


class Publisher(ThreadingHTTPServer):
    """Answers each path as it is told to; others aren't there."""

    daemon_threads = True

    def __init__(self, answers: dict[str, Answer]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                answer = answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                    return
                answer(self)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/swe"


def content(data: bytes, *headers: tuple[str, str], status: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers or (("Content-Length", str(len(data))),):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b" " * (1 << 20))


def dribble(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def dribble_in_headers(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(100):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.1)


def redirect(to: str) -> Answer:
    return content(b"", ("Location", to), ("Content-Length", "0"), status=302)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MADX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    monkeypatch.setattr(download, "SMALL_DEADLINE", 1.5)
    monkeypatch.setattr(download, "DEADLINE", 1.5)
    return tmp_path / "cache"


@pytest.fixture
def served(adapter: Path) -> dict[str, Answer]:
    return {f"/swe/{path.name}": content(path.read_bytes()) for path in adapter.iterdir()}


CASES: dict[str, tuple[str, Answer, str]] = {
    "an endless manifest": ("madx.json", endless, "more than 8 MiB"),
    "an endless configuration": ("adapter_config.json", endless, "more than 8 MiB"),
    "a manifest byte by byte": ("madx.json", dribble, "too slow"),
    "headers byte by byte": ("madx.json", dribble_in_headers, "too slow"),
    "weights byte by byte": ("adapter.safetensors", dribble, "too slow"),
    "a length that is a lie": ("madx.json", content(b"{}", ("Content-Length", "999")), "cannot be fetched"),
    "a length that is no number": ("madx.json", content(b"{}", ("Content-Length", "many")), "cannot be fetched"),
    "a redirect to a file": ("madx.json", redirect("file:///etc/passwd"), "cannot be fetched"),
    "a redirect to another protocol": ("madx.json", redirect("ftp://127.0.0.1/x"), "redirects to another kind"),
    "a redirect to itself": ("madx.json", redirect("/swe/madx.json"), "cannot be fetched"),
    "a manifest of wrong types": ("madx.json", content(b'{"kind": 3}'), "key 'kind'"),
    "a manifest that is a bomb": ("madx.json", content(b"[" * 100_000), "nested too deeply"),
    "a number of 5,000 digits": ("madx.json", content(b"1" * 5000), "digits"),
    "weights that were swapped": ("adapter.safetensors", content(b"x" * 100), "SHA-256"),
    "no weights": ("adapter.safetensors", content(b"", status=404), "no adapter weights"),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_hostile_publisher_is_one_line_and_leaves_nothing(case: str, served: dict[str, Answer], cache: Path) -> None:
    name, answer, message = CASES[case]
    publisher = Publisher({**served, f"/swe/{name}": answer})
    began = time.perf_counter()
    with pytest.raises((InputError, RunError), match=message) as caught:
        fetch(parse_address(publisher.url))
    assert len(str(caught.value).splitlines()) == 1
    assert time.perf_counter() - began < 15
    assert [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    publisher.shutdown()
    publisher.server_close()


def test_an_endless_index_is_one_line_and_leaves_nothing(cache: Path) -> None:
    publisher = Publisher({"/swe/index.json": endless})
    with pytest.raises(RunError, match="more than 8 MiB"):
        entries_of(parse_address(publisher.url))
    assert not cache.exists()
    publisher.shutdown()
    publisher.server_close()


def test_what_is_in_the_cache_is_fetched_again_where_it_was_damaged(served: dict[str, Answer], cache: Path) -> None:
    publisher = Publisher(served)
    folder = fetch(parse_address(publisher.url))
    right = (folder / "adapter.safetensors").read_bytes()
    (folder / "adapter.safetensors").write_bytes(b"damaged")
    again = fetch(parse_address(publisher.url))
    assert (again / "adapter.safetensors").read_bytes() == right
    assert [path.name for path in (cache / "adapters").iterdir() if path.name[0] != "."] == [again.name]
    publisher.shutdown()
    publisher.server_close()


@pytest.mark.parametrize(
    "row",
    [{"path": 3}, {"path": "a", "kind": []}, {"path": "a", "language": "../x"}, {"path": "a", "held_out_loss": "x"},
     {"path": "a", "model": "\x1b[2J"}, {"path": "a", "files": {"../x": "0"}}, {"path": "a", "unknown": 1}, 3, None],
)  # fmt: skip
def test_an_index_of_wrong_types_is_one_line(row: object) -> None:
    with pytest.raises(InputError) as caught:
        read_index(json.dumps({"adapters": [row]}).encode(), "index.json")
    assert len(str(caught.value).splitlines()) == 1


def test_a_password_in_an_address_is_never_repeated() -> None:
    with pytest.raises(InputError) as caught:
        parse_address("https://me:hunter2@example.org/adapters")
    assert "hunter2" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("name", ["head_config.json", "adapter.safetensors", "madx.json", "README.md"])
def test_links_are_neither_published_nor_pulled(name: str, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a key")
    (adapter / name).unlink(missing_ok=True)
    (adapter / name).symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="is a link"):
        push(adapter, parse_address(str(tmp_path / "place" / "swe")))
    with pytest.raises(InputError, match="is a link"):
        fetch(parse_address(str(adapter)))
    assert not (tmp_path / "place").exists()


def test_a_pipe_in_an_adapter_is_one_line(adapter: Path) -> None:
    os.mkfifo(adapter / "head_config.json")
    with pytest.raises(InputError, match="is a pipe"):
        fetch(parse_address(str(adapter)))


def test_what_is_published_names_no_place_of_this_machine(adapter: Path, tmp_path: Path) -> None:
    push(adapter, parse_address(str(tmp_path / "place" / "swe")))
    for path in (tmp_path / "place" / "swe").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes().replace(str(tmp_path / "place").encode(), b""), path
    about = json.loads((tmp_path / "place" / "swe" / "madx.json").read_text())
    assert about["corpus"]["sources"][0]["file"] == "swe.txt"
    assert about["base_model"]["name"] == "tiny"


# --------------------------------------------------------------------------------------------------------- races


def test_parallel_pushes_to_one_place_lose_nothing(adapter: Path, tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(6)] * 2
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: push(adapter, parse_address(str(tmp_path / "place" / name))), names))
    entries = entries_of(parse_address(str(tmp_path / "place")))
    assert [entry.path for entry in entries] == sorted(set(names))
    for name in names:
        fetch(parse_address(str(tmp_path / "place" / name)))
    assert {path.name for path in (tmp_path / "place").iterdir() if path.name[0] != "."} == {*names, "index.json"}
    assert not list((tmp_path / "place").glob(".*.part"))


def test_of_two_pulls_into_one_folder_one_is_refused(adapter: Path, tmp_path: Path) -> None:
    def pull(_: int) -> str:
        try:
            adapters_pull(str(adapter), tmp_path / "to")
        except InputError as error:
            return str(error)
        return "pulled"

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(pull, range(4)))
    assert said.count("pulled") == 1
    assert sum("is there already" in line for line in said) == 3
    fetch(parse_address(str(tmp_path / "to")))
    assert not list(tmp_path.glob(".*.part"))
