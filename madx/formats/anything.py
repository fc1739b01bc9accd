"""An adapter's folder of any kind that madx computes: AdapterHub's (bottlenecks, Compacter, LoRA, IA3) or PEFT's."""

from pathlib import Path

from madx.encoders.encoder import Encoder
from madx.foreign import checked_name, read_json_object
from madx.formats.adapterhub import CONFIG, load_adapter
from madx.formats.manifest import check
from madx.formats.peer_lora import load_peer_lora
from madx.formats.peer_prefix import load_peer_prefix
from madx.formats.peer_prompt import load_peer_prompt
from madx.formats.peer_union import load_peer_union
from madx.formats.peft import load_peft

_READERS = {
    "lora": load_peer_lora, "prefix_tuning": load_peer_prefix, "prompt_tuning": load_peer_prompt,
    "union": load_peer_union,
}  # fmt: skip


def load_anything(folder: Path, encoder: Encoder, load_as: str | None = None) -> str:
    """Read it into the encoder, frozen; its name there, to be made active. Raises InputError.

    PEFT's folders have no name of their own: the folder's stands in.
    """
    path = folder / CONFIG
    about = read_json_object(path)
    config = about.get("config")
    if "peft_type" in about:
        name = load_as or folder.resolve().name
        check(folder, encoder.ref.digest)
        load_peft(folder, encoder, name)
        return name
    if isinstance(config, dict) and (reader := _READERS.get(str(config.get("architecture")))) is not None:
        name = checked_name(about.get("name"), path)
        check(folder, encoder.ref.digest)
        reader(folder, encoder, config, name, load_as or name)
        return load_as or name
    name, adapter = load_adapter(folder, encoder, load_as)
    adapter.requires_grad_(False)
    return name
