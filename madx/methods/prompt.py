"""Prompt tuning: vectors in front of the embeddings are trained (Lester et al. 2021, arXiv 2104.08691)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import nn

from madx.encoders.encoder import Encoder
from madx.encoders.prompts import PromptChange
from madx.foreign import read_json_object
from madx.formats.adapterhub import CONFIG
from madx.formats.peer_prompt import load_peer_prompt, save_peer_prompt
from madx.methods.method import Method, Stored

if TYPE_CHECKING:
    from madx.stages.session import Session


class PromptTuning(Method):
    what: ClassVar[str] = "prompt"
    stored: ClassVar[Stored] = "prompt"
    length: int = Field(20, ge=1)

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        torch.manual_seed(seed)
        encoder.changes[name] = change = PromptChange(encoder, self.length).to(encoder.device)
        encoder.activate(name)
        return {"prompt.vectors": change.vectors}

    def sized(self, size: int) -> Method:
        """The number of vectors."""
        return self.model_copy(update={"length": size})

    def count(self, encoder: Encoder) -> int:
        return self.length * encoder.adapters.embedding_width

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_peer_prompt(folder, encoder, name, save_as)

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        about = read_json_object(folder / CONFIG)
        load_peer_prompt(folder, encoder, about.get("config") or {}, str(about.get("name")), name)
