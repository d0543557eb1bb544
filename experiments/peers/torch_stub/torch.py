"""Stands in for torch while zipnn is imported.

zipnn imports torch for its modes on torch tensors. Its byte mode, which is all that `zipnn_peer.py` calls, uses nothing of
it, and torch has gigabytes. This is no torch: whatever is asked of it is there and does nothing."""


class StandIn:
    """Has every attribute, and as a decorator leaves functions as they are."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn()

    def __call__(self, function=None, **settings):
        return function


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return StandIn()
