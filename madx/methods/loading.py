"""What a folder may hold, by the word that its manifest and models.json use, and what loads it."""

from madx.config import InputError, nearest
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.method import Method
from madx.methods.mixture import Mixture
from madx.methods.sparse import ChangedWeights

_LOADED_BY: dict[str, Method] = {
    method.what: method for method in (BottleneckAdapter(), Full(), ChangedWeights(), Mixture())
}


def loaded_by(what: str, where: str) -> Method:
    """A method whose `load` and `retarget` serve what such a folder holds. Raises InputError."""
    if what not in _LOADED_BY:
        raise InputError(f"{where}: holds '{what}'{nearest(what, list(_LOADED_BY))}")
    return _LOADED_BY[what]
