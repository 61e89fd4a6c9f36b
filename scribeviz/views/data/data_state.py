"""Which data set is open.  Plain ``param``: it runs in a test without a server."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import param

from scribeviz.data.cell_filter import CellFilter
from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.data_folder import DataFile, list_files, resolve
from scribeviz.data.examples import demo
from scribeviz.data.readers import OpenFile
from scribeviz.data.uploads import save_upload

EXAMPLE = "example"


@dataclass(frozen=True, slots=True)
class OpenedData:
    """A data set as it was opened: its counts, and what else the file holds.

    Attributes
    ----------
    source
        ``"example"``, or the file's name in the data folder: what a link may say.
    file
        To take another layer from; None for the example.
    sources
        Per place that may hold counts ("X", "raw", layers), why it does not; empty if it does.
    layer
        The place that the counts are from.
    counts
        The counts; None if that place does not hold any.
    problem, use_layer
        Why not, and which other place does.
    """

    source: str
    file: OpenFile | None
    sources: dict[str, str]
    layer: str
    counts: Counts | None
    problem: str = ""
    use_layer: str | None = None


@lru_cache(maxsize=1)
def open_example() -> OpenedData:
    """Open the built-in example."""
    return OpenedData(EXAMPLE, None, {"X": ""}, "X", demo())


def open_data(folder: Path, name: str) -> OpenedData:
    """Open a file of the data folder.

    Raises
    ------
    CountsError
        If it is not there, or no file of counts at all.
    """
    if name == EXAMPLE:
        return open_example()
    return take_layer(name, OpenFile(resolve(folder, name)), "X")


def take_layer(source: str, file: OpenFile, layer: str) -> OpenedData:
    """Take the counts from one place of an opened file, or say why there are none."""
    try:
        # Relative to the data folder: no path of the server is told.
        chosen = "" if layer == "X" else f", layer={layer!r}"
        counts = replace(file.counts(layer), read_by=f"scribeviz.read({source!r}{chosen})")
    except CountsError as problem:
        return OpenedData(source, file, file.sources, layer, None, str(problem), problem.use_layer)
    return OpenedData(source, file, file.sources, layer, counts)


class DataState(param.Parameterized):
    """Which data set is open."""

    folder = param.ClassSelector(class_=Path, constant=True, doc="The data folder.")
    opened = param.ClassSelector(class_=OpenedData, doc="What was opened last.")
    problem = param.String("", doc="Why nothing could be opened.")
    busy = param.String("", doc="What is going on, in words.")
    counts = param.ClassSelector(class_=Counts, doc="The counts that a model will see.")
    filter = param.ClassSelector(
        default=CellFilter(), class_=CellFilter, doc="What of the opened data is kept for it."
    )

    upload_limit_bytes = 500_000_000

    def files(self) -> list[DataFile]:
        """What can be opened."""
        return list_files(self.folder)

    def show(self, opened: OpenedData) -> None:
        """Make ``opened`` the data set of this session."""
        self.param.update(opened=opened, problem="", counts=opened.counts, filter=CellFilter())

    def keep(self, cell_filter: CellFilter, counts: Counts) -> None:
        """Go on with what ``cell_filter`` keeps of the opened data."""
        self.param.update(filter=cell_filter, counts=counts, problem="")

    def refuse(self, problem: str) -> None:
        """Say why a file could not be opened; what was open stays open."""
        self.problem = problem

    def receive(self, filename: str, content: bytes) -> str:
        """Keep an upload in the data folder; gives its name there."""
        path = save_upload(self.folder, filename, content, self.upload_limit_bytes)
        return path.relative_to(self.folder).as_posix()
