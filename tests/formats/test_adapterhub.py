"""AdapterHub folders: round trips for every family, and refusals of what can't be right or isn't safe."""

import json
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats import tensors
from madx.formats.adapterhub import (
    config_from_spec,
    load_adapter,
    peer_names,
    save_adapter,
    spec_from_config,
)  # fmt: skip
from madx.formats.card import card
from madx.formats.manifest import read_manifest
from madx.formats.tensors import read_tensors
from madx.writing import UMASK

LANGUAGE = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec(), leave_out=(1,))


def saved(folder: Path, encoder: Encoder, spec: BottleneckSpec = LANGUAGE, pickle: bool = False) -> Path:
    encoder.adapters.add("swe", spec)
    save_adapter(folder, encoder, "swe", pickle=pickle)
    return folder


@pytest.mark.parametrize("only_pickle", [False, True])
def test_a_round_trip_keeps_every_bit(encoder: Encoder, tmp_path: Path, only_pickle: bool) -> None:
    saved(tmp_path / "a", encoder, pickle=True)
    wanted = {k: v.clone() for k, v in encoder.adapters.get("swe").state_dict().items()}
    if only_pickle:
        (tmp_path / "a" / "adapter.safetensors").unlink()
    encoder.clear()
    name, adapter = load_adapter(tmp_path / "a", encoder)
    assert (name, adapter.spec) == ("swe", LANGUAGE)
    assert all(torch.equal(v, wanted[k]) for k, v in adapter.state_dict().items())
    save_adapter(tmp_path / "b", encoder, "swe")
    for file in ("adapter_config.json", "adapter.safetensors"):
        if (tmp_path / "a" / file).exists():
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    "spec",
    [
        BottleneckSpec(),
        BottleneckSpec(placement=("attention", "ffn"), original_ln_before=False, non_linearity="swish"),
        BottleneckSpec(parallel=True, scaling="channel", original_ln_before=False, init_weights="mam_adapter"),
        BottleneckSpec(ln_before=True, ln_after=True, use_gating=True, residual_before_ln="post_add"),
        BottleneckSpec(reduction_factor={"0": 2.0, "default": 4.0}, scaling=4.0),
    ],
)
def test_every_configuration_survives(tiny: Encoder, tmp_path: Path, spec: BottleneckSpec) -> None:
    config = config_from_spec(spec, tiny.width)
    assert len(config) == 33
    assert spec_from_config(config, "x") == spec
    saved(tmp_path, tiny, spec)
    assert load_adapter(tmp_path, tiny)[1].spec == spec


def test_keys_without_the_base_prefix_are_read(tiny: Encoder, tmp_path: Path) -> None:
    saved(tmp_path, tiny)
    tensors = load_file(tmp_path / "adapter.safetensors")
    save_file({k.removeprefix("model."): v for k, v in tensors.items()}, tmp_path / "adapter.safetensors")
    load_adapter(tmp_path, tiny)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("pfeiffer", BottleneckSpec()),
        ("pfeiffer+inv[reduction_factor=2]", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec())),
        (
            "seq_bn_inv[reduction_factor=2, inv_adapter_reduction_factor=4.0,leave_out=[1], scaling='learned']",
            BottleneckSpec(
                reduction_factor=2.0, invertible=InvertibleSpec(reduction_factor=4.0), leave_out=(1,), scaling="learned"
            ),
        ),
        ("houlsby[reduction_factor={'0': 2, 'default': 4}]",
         BottleneckSpec(reduction_factor={"0": 2.0, "default": 4.0}, placement=("attention", "ffn"),
                        original_ln_before=False, non_linearity="swish")),
    ],
)  # fmt: skip
def test_a_configuration_by_its_name(tiny: Encoder, tmp_path: Path, name: str, spec: BottleneckSpec) -> None:
    saved(tmp_path, tiny, spec)
    _edit(tmp_path, config=name)
    assert load_adapter(tmp_path, tiny)[1].spec == spec


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())["config"]
    _edit(folder, config={**config, **changes})


