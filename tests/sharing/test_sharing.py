"""Push and pull against a server that speaks the Hub's protocol, through the real client, and over plain HTTP."""

import errno
import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hub_server import TOKEN, Hub

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError, RunError
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.card import write_card
from madx.formats.manifest import check, seal
from madx.sharing.address import Address, parse_address
from madx.sharing.fetch import fetch, on_hub
from madx.sharing.push import push


@pytest.fixture
def adapter(tiny: Encoder, tmp_path: Path) -> Path:
    """A sealed Swedish adapter with its card."""
    folder = tmp_path / "swe"
    tiny.adapters.add("swe", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    save_adapter(folder, tiny, "swe")
    corpus = {"sources": [{"name": "own", "licence": "CC0 1.0"}], "tokens": 1234}
    about = {
        "kind": "language adapter", "language": "swe", "corpus": corpus,
        "held_out_loss": {"before": 5.5, "after": 4.25},
        "base_model": {"name": "tiny", "digest": tiny.ref.digest}, "hyper_parameters": {"steps": 12},
    }  # fmt: skip
    seal(folder, about)
    write_card(folder, "swe")
    return folder


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


def madx(
    hub: Hub,
    home: Path,
    *arguments: str,
    token: str | None = TOKEN,
    group: tuple[str, ...] = ("adapters",),
    **more: str,
) -> subprocess.CompletedProcess:
    """The command with its own cache, talking to this Hub."""
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(home),
        "MADX_CACHE": str(home / "m"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **more,
    }  # fmt: skip
    environment.pop("HF_TOKEN", None)
    if token:
        environment["HF_TOKEN"] = token
    return subprocess.run(
        [sys.executable, "-m", "madx", *group, *arguments], env=environment, capture_output=True, text=True
    )


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    """One line, no traceback, no folder."""
    assert done.returncode in (1, 2), done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert all(word in lines[0] for word in words), lines[0]


def same_files(a: Path, b: Path) -> None:
    for name in ("adapter_config.json", "adapter.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes()


def test_to_the_hub_and_back(hub: Hub, adapter: Path, tmp_path: Path) -> None:
    done = madx(hub, tmp_path / "home", "push", str(adapter), "hub:someone/swe-adapter")
    assert done.returncode == 0, done.stderr
    files = hub.repositories["someone/swe-adapter"]
    content = files.commits[files.branches["main"]]
    assert {"adapter.safetensors", "adapter_config.json", "madx.json", "README.md", "index.json"} <= set(content)
    card = content["README.md"].decode()
    assert "5.500 before, 4.250 after" in card
    assert "CC0 1.0" in card
    assert 'language_adapters = { swe = "someone/swe-adapter" }' in card
    done = madx(hub, tmp_path / "home", "pull", "someone/swe-adapter", "--to", str(tmp_path / "back"))
    assert done.returncode == 0, done.stderr
    same_files(adapter, tmp_path / "back")
    done = madx(hub, tmp_path / "home", "list", "--from", "someone/swe-adapter", "--json", "--results", str(tmp_path))
    assert [(row["name"], row["address"]) for row in json.loads(done.stdout)] == [("swe", "someone/swe-adapter")]


def test_a_collection_with_revisions(hub: Hub, adapter: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert madx(hub, home, "push", str(adapter), "hub:someone/many/swe").returncode == 0
    first = hub.repositories["someone/many"].branches["main"]
    assert madx(hub, home, "push", str(adapter), "hub:someone/many/dan").returncode == 0
    listed = madx(hub, home, "list", "--from", "someone/many", "--json", "--results", str(tmp_path))
    assert [row["address"] for row in json.loads(listed.stdout)] == ["someone/many/dan", "someone/many/swe"]
    done = madx(hub, home, "pull", f"someone/many/swe@{first}", "--to", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    refused(madx(hub, home, "pull", f"someone/many/dan@{first}", "--to", str(tmp_path / "b")), "adapter_config.json")
    refused(madx(hub, home, "pull", "someone/many/swe", "--revision", "v9", "--to", str(tmp_path / "b")), "no revision")
    assert madx(hub, home, "push", str(adapter), "hub:someone/many/fao@next").returncode == 0
    assert (
        "fao/madx.json"
        not in hub.repositories["someone/many"].commits[hub.repositories["someone/many"].branches["main"]]
    )
    done = madx(hub, home, "pull", "someone/many/fao@next", "--to", str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr


def test_missing_private_and_wrong_token(hub: Hub, adapter: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused(madx(hub, home, "pull", "someone/nothing", "--to", str(tmp_path / "a")), "no such repository")
    refused(madx(hub, home, "push", str(adapter), "hub:someone/x", token="hf_wrong"), "refuses the token")
    assert madx(hub, home, "push", str(adapter), "hub:someone/secret", "--private").returncode == 0
    refused(madx(hub, home, "pull", "someone/secret", "--to", str(tmp_path / "a"), token=None), "private")
    assert madx(hub, home, "pull", "someone/secret", "--to", str(tmp_path / "a")).returncode == 0


def test_a_server_that_breaks_off_and_one_that_is_slow(hub: Hub, adapter: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert madx(hub, home, "push", str(adapter), "hub:someone/swe").returncode == 0
    hub.breaks = 1
    done = madx(hub, home, "pull", "someone/swe", "--to", str(tmp_path / "a"))
    if done.returncode:  # the client gave up at once: running it again gets the rest
        refused(done, "someone/swe", "again")
        assert not (tmp_path / "a").exists()
        done = madx(hub, home, "pull", "someone/swe", "--to", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    assert hub.breaks == 0
    same_files(adapter, tmp_path / "a")
    hub.slow = 0.3
    done = madx(hub, tmp_path / "other", "pull", "someone/swe", "--to", str(tmp_path / "b"))
    assert done.returncode == 0, done.stderr
    same_files(adapter, tmp_path / "b")
    hub.slow = 5
    done = madx(
        hub, tmp_path / "third", "pull", "someone/swe", "--to", str(tmp_path / "c"), HF_HUB_DOWNLOAD_TIMEOUT="1"
    )
    refused(done, "someone/swe")
    assert not (tmp_path / "c").exists()


def test_a_wrong_digest_is_refused(hub: Hub, adapter: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert madx(hub, home, "push", str(adapter), "hub:someone/swe").returncode == 0
    repository = hub.repositories["someone/swe"]
    content = bytearray(repository.commits[repository.branches["main"]]["adapter.safetensors"])
    content[-1] ^= 1
    repository.commit({"adapter.safetensors": bytes(content)})
    refused(madx(hub, home, "pull", "someone/swe", "--to", str(tmp_path / "a")), "SHA-256")
    assert not (tmp_path / "a").exists()


def test_a_recipe_takes_an_adapter_from_the_hub(hub: Hub, adapter: Path, project: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert madx(hub, home, "push", str(adapter), "hub:someone/many/swe").returncode == 0
    wanted = "--dry-run", "--set", 'methods=["madx"]', "--set", 'language_adapters={swe="someone/many/swe"}'
    done = madx(hub, home, "run", "recipe.toml", "--catalog", ".", "--data", ".", *wanted, group=())
    assert done.returncode == 0, done.stderr
    assert "imported-swe" in done.stdout
    assert "language-swe" not in done.stdout
    hub.repositories.clear()
    done = madx(hub, tmp_path / "other", "run", "recipe.toml", "--catalog", ".", "--data", ".", *wanted, group=())
    refused(done, "language_adapters.swe", "no such repository")


# ------------------------------------------------------------------------------------------ web and folders


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain web server; `cut` answers of weights end in the middle."""

    cut = 0

    def log_message(self, *args: object) -> None:
        pass

    def copyfile(self, source, outputfile) -> None:
        if self.path.endswith(".safetensors") and type(self).cut > 0:
            type(self).cut -= 1
            outputfile.write(source.read(100))
            self.close_connection = True
            return
        super().copyfile(source, outputfile)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MADX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "www").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_folder_served_by_a_web_server(web: str, adapter: Path, tiny: Encoder, tmp_path: Path) -> None:
    push(adapter, parse_address(str(tmp_path / "www" / "swe")))
    push(adapter, parse_address(str(tmp_path / "www" / "dan")))
    index = json.loads((tmp_path / "www" / "index.json").read_text())
    assert [row["path"] for row in index["adapters"]] == ["dan", "swe"]
    Quiet.cut = 2
    folder = fetch(parse_address(f"{web}/swe"))
    assert Quiet.cut == 0
    same_files(adapter, folder)
    assert load_adapter(folder, tiny)[0] == "swe"
    assert fetch(parse_address(f"{web}/swe")) == folder
    with pytest.raises(InputError, match=r"no adapter_config\.json"):
        fetch(parse_address(f"{web}/nothing"))
    with pytest.raises(InputError, match="can't be written to"):
        push(adapter, parse_address(f"{web}/new"))


def test_a_full_disk_is_no_fault_of_the_network(
    web: str, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that names the file, and no further attempt; from a web server and from the Hub."""
    opened: list[str] = []

    def full(path: Path, mode: str) -> IO[Any]:
        opened.append(str(path))
        return open("/dev/full", mode)

    push(adapter, parse_address(str(tmp_path / "www" / "swe")))
    monkeypatch.setattr("madx.sharing.download.open", full, raising=False)
    with pytest.raises(RunError, match=r"^/.*: No space left on device; what was finished is safe"):
        fetch(parse_address(f"{web}/swe"))
    assert len(opened) == 1

    def write() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/cache/blobs/x")

    with pytest.raises(RunError, match=r"^/cache/blobs/x: No space left on device"):
        on_hub(parse_address("hub:me/swe"), write)


def test_a_changed_file_on_a_web_server(web: str, adapter: Path, tmp_path: Path) -> None:
    push(adapter, parse_address(str(tmp_path / "www" / "swe")))
    path = tmp_path / "www" / "swe" / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(InputError, match="SHA-256"):
        fetch(parse_address(f"{web}/swe"))


@pytest.mark.parametrize("path", ["../../evil", "/etc", "a/../../b", "", "a//b", "\x1b[2J"])
def test_an_index_cannot_point_outside(path: str, web: str, tmp_path: Path) -> None:
    from madx.sharing.fetch import entries_of

    (tmp_path / "www" / "index.json").write_text(json.dumps({"madx_index": 1, "adapters": [{"path": path}]}))
    with pytest.raises(InputError, match="outside"):
        entries_of(parse_address(web))


def test_a_manifest_cannot_name_other_files(adapter: Path) -> None:
    about = json.loads((adapter / "madx.json").read_text())
    about["files"]["../secret"] = "0" * 64
    (adapter / "madx.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="no file of an adapter"):
        check(adapter)


def test_other_base_weights_are_refused(adapter: Path, tiny: Encoder) -> None:
    about = json.loads((adapter / "madx.json").read_text())
    about["base_model"]["digest"] = "sha256:" + "0" * 64
    seal(adapter, about)
    with pytest.raises(InputError, match="compute noise"):
        load_adapter(adapter, tiny)


def test_pushing_over_something_else_is_refused(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no adapter"):
        push(adapter, parse_address(str(tmp_path / "mine")))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("text", ["just-a-word", "a/b/../../c", "https://host/x?y=1", "http://", "../nowhere/at/all"])
def test_addresses_that_cannot_be_right(text: str) -> None:
    with pytest.raises(InputError):
        fetch(parse_address(text))


def test_a_path_is_no_repository_unless_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "swe").mkdir(parents=True)
    assert parse_address("me/swe").kind == "hub"
    assert parse_address("mine/swe").kind == "local"
    assert parse_address("hub:mine/swee@v2") == Address(kind="hub", place="mine/swee", revision="v2")
    for text in ("mine/swee", "./mine/swee", "mine/swee/"):
        with pytest.raises(InputError, match=r"no folder \S*mine/swee/? here; did you mean (\./)?mine/swe\?"):
            fetch(parse_address(text))
    with pytest.raises(InputError, match=r"no folder results/a here \(a Hub address is"):
        parse_address("results/a")


def test_where_to_push_is_said_outright_and_nothing_else_is_overwritten(adapter: Path, tmp_path: Path) -> None:
    from madx.sharing.address import push_address

    for text in ("pub/zzx", "me/many/swe"):
        with pytest.raises(InputError, match=f"Write ./{text} or hub:{text}"):
            push_address(text)
    assert push_address("hub:me/many/swe@next").model_dump() == {
        "kind": "hub", "place": "me/many", "path": "swe", "revision": "next"
    }  # fmt: skip
    with pytest.raises(InputError, match="write hub:OWNER/REPOSITORY"):
        push_address("hub:swe")
    place = push_address(str(tmp_path / "place" / "mine"))
    push(adapter, place)
    push(adapter, place)  # a newer one of the same language
    about = json.loads((adapter / "madx.json").read_text())
    (adapter / "madx.json").write_text(json.dumps({**about, "language": "dan"}))
    with pytest.raises(InputError, match="is there; choose another name, or --force"):
        push(adapter, place)
    push(adapter, place, force=True)
    (row,) = json.loads((tmp_path / "place" / "index.json").read_text())["adapters"]
    assert row["language"] == "dan"
