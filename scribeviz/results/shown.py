"""What every result can show on the screen."""

from typing import Any

from scribeviz._screen import on_screen


class Shown:
    """Opens views of a result; Panel is imported for it, and not before."""

    def view(self, gene: str, counts: Any) -> Any:
        """One gene's counts against what the model expects: a Panel ``Viewer``.

        Parameters
        ----------
        gene
            Its name, id or alias.
        counts
            The data that were fitted, in any form that ``fit`` takes.

        Raises
        ------
        KeyError
            If no gene has that name.
        """
        return on_screen("view")(self, gene, counts)

    def views(self, counts: Any) -> Any:
        """Views that belong together, such as ``results.views(counts).cells()``.

        There are ``gene(name)``, ``genes()``, ``cells()`` and, of a mixture, ``assignments()``.
        Cells that are chosen in one are those of all others.  Judging the fit takes seconds.
        """
        return on_screen("views")(self, counts)
