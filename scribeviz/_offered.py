"""What something cannot do, said by name."""


class NotOfferedError(NotImplementedError):
    """Something was asked for that this model, distribution or result does not offer."""
