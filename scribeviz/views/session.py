"""What one browser session knows.  Plain ``param``: it runs in a test without a server."""

import os
from pathlib import Path

import param

from scribeviz.runs.store import RunStore
from scribeviz.views.data.data_state import (
    DataState,
)
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.model.model_state import (
    ModelState,
)

PLACES = ("Data", "Model", "Fit", "Explore", "Compare")


class Session(param.Parameterized):
    """One browser session: where it is, and the state of every place."""

    place = param.Selector(default="Data", objects=list(PLACES), doc="Where the user is.")

    def __init__(self, store: RunStore, folder: Path) -> None:
        super().__init__()
        self.data = DataState(folder=folder)
        self.model = ModelState()
        self.fit = FitState(store=store)
        self.explore = ExploreState()

    @property
    def _is_ready(self) -> bool:
        return self.fit.run is not None and self.fit.run.has_results

    def is_open(self, place: str) -> bool:
        """Whether the input that a place needs exists."""
        needs = {
            "Data": True,
            "Model": self.data.counts is not None,
            "Fit": self.data.counts is not None or bool(self.fit.history),
            "Explore": self.explore.explored is not None or self._is_ready,
            "Compare": self.data.counts is not None or bool(self.fit.history),
        }
        return needs[place]


def default_folder() -> Path:
    """Where data are opened from: ``SCRIBEVIZ_DATA``, or the current folder."""
    return Path(os.environ.get("SCRIBEVIZ_DATA", ".")).resolve()
