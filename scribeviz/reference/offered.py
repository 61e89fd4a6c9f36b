"""What a module of the reference's names answers when it is asked for one that is not there."""

from collections.abc import Callable, Sequence
from typing import NoReturn


def only(module: str, offered: Sequence[str], instead: str = "") -> Callable[[str], NoReturn]:
    """Make a module's ``__getattr__``: an error that says what there is.

    Parameters
    ----------
    module
        Its name.
    offered
        The names that it has.
    instead
        A sentence on where to find what is asked for most.
    """

    def missing(name: str) -> NoReturn:
        raise AttributeError(
            f"{module} has no {name!r}; it has {', '.join(offered)}. {instead}".rstrip()
        )

    return missing
