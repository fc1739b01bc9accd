"""The best dependency tree of a sentence, from scores of every word for every head."""

import numpy as np


def best_tree(scores_WH: np.ndarray) -> list[int]:
    """The heads of the highest tree with one child of the root (Chu and Liu 1965; Edmonds 1967).

    `scores_WH`: of word w (from 0) for head h (0: root, i: word i - 1), finite. O(W^3) at worst.
    """
    count = len(scores_WH)
    scores = np.full((count + 1, count + 1), -np.inf)
    scores[1:] = scores_WH
    np.fill_diagonal(scores, -np.inf)
    finite = scores[np.isfinite(scores)]
    # an arc from the root costs more than all others can bring: so there is one, as few as a tree can have
    scores[1:, 0] -= 1 + (count + 1) * (finite.max() - finite.min())
    return _arborescence(scores)[1:].tolist()  # type: ignore[no-any-return]


def _arborescence(scores: np.ndarray) -> np.ndarray:
    """Heads of the highest tree that grows from node 0; scores[d, h], node 0 depends on nobody."""
    heads: np.ndarray = scores.argmax(1)
    heads[0] = 0
    cycle = _cycle(heads)
    if cycle is None:
        return heads
    inside = np.zeros(len(scores), dtype=bool)
    inside[cycle] = True
    outside = np.flatnonzero(~inside)
    new = len(outside)  # the cycle as one node, behind the others
    contracted = np.full((new + 1, new + 1), -np.inf)
    contracted[:new, :new] = scores[np.ix_(outside, outside)]
    from_cycle = scores[np.ix_(outside, cycle)]
    contracted[:new, new] = from_cycle.max(1)
    # entering the cycle at a node costs the arc that it had
    entering = scores[np.ix_(cycle, outside)] - scores[cycle, heads[cycle]][:, None]
    contracted[new, :new] = entering.max(0)
    below = _arborescence(contracted)
    for place, node in enumerate(outside):
        parent = below[place]
        heads[node] = cycle[from_cycle[place].argmax()] if parent == new else outside[parent]
    heads[0] = 0
    entered = cycle[entering[:, below[new]].argmax()]
    heads[entered] = outside[below[new]]
    return heads


def _cycle(heads: np.ndarray) -> np.ndarray | None:
    seen = np.zeros(len(heads), dtype=int)  # by which walk
    for start in range(1, len(heads)):
        node = start
        while node and not seen[node]:
            seen[node] = start
            node = heads[node]
        if node and seen[node] == start:
            found = [node]
            while heads[found[-1]] != node:
                found.append(heads[found[-1]])
            return np.array(found)
    return None
