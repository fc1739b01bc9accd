"""Mutated adapter folders: each loads what it says, or is refused with one line. Nothing else, ever.

`MADX_FUZZ=10000 pytest tests/formats/test_fuzz.py` runs as many mutations; a test run takes 300.
"""

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import make_encoder

from madx.adapters.heads import Head, HeadSpec
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.heads import load_head, save_head
from madx.formats.manifest import seal

COUNT = int(os.environ.get("MADX_FUZZ", "300"))
PARTS = 10
VALUES = [
    None,
    True,
    -1,
    0,
    0.5,
    1e308,
    10**30,
    "",
    "x",
    "../x",
    "relu",
    [],
    [0, 99],
    {},
    {"default": 0},
    {"a": "b"},
    "\u0000",
]
BOOM = Path("/tmp") / f"madx-fuzz-{os.getpid()}"


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (os.system, (f"touch {BOOM}",))


def json_mutation(path: Path, rng: random.Random) -> None:
    value = json.loads(path.read_text())
    table = value["config"] if rng.random() < 0.7 and isinstance(value.get("config"), dict) else value
    key = rng.choice(sorted(table))
    match rng.randrange(4):
        case 0:
            del table[key]
        case 1:
            table[key + "x"] = table.pop(key)
        case 2:
            table[key] = rng.choice(VALUES)
        case _:
            table[rng.choice(["extra", "architecture", "type", "../k"])] = rng.choice(VALUES)
    path.write_text(json.dumps(value))


def byte_mutation(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    match rng.randrange(5):
        case 0:
            content = content[: rng.randrange(len(content))]
        case 1:
            for _ in range(rng.randint(1, 8)):
                content[rng.randrange(len(content))] = rng.randrange(256)
        case 2:
            content[:8] = rng.choice([10 << 30, 2**63, 0, len(content)]).to_bytes(8, "little")
        case 3:
            start = rng.randrange(len(content))
            del content[start : start + rng.randint(1, 64)]
        case _:
            content = bytearray(rng.randbytes(rng.randrange(200)))
    path.write_bytes(bytes(content))


def tensor_mutation(path: Path, rng: random.Random) -> None:
    tensors = load_file(path)
    key = rng.choice(sorted(tensors))
    tensor = tensors[key]
    match rng.randrange(7):
        case 0:
            del tensors[key]
        case 1:
            tensors[key.replace("adapter", "adapted", 1) + rng.choice(["", "x", "/../y"])] = tensors.pop(key)
        case 2:
            tensors[key] = torch.zeros([max(1, n + rng.choice([-1, 1, 7])) for n in tensor.shape])
        case 3:
            tensors[key] = tensor.to(rng.choice([torch.int64, torch.bool, torch.complex64]))
        case 4:
            tensors[key] = tensor.clone()
            tensors[key].view(-1)[0] = rng.choice([float("nan"), float("inf"), float("-inf")])
        case 5:
            tensors["roberta.encoder.layer.0.output.dense.weight"] = torch.zeros(2)
        case _:
            tensors[key] = tensor[None].clone()
    save_file(tensors, path)


def pickle_mutation(folder: Path, rng: random.Random) -> None:
    (folder / "adapter.safetensors").unlink()
    path = folder / "pytorch_adapter.bin"
    match rng.randrange(3):
        case 0:
            path.write_bytes(pickle.dumps({"a": Bomb()}))
        case 1:
            torch.save({"a": Bomb()}, path)
        case _:
            torch.save(rng.choice([[1, 2], {"a": 3}, {3: torch.zeros(1)}, "text"]), path)


def manifest_mutation(path: Path, rng: random.Random) -> None:
    about = json.loads(path.read_text())
    match rng.randrange(4):
        case 0:
            about["files"][rng.choice(["../x", "/etc/passwd", "done.json"])] = "0" * 64
        case 1:
            about["files"] = rng.choice(VALUES)
        case 2:
            about["base_model"] = rng.choice([{"digest": "sha256:0"}, "x", [], {"digest": 3}, {}])
        case _:
            about["files"][rng.choice(sorted(about["files"]))] = rng.choice([None, 3, "0" * 64])
    path.write_text(json.dumps(about))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = make_encoder(tmp_path_factory.mktemp("fuzz"), "xlm-roberta")
    return load_encoder(resolve_encoder(str(folder)), torch.device("cpu"))


@pytest.fixture(scope="module")
def whole(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    encoder.adapters.add("swe", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    save_adapter(folder, encoder, "swe")
    save_head(folder, encoder, Head(HeadSpec(head_type="tagging", num_labels=3), encoder.width), "swe")
    seal(folder, {"kind": "language adapter", "base_model": {"digest": encoder.ref.digest}})
    encoder.clear()
    return folder


@pytest.mark.parametrize("part", range(PARTS))
def test_a_mutated_folder_loads_what_it_says_or_is_refused(
    part: int, whole: Path, encoder: Encoder, tmp_path: Path
) -> None:
    load_adapter(whole, encoder)
    right = {k: v.clone() for k, v in encoder.adapters.get("swe").state_dict().items()}
    refused = 0
    for number in range(part, COUNT, PARTS):
        rng = random.Random(number)
        folder = tmp_path / "box" / "adapter"
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(whole, folder)
        kind = rng.choice(["config", "head", "bytes", "tensors", "pickle", "manifest"])
        if kind != "manifest" and rng.random() < 0.8:  # else the digests alone would catch everything
            (folder / "madx.json").unlink()
        match kind:
            case "config":
                json_mutation(folder / "adapter_config.json", rng)
            case "head":
                json_mutation(folder / "head_config.json", rng)
            case "bytes":
                byte_mutation(rng.choice(sorted(folder.iterdir())), rng)
            case "tensors":
                tensor_mutation(folder / rng.choice(["adapter.safetensors", "model_head.safetensors"]), rng)
            case "pickle":
                pickle_mutation(folder, rng)
            case "manifest":
                manifest_mutation(folder / "madx.json", rng)
        encoder.clear()
        before = sorted(p.name for p in folder.iterdir())
        try:
            name, adapter = load_adapter(folder, encoder)
            load_head(folder, encoder)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error), (number, kind)  # noqa: PT017
        else:
            # what loads has finite weights; an untouched weight file gives the same numbers
            assert all(bool(torch.isfinite(p).all()) for p in adapter.parameters()), (number, kind)
            if kind in ("config", "head", "manifest") and adapter.state_dict().keys() == right.keys():
                assert all(torch.equal(v, right[k]) for k, v in adapter.state_dict().items()), (number, kind)
        assert sorted(p.name for p in folder.iterdir()) == before
        assert sorted(p.name for p in folder.parent.iterdir()) == ["adapter"]
    assert not BOOM.exists(), "code in a pickle was executed"
    assert 0 < refused < max(2, COUNT // PARTS + 1)