def _tensors(folder: Path, change: object) -> None:
    path = folder / "adapter.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/madx-was-here",)


def _malicious(folder: Path) -> None:
    (folder / "adapter.safetensors").unlink()
    (folder / "pytorch_adapter.bin").write_bytes(pickle.dumps({"x": Evil()}))


BAD = {
    "lacks the tensor": lambda f: _tensors(f, lambda t: t.pop(next(iter(t)))),
    "unexpected tensor": lambda f: _tensors(f, lambda t: t.update({"model.layers.9.x": torch.zeros(1)})),
    "has shape": lambda f: _tensors(f, lambda t: t.update({next(iter(t)): torch.zeros(1, 1)})),
    "not finite": lambda f: _tensors(f, lambda t: t[next(iter(t))].fill_(float("nan"))),
    "floating point": lambda f: _tensors(f, lambda t: t.update({next(iter(t)): torch.zeros(1, dtype=torch.int64)})),
    "header claims": lambda f: (f / "adapter.safetensors").write_bytes(struct.pack("<Q", 10 << 30) + b"{}"),
    "not a readable safetensors": lambda f: (f / "adapter.safetensors").write_bytes(b"\x08" + b"\0" * 7 + b"nonsense"),
    "neither adapter.safetensors": lambda f: (f / "adapter.safetensors").unlink(),
    "more than weights": _malicious,
    "not JSON": lambda f: (f / "adapter_config.json").write_text("{"),
    "no such file": lambda f: (f / "adapter_config.json").unlink(),
    "'name' is missing": lambda f: _edit(f, name=None),
    "made for model_type bert": lambda f: _edit(f, model_type="bert"),
    "made for hidden_size 768": lambda f: _edit(f, hidden_size=768),
    "configuration 'nonsense'": lambda f: _edit(f, config="nonsense"),
    "unknown key 'reduction_facto', did you mean": lambda f: _edit(f, config="pfeiffer[reduction_facto=2]"),
    "not key=value": lambda f: _edit(f, config="pfeiffer[__import__('os').getcwd()]"),
    "'1.0' is not a number": lambda f: _config(f, scaling="1.0"),
    "'2' is not a number": lambda f: _config(f, reduction_factor="2"),
    "unknown non_linearity 'rellu', did you mean 'relu'": lambda f: _config(f, non_linearity="rellu"),
    "config lacks 'mh_adapter'": lambda f: _edit(f, config={}),
    "architecture 'lora'": lambda f: _edit(f, config={"architecture": "lora"}),
    "is no name": lambda f: _edit(f, name="../../x.y"),
}


@pytest.mark.parametrize("message", sorted(BAD))
def test_what_cannot_be_right_is_refused_in_one_line(tiny: Encoder, tmp_path: Path, message: str) -> None:
    saved(tmp_path, tiny)
    tiny.clear()
    BAD[message](tmp_path)
    with pytest.raises(InputError) as error:
        load_adapter(tmp_path, tiny)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not tiny.adapters.names
    assert not Path("/tmp/madx-was-here").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_claims_terabytes_is_refused_before_memory_is_asked_for(
    tiny: Encoder, tmp_path: Path, zipped: bool
) -> None:
    folder = saved(tmp_path, tiny)
    (folder / "adapter.safetensors").unlink()
    (folder / "madx.json").unlink(missing_ok=True)
    for tensor in (torch.zeros(1).expand(10**13), torch.zeros(4).as_strided((10**6, 10**6), (0, 0))):
        torch.save({"a": tensor}, folder / "pytorch_adapter.bin", _use_new_zipfile_serialization=zipped)
        assert (folder / "pytorch_adapter.bin").stat().st_size < 4000
        with pytest.raises(InputError, match="its tensors claim"):
            load_adapter(folder, tiny)


