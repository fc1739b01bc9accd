"""The adapters of one encoder, by name, outside the model: swapping a language is setting a value."""

import torch
from torch import Tensor, nn

from madx.adapters.bottleneck import Bottleneck
from madx.adapters.compacter import new_rule
from madx.adapters.compose import Norm, Passing, SiteModules, composed_output
from madx.adapters.fusion import Fusion, FusionLayer, FusionSpec
from madx.adapters.invertible import Glow, Nice, build_invertible
from madx.adapters.setup import BatchSplit, Composition, Mix, Parallel, Setup, Split, Stack, leaves
from madx.adapters.spec import BottleneckSpec, Place

KEY = "adapter "  # before a name among torch's modules, where `cpu` and `pop`, two languages, have a meaning


def site_of(key: str) -> tuple[Place, int]:
    """Place and layer of a site's key, `<place>_<layer>`."""
    place, layer = key.rsplit("_", 1)
    return ("attention" if place == "attention" else "ffn"), int(layer)


def _splits(setup: Setup) -> bool:
    """Whether any part of it divides the batch or its sequences."""
    if isinstance(setup, str):
        return False
    return isinstance(setup, BatchSplit | Parallel | Split) or any(map(_splits, setup.children))


class Adapter(nn.Module):
    """All modules of one adapter: bottlenecks by place and layer, and the invertible part."""

    def __init__(self, spec: BottleneckSpec, width: int, num_layers: int, embedding_width: int) -> None:
        super().__init__()
        spec = spec.in_layers(num_layers)
        self.spec = spec
        self.phm_rule = new_rule(spec.phm) if spec.phm else None
        self.bottlenecks = nn.ModuleDict(
            {
                f"{place}_{layer}": Bottleneck(width, spec.bottleneck(width, layer), spec, self.phm_rule)
                for layer in range(num_layers)
                if layer not in spec.leave_out
                for place in spec.placement
            }
        )
        self.invertible = (
            build_invertible(spec.invertible, embedding_width, spec.non_linearity) if spec.invertible else None
        )

    def at(self, layer: int, place: Place) -> Bottleneck | None:
        key = f"{place}_{layer}"
        return self.bottlenecks[key] if key in self.bottlenecks else None  # type: ignore[return-value]


