"""Which encoder it is: weights, configuration and tokenizer; not where they lie, nor what is written about them."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from tiny_encoders import make_encoder

from madx.config import InputError, digest
from madx.encoders.reference import resolve_encoder


def test_an_encoder_with_another_configuration_or_tokenizer_is_another_one(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "base", "xlm-roberta")
    first = resolve_encoder(str(folder))
    shutil.copytree(folder, tmp_path / "moved")
    (tmp_path / "moved" / "README.md").write_text("another text")
    assert digest(resolve_encoder(str(tmp_path / "moved"))) == digest(first)
    for number, file in enumerate(("config.json", "tokenizer_config.json")):
        changed = tmp_path / f"changed-{number}"
        shutil.copytree(folder, changed)
        values = json.loads((changed / file).read_text())
        (changed / file).write_text(json.dumps(values | {"hidden_dropout_prob": 0.3}))
        other = resolve_encoder(str(changed))
        assert other.digest == first.digest  # an adapter fits weights
        assert digest(other) != digest(first)


def test_a_hub_encoder_is_loaded_at_the_commit_that_its_digest_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the branch, which may have moved by then."""
    commits = {None: "c0ffee", "v2": "beef"}

    class Info:
        def __init__(self, sha: str) -> None:
            self.sha = sha

    monkeypatch.setattr(HfApi, "model_info", lambda self, name, revision: Info(commits[revision]))
    for revision, commit in commits.items():
        ref = resolve_encoder("someone/encoder", revision)
        assert (ref.name, ref.digest, ref.revision) == ("someone/encoder", f"commit:{commit}", commit)


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_a_replaced_shard_is_another_encoder(tmp_path: Path, index: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / index).write_text('{"weight_map": {"a": "one.bin", "b": "two.bin", "c": "one.bin"}}')
    with pytest.raises(InputError, match=r"names one\.bin, which is not there"):
        resolve_encoder(str(tmp_path))
    for name in ("one.bin", "two.bin"):
        (tmp_path / name).write_bytes(name.encode())
    first = resolve_encoder(str(tmp_path))
    (tmp_path / "two.bin").write_bytes(b"replaced")
    assert digest(resolve_encoder(str(tmp_path))) != digest(first)
    (tmp_path / index).write_text("[]")
    with pytest.raises(InputError, match="is no index of shards"):
        resolve_encoder(str(tmp_path))
