"""The learning rate: linear warm-up, then linear decay to zero."""


def learning_rate(step: int, steps: int, peak: float, warm_up: float) -> float:
    """Rate of update `step` (from 0) of `steps`; `warm_up` is the share of the steps that it takes."""
    rising = max(1, round(steps * warm_up))
    if step < rising:
        return peak * (step + 1) / rising
    return peak * (steps - step) / max(1, steps - rising)