class AdapterBank(nn.Module):
    """Named adapters and the setup that is active. With none active the encoder is the base, bit for bit."""

    def __init__(self, width: int, num_layers: int, embedding_width: int) -> None:
        super().__init__()
        self.width, self.num_layers, self.embedding_width = width, num_layers, embedding_width
        self._adapters = nn.ModuleDict()
        self._fusions = nn.ModuleDict()
        self.mixes: dict[str, Tensor] = {}  # by a mixture's name: (1 + layers, adapters), the embeddings' weights first
        self.active: Composition | None = None
        self.skip_layers: frozenset[int] = frozenset()  # bypassed, the modules stay (AdapterHub's)
        self.dropped: dict[str, int] = {}  # AdapterDrop: of an adapter, how many of the lowest layers go without it

    def add(self, name: str, spec: BottleneckSpec) -> Adapter:
        """A new adapter with fresh weights; one of the same name is replaced."""
        adapter = Adapter(spec, self.width, self.num_layers, self.embedding_width)
        self.put(name, adapter)
        return adapter

    def put(self, name: str, adapter: Adapter) -> None:
        """An adapter that is there already. Raises ValueError for a name that no module can have."""
        if "." in name or not name:
            raise ValueError(f"adapter name '{name}': names are not empty and have no '.'")
        self._adapters[KEY + name] = adapter.train(self.training)

    def get(self, name: str) -> Adapter:
        return self._adapters[KEY + name]  # type: ignore[return-value]

    def __contains__(self, name: str) -> bool:
        return KEY + name in self._adapters

    @property
    def names(self) -> list[str]:
        return [key.removeprefix(KEY) for key in self._adapters]

    def add_fusion(self, name: str, spec: FusionSpec, *adapters: str) -> Fusion:
        """A fusion of these adapters, with fresh weights, at the sites where any of them is."""
        sites = dict.fromkeys(key for adapter in adapters for key in self.get(adapter).bottlenecks)
        fusion = Fusion(spec, self.width, [site_of(key) for key in sites])
        self._fusions[KEY + name] = fusion.train(self.training)
        return fusion

    def fusion(self, name: str) -> Fusion | None:
        return self._fusions[KEY + name] if KEY + name in self._fusions else None  # type: ignore[return-value]

    def clear(self) -> None:
        """Nothing active, nothing there."""
        self.activate()
        self._adapters.clear()
        self._fusions.clear()
        self.mixes.clear()
        self.skip_layers = frozenset()
        self.dropped.clear()

    def activate(self, *setup: Setup) -> None:
        """Stack these, first to last, or take the one composition; none: the bare encoder.

        Raises KeyError for an unknown adapter.
        """
        for name in (name for part in setup for name in leaves(part)):
            if name not in self:
                raise KeyError(f"no adapter '{name}'; there are: {', '.join(self.names) or 'none'}")
        first = setup[0] if len(setup) == 1 else None
        self.active = first if first is not None and not isinstance(first, str) else Stack(*setup) if setup else None

    @property
    def has_gates(self) -> bool:
        """Whether any adapter, active or not, has a gate over whole sentences."""
        return any(self.get(name).spec.use_gating for name in self.names)

    @property
    def is_position_wise(self) -> bool:
        """Whether what is active computes every position by itself; gates and what splits see the whole batch."""
        if self.active is None:
            return True
        return not _splits(self.active) and not any(self.get(name).spec.use_gating for name in leaves(self.active))

    def acts(self, layer: int, place: Place) -> bool:
        """Whether any active adapter has a module at this site; where none has, the layer is left alone."""
        if self.active is None or layer in self.skip_layers:
            return False
        return any(self._at(name, layer, place) is not None for name in leaves(self.active))

    def _at(self, name: str, layer: int, place: Place) -> Bottleneck | None:
        return None if layer < self.dropped.get(name, 0) else self.get(name).at(layer, place)

    def output(self, layer: int, place: Place, through: Passing, before: Norm | None, after: Norm | None) -> Tensor:
        """What a site's sub-layer gives with the active adapters in it; norms as in `SiteModules`."""
        assert self.active is not None

        def fusion(name: str) -> FusionLayer | None:
            found = self.fusion(name)
            return None if found is None else found.at(layer, place)

        modules = SiteModules(
            lambda name: self._at(name, layer, place),
            fusion,
            lambda name: self.mixes[name][layer + 1],
            before,
            after,
        )
        return composed_output(self.active, modules, through)

    @property
    def invertible(self) -> Nice | Glow | None:
        """The invertible part of the first adapter of the active setup, if it has one."""
        return self.get(leaves(self.active)[0]).invertible if self.active else None

    def embed(self, embedded_BTE: Tensor) -> Tensor:
        first = self.active.children[0] if isinstance(self.active, Stack) else self.active
        if isinstance(first, Mix):
            inverses = [self.get(leaves(child)[0]).invertible for child in first.children]
            parts = [embedded_BTE if part is None else part(embedded_BTE) for part in inverses]
            return torch.einsum("n,n...->...", self.mixes[first.name][0], torch.stack(parts))
        return embedded_BTE if self.invertible is None else self.invertible(embedded_BTE)

    def unembed(self, state_BTE: Tensor) -> Tensor:
        """In front of the tied output embedding (Pfeiffer et al. 2020, section 3.3). A mixture has no inverse."""
        if self.active is not None and any(isinstance(part, Mix) for part in (self.active, *self.active.children)):
            raise ValueError("a mixture of adapters has no inverse: there is no masked language modelling over it")
        return state_BTE if self.invertible is None else self.invertible.inverse(state_BTE)
