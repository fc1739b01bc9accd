"""A frozen pretrained encoder with places for adapters: the only object that holds a transformers model."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter, AdapterBank
from madx.adapters.setup import Parallel, Setup, Stack
from madx.adapters.spec import BottleneckSpec, Matrix
from madx.device import Precision, choose_precision
from madx.encoders.changes import Change
from madx.encoders.families import family_of
from madx.encoders.lm_head import Decoder, LmHead, summed_cross_entropy
from madx.encoders.load import load_model, load_pooler, load_tokenizer
from madx.encoders.lower import Layers, Lower
from madx.encoders.packed import ATTENTION, Packed
from madx.encoders.reference import EncoderRef
from madx.encoders.sites import Positions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Encoder:
    """`hidden`, `masked_lm_logits` and `masked_lm_loss` run the encoder with the active adapters."""

    def __init__(
        self,
        model: nn.Module,
        ref: EncoderRef,
        device: torch.device,
        precision: Literal["fp32", "bf16"] = "fp32",
        lm_head_is_trained: bool = True,
        pack: bool = True,
    ):
        """`pack`: batches without their padding where the processor gains by it; it changes how the model attends."""
        config: Any = model.config
        self.model, self.ref, self.device, self.precision = model.to(device), ref, device, precision
        self.model_type: str = config.model_type
        self.lm_head_is_trained = lm_head_is_trained
        self.family = family_of(self.model_type, ref.name)
        self.base: nn.Module = model.base_model  # type: ignore[assignment]
        self.prefix: str = model.base_model_prefix  # type: ignore[assignment]
        self.width: int = config.hidden_size
        self.num_layers: int = config.num_hidden_layers
        self.vocabulary: int = config.vocab_size
        # positions that a tokenised text may fill, special tokens included
        self.max_length: int = config.max_position_embeddings - self.family.first_position(config)
        self.adapters = AdapterBank(self.width, self.num_layers, self.family.embedding_width(config))
        self.changes: dict[str, Change] = {}  # of its weights, or beside its linear layers
        self.setups: dict[str, Setup] = {}  # names for several adapters at once
        self.processes = 1  # that share an update's batch, each some parts of it
        self._changed_by: tuple[str, ...] = ()
        self.has_types = self.family.has_types
        self.pad_id: int = config.pad_token_id or 0
        self.can_pack = pack and self.device.type == "cpu" and config._attn_implementation == "sdpa"
        if self.device.type == "cuda":
            torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew, for a third of a second, at every new shape
        if self.can_pack:
            config._attn_implementation = ATTENTION
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self.family.prepare(self.base)
        self.sites = self.family.sites(self.base)
        for site in self.sites:
            site.attach(self.adapters)
        self.embeddings = self.family.embeddings(self.base)
        self.embeddings.register_forward_hook(lambda _, args, out: self.adapters.embed(out))
        self.layers = Layers(self.base, self.family.layers)
        self.last_layer = self.family.last_layer(self.base)
        self.last_layer.attach()
        self._train(False)

    def add(self, name: str, spec: BottleneckSpec) -> Adapter:
        """A new adapter with fresh weights, to be trained; not active yet."""
        return self.adapters.add(name, spec).to(self.device)

    def activate(self, *setup: Setup) -> None:
        """Stack these adapters, first to last, or take one composition of them; none: the bare encoder.

        A name may also be one of `setups` or of `changes`, alone or in the stack. KeyError: no such adapter.
        """
        parts = [child for part in setup for child in self._in_turn(part)]
        on = tuple(part for part in parts if isinstance(part, str) and part in self.changes)
        if on != self._changed_by:
            for name in reversed(self._changed_by):
                self.changes[name].off()
            self._changed_by = on
            for name in on:
                self.changes[name].on()
        self.adapters.activate(*(part for part in parts if part not in on))

    def linears(self, *matrices: Matrix) -> dict[str, nn.Linear]:
        """Of every layer, by path in `base`."""
        paths = dict.fromkeys(self.family.linears[matrix] for matrix in matrices)
        full = [f"{self.family.layers}.{layer}.{path}" for layer in range(self.num_layers) for path in paths]
        return {path: self.base.get_submodule(path) for path in full}  # type: ignore[misc]

    def _in_turn(self, setup: Setup) -> list[Setup]:
        """What a stack's name stands for, first to last, or a stack itself."""
        setup = self.setups.get(setup, setup) if isinstance(setup, str) else setup
        if isinstance(setup, Stack):
            return [part for child in setup.children for part in self._in_turn(child)]
        return [setup]

    @functools.cached_property
    def lm_head(self) -> LmHead:
        """Its masked-LM head in two parts."""
        return self.family.lm_head(self.model)

    @property
    def micro_tokens(self) -> int:
        """Tokens that are run at once: enough to keep the processor busy; more would only cost memory."""
        return 32768 if self.device.type == "cuda" else max(256, 2**19 // self.width)

    @property
    def many_tokens(self) -> int:
        """The same where more pay: the vocabulary's product wants many rows, and evaluation keeps no gradients."""
        return self.micro_tokens if self.device.type == "cuda" else 2 * self.micro_tokens

    @property
    def packs(self) -> bool:
        """Whether `hidden` with `read` costs as much as a batch's real tokens, its padding not counted.

        Whichever adapters are active: batches are made in a thread, while setups change from batch to batch.
        """
        return self.can_pack and not self.adapters.has_gates

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The encoder's own. Raises InputError where there is none, or one that can't be the encoder's."""
        return load_tokenizer(self.ref, self.vocabulary)

    @functools.cached_property
    def pooler(self) -> nn.Module:
        """BERT's pooler over the first token, which a masked-LM model leaves out; some published heads read it.

        Raises InputError where the checkpoint has none: a new one would be random.
        """
        return load_pooler(self.ref).to(self.device).requires_grad_(False)

    def hidden(
        self,
        ids_BT: Tensor,
        mask_BT: Tensor | None = None,
        types_BT: Tensor | None = None,
        read: Positions | None = None,
        lower: Lower | None = None,
    ) -> Tensor:
        """Last hidden states, (B, T) to (B, T, D). No mask: every position is real.

        With `read`, rows and columns of M different positions, the states there alone, (M, D): the same for less work.
        With `lower`, from `lower_states`, the layers below are not run.
        """
        inputs, read, lower = self._inputs(ids_BT, mask_BT, types_BT, read, lower)
        return self._states(inputs, read, lower)

    def states_by_layer(self, ids_BT: Tensor, mask_BT: Tensor | None, read: Positions) -> list[Tensor]:
        """Every layer's output at M positions, (M, D) each; the last is what `hidden` gives there."""
        inputs, places, _ = self._inputs(ids_BT, mask_BT, None, read, None)
        with self.layers.outputs() as below:
            last_MD = self._states(inputs, places, None)
        return [*(states_BTD[places] for states_BTD in below), last_MD]

    def _inputs(
        self,
        ids_BT: Tensor,
        mask_BT: Tensor | None,
        types_BT: Tensor | None,
        read: Positions | None,
        lower: Lower | None,
    ) -> tuple[dict[str, Any], Positions | None, Lower | None]:
        """What the transformers model is called with, and where in that the positions and lower states are."""
        if isinstance(self.adapters.active, Parallel):  # a copy of the batch for every child
            copies = len(self.adapters.active.children)
            ids_BT = ids_BT.repeat(copies, 1)
            mask_BT = None if mask_BT is None else mask_BT.repeat(copies, 1)
            types_BT = None if types_BT is None else types_BT.repeat(copies, 1)
        inputs: dict[str, Any] = {"input_ids": ids_BT, "attention_mask": mask_BT}
        if types_BT is not None:
            inputs["token_type_ids"] = types_BT
        if read is not None and mask_BT is not None and self.can_pack and self.adapters.is_position_wise:
            packed = Packed.of(mask_BT)
            inputs = {name: packed.row(value) for name, value in inputs.items() if name != "attention_mask"}
            inputs["attention_mask"] = self.family.packed_mask
            inputs["position_ids"] = packed.row(self.family.positions(self.embeddings, ids_BT))
            inputs["groups"] = packed.groups
            read = packed.places(read)
            lower = None if lower is None else Lower(lower.layers, packed.row(lower.states_BTD))
        return inputs, read, lower

    def _states(self, inputs: dict[str, Any], read: Positions | None, lower: Lower | None) -> Tensor:
        self.last_layer.read = read if self.adapters.is_position_wise else None
        try:
            with self.autocast(), self.layers.only_above(lower):
                states: Tensor = self.base(**inputs).last_hidden_state
        finally:
            kept, self.last_layer.read = self.last_layer.read, None
        if read is None:
            return states
        return states[0] if kept is not None and self.last_layer.at != "around" else states[read]

    @torch.no_grad()
    def lower_states(self, count: int, ids_BT: Tensor, mask_BT: Tensor | None, types_BT: Tensor | None) -> Lower:
        """What enters layer `count` (from 0), without dropout: to be given to `hidden` again and again."""
        with self.evaluating(), self.layers.only_below(count) as found:
            self.hidden(ids_BT, mask_BT, types_BT)
        return Lower(count, found[0])

    def autocast(self) -> torch.autocast:
        """Matrix products in the encoder's precision; weights, sums and what is trained stay in fp32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @contextmanager
    def training(self) -> Iterator[None]:
        """Within: model and adapters in training mode. Frozen dropout stays on in training, as in the peer."""
        with self._in_mode(True):
            yield

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within: model and adapters in evaluation mode: nothing drops out, no fusion cools."""
        with self._in_mode(False):
            yield

    @contextmanager
    def _in_mode(self, training: bool) -> Iterator[None]:
        before = self.model.training
        self._train(training)
        try:
            yield
        finally:
            self._train(before)

    def _train(self, mode: bool) -> None:
        """The one place where a mode is set, so that model and adapters are in the same one."""
        self.model.train(mode)
        self.adapters.train(mode)

    @contextmanager
    def lent(self, *parameters: nn.Parameter) -> Iterator[None]:
        """Within, it is one user's, in evaluation mode at first. After: frozen, bare, and `parameters` as they were."""
        before = [p.detach().clone() for p in parameters]
        try:
            self._train(False)
            yield
        finally:
            self.clear()
            for parameter, value in zip(parameters, before, strict=True):
                parameter.data.copy_(value)
                parameter.requires_grad_(False)
                parameter.grad = None

    def clear(self) -> None:
        """No adapters, evaluation mode."""
        self.activate()
        for change in self.changes.values():
            change.drop()
        self.changes.clear()
        self.setups.clear()
        self.adapters.clear()
        self._train(False)

    @contextmanager
    def decoder_apart(self) -> Iterator[None]:
        """Within, the masked-LM head's decoder is what the embeddings are now, whatever becomes of them."""
        tied = self.lm_head.weight
        self.lm_head.weight = nn.Parameter(tied.detach().clone(), requires_grad=False)
        try:
            yield
        finally:
            self.lm_head.weight = tied

    def masked_lm_logits(self, states_MD: Tensor) -> Tensor:
        """Logits over the vocabulary at the given positions only, (M, D) to (M, V)."""
        return nn.functional.linear(self.lm_head.states(states_MD, self.adapters.unembed), *self.lm_head.decoder)

    def masked_lm_loss(self, states_MD: Tensor, targets_M: Tensor, decoder: Decoder | None = None) -> Tensor:
        """Summed cross-entropy at the given positions, over the vocabulary or `decoder`'s rows of it."""
        with self.autocast():
            states_MD = self.lm_head.states(states_MD, self.adapters.unembed)
            head, copy = (self.lm_head.decoder, self.lm_head.copy) if decoder is None else (decoder, None)
            return summed_cross_entropy(states_MD, head, targets_M, copy)


def load_encoder(ref: EncoderRef, device: torch.device, precision: Precision = "auto") -> Encoder:
    """The untouched transformers model in fp32, frozen, with hooks. `precision`: of its matrix products.

    Raises InputError in one line.
    """
    chosen = choose_precision(precision, device)
    model, head_is_there = load_model(ref)
    return Encoder(model, ref, device, chosen, head_is_there)
