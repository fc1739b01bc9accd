"""Stage one: a language adapter, trained with masked language modelling on monolingual text.

Pfeiffer et al. 2020 (MAD-X), section 3.1 and 3.3: bottleneck and invertible adapter; the encoder stays frozen.
"""

import math
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from madx.adapters.spec import BottleneckSpec
from madx.config import Frozen, InputError, RunError
from madx.corpora.masking import Masked, mask_tokens
from madx.corpora.packing import Blocks
from madx.corpora.parallel import ParallelText
from madx.corpora.prepare import VOCABULARY
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.encoders.lm_head import Decoder
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.card import write_card
from madx.formats.manifest import read_manifest, seal
from madx.formats.tensors import save_tensors
from madx.methods.full import Full
from madx.stages.alignment import PairBatch, SentencePairs, alignment_loss
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.training.fit import Micro, Schedule, fit


class Alignment(Frozen):
    """A language adapter's second aim: the states of another one, on parallel text. See alignment.py."""

    parallel: ParallelText
    toward: "LanguageStage | ImportedAdapter"  # the source language's, frozen
    weight: float  # of the alignment's mean loss beside the masked-LM's
    pairs: int  # in an update


class LanguageStage(Frozen):
    stage: ClassVar[str] = "language"
    version: int = 1
    encoder: EncoderRef
    text: TextStage
    adapter: BottleneckSpec | None  # None: all weights of the encoder (the control `full-target-mlm`)
    schedule: Schedule
    batch_tokens: int
    alignment: Alignment | None = None
    softmax: Literal["full", "corpus"] = "full"  # over the vocabulary, or over the tokens that the text has
    seed: int = 1

    @property
    def subject(self) -> str:
        return self.text.subject

    def run(self, folder: Path, session: Session) -> dict[str, Any]:
        encoder = session.encoder(self.encoder)
        if not encoder.lm_head_is_trained:
            raise InputError(f"model '{self.encoder.name}' has no trained masked-LM head; stage one needs one")
        changed = [*encoder.lm_head.trainable(), *([] if self.adapter else Full().changes(encoder))]
        with encoder.lent(*changed), encoder.training():
            toward = attach_language(self.alignment.toward, encoder, session) if self.alignment else ""
            pairs = SentencePairs(encoder, self.alignment.parallel.pairs()) if self.alignment else None
            parameters = self._attach(encoder)
            corpus = self.text.corpus
            blocks = Blocks(session.folder(self.text) / "train.bin", corpus.block_size)
            held_out = Blocks(session.folder(self.text) / "held_out.bin", corpus.held_out_size)
            vocabulary = None
            if self.softmax == "corpus":
                vocabulary = CorpusVocabulary.of(np.load(session.folder(self.text) / VOCABULARY), encoder)
            steps = self.schedule.steps
            result = fit(
                parameters,
                self.schedule,
                batch=lambda step: self._batch(step, blocks, pairs, encoder),
                summed_loss=lambda part: (
                    alignment_loss(encoder, toward, self.subject, part)
                    if isinstance(part, PairBatch)
                    else masked_lm_loss(encoder, part, vocabulary)
                ),
                evaluate=lambda: held_out_loss(encoder, held_out),
                evaluate_at=sorted({0, *(steps * i // 4 for i in (1, 2, 3)), steps}),
                folder=folder,
                seed=self.seed,
                device=session.device,
                trackers=session.trackers,
                watch=lambda done, total, numbers: session.watch(
                    f"language adapter {self.subject}", done, total, numbers
                ),
            )
            result["trained"] = "language adapter" if self.adapter else "encoder"
            if self.alignment:
                result["aligned_with"] = self.alignment.toward.subject
            before, after = result["evaluations"][0], result["evaluations"][-1]
            result["held_out_before"], result["held_out_after"] = before["held_out_loss"], after["held_out_loss"]
            if not math.isfinite(result["held_out_after"]):
                raise RunError(f"{self.subject}: the held-out loss is not finite; lower language_adapter.learning_rate")
            if result["held_out_after"] >= result["held_out_before"]:
                result["warnings"].append(
                    f"{self.subject}: the adapter did not lower the held-out loss ({result['held_out_before']:.2f} to "
                    f"{result['held_out_after']:.2f}); train longer or give it more text"
                )
            self._save(folder, encoder, session, result)
        return result

    def _attach(self, encoder: Encoder) -> dict[str, nn.Parameter]:
        """The new language adapter, active, and the masked-LM head's dense and norm: what is trained."""
        if self.adapter is None:
            parameters = Full().prepare(encoder, "", self.seed)
        else:
            torch.manual_seed(seed_of("language adapter", self.subject, self.seed))
            adapter = encoder.adapters.add(self.subject, self.adapter).to(encoder.device)
            encoder.adapters.activate(self.subject)
            parameters = {f"adapter.{name}": p for name, p in adapter.named_parameters()}
        parameters.update({f"lm_head.{i}": p for i, p in enumerate(encoder.lm_head.trainable())})
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        return parameters

    def _batch(self, step: int, blocks: Blocks, pairs: SentencePairs | None, encoder: Encoder) -> list[Micro]:
        rows = max(1, self.batch_tokens // self.text.corpus.block_size)
        ids = torch.from_numpy(blocks.batch(step, rows, self.seed))
        masked = masked_for(encoder, ids, seed_of("mask", self.seed, step))
        micros = parts_of(masked, encoder.many_tokens)
        if pairs is not None and self.alignment is not None:
            scale = self.alignment.weight * len(masked.targets_M)  # `fit` divides by the number of targets
            for part_of_pairs in pairs.batch(step, self.alignment.pairs, self.seed, scale, encoder.device):
                real = sum(int((ids != pairs.pad_id).sum()) for ids in part_of_pairs[:2])
                micros.append(Micro(part_of_pairs, 0, real))
        return micros

    def _save(self, folder: Path, encoder: Encoder, session: Session, result: dict[str, Any]) -> None:
        if self.adapter is None:
            Full().save(folder, encoder, "")
            return
        save_adapter(folder, encoder, self.subject)
        head = {str(i): p for i, p in enumerate(encoder.lm_head.trainable())}
        if head:
            save_tensors(folder / "lm_head.safetensors", head)
        seal(folder, self._about(session, result))
        write_card(folder, folder.name)

    def _about(self, session: Session, result: dict[str, Any]) -> dict[str, Any]:
        from importlib.metadata import version

        corpus = self.text.corpus
        return {
            "kind": "language adapter",
            "language": self.subject,
            "base_model": {"name": self.encoder.name, "digest": self.encoder.digest, "revision": self.encoder.revision},
            "corpus": {
                "sources": [s.model_dump(exclude_none=True) for s in corpus.sources],
                "digests": list(corpus.digests),
                **session.result(self.text)["result"],
            },
            "hyper_parameters": {
                "adapter": self.adapter.model_dump() if self.adapter else None,
                **self.schedule.model_dump(),
                "batch_tokens": self.batch_tokens,
                "softmax": self.softmax,
                "block_size": corpus.block_size,
                "seed": self.seed,
            },
            **({"aligned": self._alignment_about(self.alignment)} if self.alignment else {}),
            "held_out_loss": {"before": result["held_out_before"], "after": result["held_out_after"]},
            "versions": {name: version(name) for name in ("madx-adapters", "torch", "transformers")},
        }

    @staticmethod
    def _alignment_about(alignment: Alignment) -> dict[str, Any]:
        return {
            "toward": alignment.toward.subject,
            "parallel": [{"name": f.name, "licence": f.licence} for f in alignment.parallel.files],
            "weight": alignment.weight,
            "pairs": alignment.pairs,
        }


class ImportedAdapter(Frozen):
    """A language adapter that somebody else trained: in stage one's place."""

    stage: ClassVar[str] = "imported"
    encoder: EncoderRef
    language: str
    origin: str  # where its owner published it
    folder: str  # where it lies here
    digests: tuple[str, ...]

    def identity(self) -> dict[str, Any]:
        return {"encoder": self.encoder.identity(), "language": self.language, "digests": list(self.digests)}

    @property
    def subject(self) -> str:
        return self.language

    def run(self, folder: Path, session: Session) -> dict[str, Any]:
        encoder = session.encoder(self.encoder)
        load_adapter(Path(self.folder), encoder, load_as=self.language)
        save_adapter(folder, encoder, self.language)
        about = {"kind": "language adapter", "base_model": {"name": self.encoder.name}, "imported_from": self.origin}
        seal(folder, {**about, **read_manifest(Path(self.folder)), "language": self.language})
        write_card(folder, self.origin)
        return {"imported_from": self.origin, "warnings": []}


def attach_language(step: LanguageStage | ImportedAdapter, encoder: Encoder, session: Session) -> str:
    """Put a finished language adapter into the encoder's bank, frozen; its name."""
    name, adapter = load_adapter(session.folder(step), encoder, load_as=step.subject)
    # frozen: nothing is saved or computed for gradients below the task adapter
    adapter.requires_grad_(False)
    return name


def masked_for(encoder: Encoder, ids_BT: Tensor, seed: int) -> Masked:
    tokenizer = encoder.tokenizer
    special = torch.tensor(tokenizer.all_special_ids)
    mask_id = tokenizer.mask_token_id
    if mask_id is None:
        raise InputError(f"model '{encoder.ref.name}': its tokenizer has no mask token")
    return mask_tokens(ids_BT, special=special, mask_id=mask_id, vocabulary=len(tokenizer), seed=seed)


def parts_of(masked: Masked, tokens: int) -> list[Micro]:
    """Blocks in parts of one size, of at most `tokens` each."""
    rows, length = masked.ids_BT.shape
    at_once = math.ceil(rows / math.ceil(rows / max(1, tokens // length)))
    per_row = masked.chosen_BT.sum(1).tolist()
    micros, start = [], 0
    for row in range(0, rows, at_once):
        targets = sum(per_row[row : row + at_once])
        part = Masked(
            masked.ids_BT[row : row + at_once],
            masked.chosen_BT[row : row + at_once],
            masked.targets_M[start : start + targets],
        )
        micros.append(Micro(part, targets, part.ids_BT.numel()))
        start += targets
    return micros


class CorpusVocabulary(NamedTuple):
    """The tokens that occur in a text, for a cheaper softmax in training; held-out text gets the full one."""

    decoder: Decoder
    place_V: Tensor  # a token's row there; -1 where it doesn't occur

    @staticmethod
    def of(occurring: np.ndarray, encoder: Encoder) -> "CorpusVocabulary":
        ids_R = torch.from_numpy(occurring).long().to(encoder.device)
        place_V = torch.full((encoder.vocabulary,), -1, device=encoder.device)
        place_V[ids_R] = torch.arange(len(ids_R), device=encoder.device)
        return CorpusVocabulary(encoder.lm_head.rows(ids_R), place_V)


def masked_lm_loss(encoder: Encoder, masked: Masked, vocabulary: CorpusVocabulary | None = None) -> Tensor:
    """Summed cross-entropy; the last layer and the logits are computed at the masked positions only."""
    device = encoder.device
    rows_M, columns_M = masked.chosen_BT.nonzero(as_tuple=True)  # here: counting them would make a GPU wait
    states_MD = encoder.hidden(masked.ids_BT.to(device), read=(rows_M.to(device), columns_M.to(device)))
    targets_M = masked.targets_M.to(device)
    if vocabulary is None:
        return encoder.masked_lm_loss(states_MD, targets_M)
    return encoder.masked_lm_loss(states_MD, vocabulary.place_V[targets_M], vocabulary.decoder)


def masked_blocks(encoder: Encoder, blocks: np.ndarray, first: int) -> Masked:
    """Held-out blocks from the `first` on, each masked by its number: the same in batches of any size."""
    each = [
        masked_for(encoder, torch.from_numpy(block[None]), seed_of("held out", number))
        for number, block in enumerate(blocks, first)
    ]
    return Masked(*(torch.cat(parts) for parts in zip(*each, strict=True)))


@torch.no_grad()
def held_out_loss(encoder: Encoder, held_out: Blocks) -> dict[str, float]:
    """Mean masked-LM loss (nats) and perplexity on text that is never trained on, with fixed masks."""
    total, count = 0.0, 0
    size = max(1, encoder.many_tokens // held_out.length)
    with encoder.evaluating():
        for number, rows in enumerate(held_out.in_order(size)):
            masked = masked_blocks(encoder, rows, number * size)
            total += masked_lm_loss(encoder, masked).item()
            count += len(masked.targets_M)
    mean = total / count
    return {"held_out_loss": mean, "perplexity": math.exp(min(mean, 50.0))}
