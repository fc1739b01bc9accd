"""The adapters of one encoder, by name, outside the model: swapping a language is setting a value."""

from torch import Tensor, nn

from madx.adapters.bottleneck import Bottleneck
from madx.adapters.invertible import Glow, Nice, build_invertible
from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec, Place


class Adapter(nn.Module):
    """All modules of one adapter: bottlenecks by place and layer, and the invertible part."""

    def __init__(self, spec: BottleneckSpec, width: int, num_layers: int, embedding_width: int) -> None:
        super().__init__()
        beyond = [i for i in spec.leave_out if not 0 <= i < num_layers]
        if beyond:
            raise ValueError(f"leave_out names layer {beyond[0]}, but the encoder has layers 0 to {num_layers - 1}")
        self.spec = spec
        self.bottlenecks = nn.ModuleDict(
            {
                f"{place}_{layer}": Bottleneck(width, spec.bottleneck(width, layer), spec)
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
        self.adapters = nn.ModuleDict()
        self.active: Stack | None = None
        self.skip_layers: frozenset[int] = frozenset()  # AdapterDrop: bypassed, the modules stay

    def add(self, name: str, spec: BottleneckSpec) -> Adapter:
        """A new adapter with fresh weights; one of the same name is replaced."""
        adapter = Adapter(spec, self.width, self.num_layers, self.embedding_width)
        self.put(name, adapter)
        return adapter

    def put(self, name: str, adapter: Adapter) -> None:
        """An adapter that is there already. Raises ValueError for a name that no module can have."""
        if "." in name or not name:
            raise ValueError(f"adapter name '{name}': names are not empty and have no '.'")
        self.adapters[name] = adapter

    def get(self, name: str) -> Adapter:
        return self.adapters[name]  # type: ignore[return-value]

    def activate(self, *names: str) -> None:
        """Stack these adapters, first to last; none: the bare encoder. Raises KeyError for an unknown name."""
        for name in names:
            if name not in self.adapters:
                raise KeyError(f"no adapter '{name}'; there are: {', '.join(self.adapters) or 'none'}")
        self.active = Stack(*names) if names else None

    def at(self, layer: int, place: Place) -> list[Bottleneck]:
        """The active bottlenecks of a site, in order; an adapter without one here is passed over."""
        if self.active is None or layer in self.skip_layers:
            return []
        found = [self.get(name).at(layer, place) for name in self.active.names]
        return [bottleneck for bottleneck in found if bottleneck is not None]

    @property
    def invertible(self) -> Nice | Glow | None:
        """The invertible part of the first adapter of the active setup, if it has one."""
        return self.get(self.active.names[0]).invertible if self.active else None

    def embed(self, embedded_BTE: Tensor) -> Tensor:
        return embedded_BTE if self.invertible is None else self.invertible(embedded_BTE)

    def unembed(self, state_BTE: Tensor) -> Tensor:
        """In front of the tied output embedding (Pfeiffer et al. 2020, section 3.3)."""
        return state_BTE if self.invertible is None else self.invertible.inverse(state_BTE)
