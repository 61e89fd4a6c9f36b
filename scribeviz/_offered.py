"""What something cannot do, said by name."""


class NotOfferedError(NotImplementedError):
    """Something was asked for that this model, distribution or result does not offer.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.Prior("learned", ()).distribution()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    scribeviz._offered.NotOfferedError: a prior that is learned from all genes has no ...
    """
