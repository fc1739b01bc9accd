"""Which encoder: a name that a person writes, resolved to something that can be loaded and a digest that names it.

No torch, no transformers: a plan needs only this.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from madx.config import PLACE, Frozen, InputError, digest, file_digest, first_line

BUNDLED = Path(__file__).parent / "mini"
WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "model.npz",
)  # fmt: skip
SETTINGS = (".json", ".model", ".txt")  # what a configuration and a tokenizer are made of
# Hub ids are known by many short names; these are the ones that `madx models` lists.
KNOWN = {
    "mini": "bundled: a student of multilingual E5-small, 92 languages, 6 layers x 384",
    "FacebookAI/xlm-roberta-base": "XLM-R, 100 languages, 12 layers x 768",
    "FacebookAI/xlm-roberta-large": "XLM-R, 100 languages, 24 layers x 1024",
    "google-bert/bert-base-multilingual-cased": "mBERT, 104 languages, 12 layers x 768",
    "distilbert/distilbert-base-multilingual-cased": "distilled mBERT, 6 layers x 768",
    "microsoft/mdeberta-v3-base": "mDeBERTa, 100 languages, 12 layers x 768",
    "jhu-clsp/mmBERT-small": "mmBERT, 1,833 languages, 22 layers x 384",
    "jhu-clsp/mmBERT-base": "mmBERT, 1,833 languages, 22 layers x 768",
    "EuroBERT/EuroBERT-210m": "EuroBERT, 15 languages, 12 layers x 768",
}

# what an encoder's pretraining is called in a language's `seen_by`
SEEN_AS = {"xlm-roberta": "xlm-r", "mdeberta": "xlm-r", "multilingual-cased": "mbert", "mmbert": "mmbert"}


def seen_as(name: str) -> str | None:
    """None: which languages the encoder has seen isn't known."""
    last = name.rsplit("/", 1)[-1].lower()
    return "mini" if name == "mini" else next((group for part, group in SEEN_AS.items() if part in last), None)


class EncoderRef(Frozen):
    """A resolved encoder. The digests name what is computed with it."""

    name: Annotated[str, PLACE]
    digest: str  # of the weights or of the Hub's commit
    settings: str | None = None  # of a local encoder's configuration and tokenizer; a commit covers them
    revision: Annotated[str | None, PLACE] = None  # the Hub's commit: what is loaded is what the digest names
    folder: Annotated[str | None, PLACE] = None  # where it lies, if it is local
    precision: Literal["fp32", "bf16"] = "fp32"  # of its matrix products

    @property
    def path(self) -> str:
        return self.folder or self.name

    @property
    def about(self) -> dict[str, Any]:
        """For the manifest of what was made on it: `base_model`."""
        return self.model_dump(include={"name", "digest", "revision"})

    @property
    def is_here(self) -> bool:
        """Whether its weights are on this machine already."""
        if self.folder is not None:
            return True
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(self.name, file, revision=self.revision) for file in WEIGHTS)
        return any(isinstance(path, str) for path in found)


def resolve_encoder(name: str, revision: str | None = None) -> EncoderRef:
    """`mini`, a local directory, or a Hub id at a revision. Raises InputError where there are no weights."""
    folder = BUNDLED if name == "mini" else Path(name)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise InputError(f"model '{name}': {folder} has no config.json")
        beside = {f.name: file_digest(f) for f in folder.iterdir() if f.suffix in SETTINGS}
        return EncoderRef(
            name=name, digest="sha256:" + _weights_digest(name, folder), settings=digest(beside), folder=str(folder)
        )
    if name.startswith((".", "/", "~")):
        raise InputError(f"model '{name}': no such directory")
    commit = _hub_commit(name, revision)
    return EncoderRef(name=name, digest=f"commit:{commit}", revision=commit)


def _weights_digest(name: str, folder: Path) -> str:
    """Of the weights' file; where they are in shards, of the index and of every shard that it names."""
    found = next((folder / file for file in WEIGHTS if (folder / file).exists()), None)
    if found is None:
        raise InputError(f"model '{name}': {folder} has no weights ({', '.join(WEIGHTS)})")
    if found.suffix != ".json":
        return file_digest(found)
    try:
        shards = sorted(set(json.loads(found.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"model '{name}': {found} is no index of shards") from None
    for shard in shards:
        if not (folder / shard).is_file():
            raise InputError(f"model '{name}': {found} names {shard}, which is not there")
    return digest([file_digest(found), *(file_digest(folder / shard) for shard in shards)])


def _hub_commit(name: str, revision: str | None) -> str:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi().model_info(name, revision=revision).sha or ""
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise InputError(f"model '{name}': {first_line(error)}") from None
    except Exception as error:  # no network: what is in the cache will do
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
        raise InputError(f"model '{name}': not a directory, and the Hub can't be asked: {first_line(error)}") from None