def test_a_pickle_that_names_one_tensor_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name becomes a tensor of its own."""
    one = torch.ones(1000)
    torch.save({f"t{number}": one for number in range(50)}, tmp_path / "pytorch_adapter.bin")
    assert len(read_tensors(tmp_path, "adapter.safetensors", "pytorch_adapter.bin")) == 50
    monkeypatch.setattr(tensors, "MAX_REPEATED", 40 * 4000)
    with pytest.raises(InputError, match="names the same tensors again and again"):
        read_tensors(tmp_path, "adapter.safetensors", "pytorch_adapter.bin")


def test_a_pickle_that_claims_more_than_its_file_holds_is_refused(tiny: Encoder, tmp_path: Path) -> None:
    folder = saved(tmp_path, tiny, pickle=True)
    (folder / "adapter.safetensors").unlink()
    path = folder / "pytorch_adapter.bin"
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    torch.save({"a": torch.zeros(64)}, tmp_path / "one.bin")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for key, content in entries.items():
            packed.writestr(key, content)
    with pytest.raises(InputError, match="its content is compressed"):
        load_adapter(folder, tiny)
    with zipfile.ZipFile(tmp_path / "one.bin") as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    entries[name] = entries[name].replace(b"K@", b"J\x00\x00\x00\x40")  # 64 numbers: a billion
    with zipfile.ZipFile(path, "w") as plain:
        for key, content in entries.items():
            plain.writestr(key, content)
    with pytest.raises(InputError, match="refused"):
        load_adapter(folder, tiny)


def test_a_refused_pickle_names_what_it_asks_for_and_gives_no_advice(tiny: Encoder, tmp_path: Path) -> None:
    folder = saved(tmp_path, tiny)
    (folder / "adapter.safetensors").unlink()
    torch.save({"x": Evil()}, folder / "pytorch_adapter.bin")
    with pytest.raises(InputError, match="it asks for 'posix.system'") as caught:
        load_adapter(folder, tiny)
    assert "weights_only" not in str(caught.value)


def test_files_have_the_user_s_mode(tiny: Encoder, tmp_path: Path) -> None:
    folder = saved(tmp_path, tiny, pickle=True)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o666 & ~UMASK}


@pytest.mark.parametrize(
    "about",
    [{"kind": 3}, {"language": "../x"}, {"language": ["swe"]}, {"base_model": "mini"}, {"base_model": {"digest": 3}},
     {"held_out_loss": {"before": "x", "after": 1.0}}, {"corpus": {"sources": "x"}}, {"files": []}, {"task": "\x1b[2J"},
     {"corpus": {"sources": [{"licence": 3}]}}, {"versions": {"torch": 2}}, {"language_adapters": "swe"}],
)  # fmt: skip
def test_a_manifest_of_wrong_types_is_one_line(about: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "madx.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=f"madx.json: key '{next(iter(about))}") as caught:
        read_manifest(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_names_are_the_peer_s(tiny: Encoder) -> None:
    adapter = tiny.adapters.add("swe", LANGUAGE)
    names = set(peer_names(tiny, adapter, "swe").values())
    assert "model.layers.0.output_adapters.adapters.swe.adapter_down.0.weight" in names
    assert "model.invertible_adapters.swe.F.0.weight" in names
    assert not any(".layers.1." in name for name in names)


def test_a_card_of_hostile_text_keeps_its_front_matter_and_its_cells() -> None:
    about = {
        "kind": "language adapter", "language": "swe", "base_model": {"name": "/home/me/tiny", "digest": "sha256:0"},
        "corpus": {"sources": [{"name": "[x](javascript:y)", "licence": "<script>a|b"}], "tokens": 3},
        "hyper_parameters": {"steps": "`|x\n---\nlicense: mit"}, "versions": {"a|b": "1"},
    }  # fmt: skip
    text = card(about, "swe")
    assert text.count("\n---\n") == 1
    assert "/home/me" not in text.split("---")[1]
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") == 3, line
    assert "<script" not in text
    assert "](javascript" not in text.replace("\\]", "")
