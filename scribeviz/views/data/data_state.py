"""Which data set is open.  Plain ``param``: it runs in a test without a server."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import param

from scribeviz.data.cell_filter import CellFilter
from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.data_folder import DataFile, list_files, resolve
from scribeviz.data.examples import demo
from scribeviz.data.opening import Opened
from scribeviz.data.readers import reading_code
from scribeviz.data.reading_process import Reading, ReadingCancelledError
from scribeviz.data.uploads import save_upload
from scribeviz.data.values import Rounding

EXAMPLE = "example"
_LOOK_AGAIN = 0.3  # seconds
# Of their own: who waits for a file must not keep a thread from other pages.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="reading")


@dataclass(frozen=True, slots=True)
class OpenedData:
    """A data set as it was opened.

    Attributes
    ----------
    source
        ``"example"``, or the file's name in the data folder: what a link may say.
    found
        Its counts, and what else the file holds.
    rounding
        What was done with fractions; a link says it too.
    """

    source: str
    found: Opened
    rounding: Rounding | None = None


@lru_cache(maxsize=1)
def open_example() -> OpenedData:
    """Open the built-in example."""
    return OpenedData(EXAMPLE, Opened(sources={"X": ""}, layer="X", counts=demo()))


def open_data(
    folder: Path,
    name: str,
    layer: str = "X",
    reading: Reading | None = None,
    rounding: Rounding | None = None,
) -> OpenedData:
    """Take the counts from one place of a file of the data folder, or say why there are none.

    Parameters
    ----------
    folder, name
        The data folder, and what in it.
    layer
        ``"X"``, ``"raw"`` or a layer.
    reading
        To cancel it by.
    rounding
        What to do with fractions.

    Raises
    ------
    CountsError
        If it is not there, or no file of counts at all.
    ReadingCancelledError
        If it was cancelled.
    """
    if name == EXAMPLE:
        return open_example()
    found = (reading or Reading()).open(resolve(folder, name), layer, rounding)
    if found.counts is None:
        return OpenedData(name, found)
    # Relative to the data folder: no path of the server is told.
    counts = replace(found.counts, read_by=reading_code(name, layer, rounding))
    return OpenedData(name, replace(found, counts=counts), rounding)


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

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._reading = Reading()

    def files(self) -> list[DataFile]:
        """What can be opened."""
        return list_files(self.folder)

    async def open(self, doing: str, work: Callable[[Reading], OpenedData]) -> None:
        """Open what was asked for last: what was on its way is given up.

        Parameters
        ----------
        doing
            What is going on, in words.
        work
            Opens by a reading that can be cancelled; in a thread, for the page should stay alive.
        """
        self.cancel()
        mine = self._reading
        self.param.update(busy=doing, problem="")
        try:
            opened = await self._opened_by(mine, doing, work)
        except ReadingCancelledError:
            return
        except CountsError as problem:
            if mine is self._reading:
                self.refuse(str(problem))
        else:
            if mine is self._reading:
                self.show(opened)
        finally:
            if mine is self._reading:
                self.busy = ""

    async def _opened_by(
        self, mine: Reading, doing: str, work: Callable[[Reading], OpenedData]
    ) -> OpenedData:
        """Do the work in a thread, and say meanwhile what it waits for."""
        working = asyncio.get_running_loop().run_in_executor(_THREADS, work, mine)
        while not (await asyncio.wait([working], timeout=_LOOK_AGAIN))[0]:
            if mine is self._reading:
                self.busy = f"Waiting for another file to be read. {doing}" if mine.waits else doing
        return await working

    async def read(self, name: str, layer: str = "X", rounding: Rounding | None = None) -> None:
        """Open one place of a file of the data folder."""
        place = "" if layer == "X" else f"{layer} of "

        def work(reading: Reading) -> OpenedData:
            return open_data(self.folder, name, layer, reading, rounding)

        await self.open(f"Reading {place}{name} …", work)

    def cancel(self) -> None:
        """Give up what is being opened; what was open stays open."""
        self._reading.cancel()
        self._reading = Reading()
        self.busy = ""

    def show(self, opened: OpenedData) -> None:
        """Make ``opened`` the data set of this session."""
        self.param.update(
            opened=opened, problem="", counts=opened.found.counts, filter=CellFilter()
        )

    def keep(self, cell_filter: CellFilter, counts: Counts) -> None:
        """Go on with what ``cell_filter`` keeps of the opened data."""
        self.param.update(filter=cell_filter, counts=counts, problem="")

    def refuse(self, problem: str) -> None:
        """Say why a file could not be opened; what was open stays open, but for a refusal of it."""
        refused_before = self.opened is not None and self.opened.found.counts is None
        self.param.update(problem=problem, opened=None if refused_before else self.opened)

    def receive(self, filename: str, content: bytes) -> str:
        """Keep an upload in the data folder; gives its name there."""
        path = save_upload(self.folder, filename, content, self.upload_limit_bytes)
        return path.relative_to(self.folder).as_posix()
