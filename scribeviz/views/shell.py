"""The served page: header, the places on the left, the chosen one in the middle."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import panel as pn
import param
from bokeh.models import CustomJS
from panel import ui
from panel.util import edit_readonly
from panel.viewable import Viewable

from scribeviz.data.reading_process import keep_reader_waiting
from scribeviz.data.values import ROUNDINGS
from scribeviz.fitting.kinds import known_kind_of
from scribeviz.models.custom.registry import load_configured_models
from scribeviz.models.spec import ModelSpec
from scribeviz.runs.catalogue import Look
from scribeviz.runs.folder import RunFolder
from scribeviz.runs.run import tended_store
from scribeviz.runs.store import RunStore, default_root
from scribeviz.views.compare.compare_page import CompareView
from scribeviz.views.compare.compare_state import CompareState, finished
from scribeviz.views.data.data_page import DataView
from scribeviz.views.data.data_state import open_example
from scribeviz.views.data.filter_link import filter_as_text, filter_from_text
from scribeviz.views.explore.explore_page import ExploreView
from scribeviz.views.explore.explored import Explored, load_explored
from scribeviz.views.fit.fit_page import FitView
from scribeviz.views.header import data_chip, job_chip
from scribeviz.views.model.model_page import ModelView
from scribeviz.views.model.model_state import PriorState
from scribeviz.views.python_code import PythonView
from scribeviz.views.session import PLACES, Session, default_folder
from scribeviz.views.shared.closed import forget_views, give_memory_back
from scribeviz.views.shared.gone import UNREADABLE, why_unreadable
from scribeviz.views.shared.in_browser import BEFORE_THE_PAGE, HIDDEN_WHERE_NARROW, SCRIPTS
from scribeviz.views.shared.keys import SHOW_KEYS
from scribeviz.views.shared.theme import THEME
from scribeviz.views.shared.unsent import keep_sending
from scribeviz.views.shared.upkeep import Upkeep

_LOG = logging.getLogger(__name__)
_ICONS = {
    "Data": "table_chart",
    "Model": "functions",
    "Fit": "show_chart",
    "Explore": "search",
    "Compare": "balance",
}
_OF_DATA = {"data", "layer", "rounding", "filter"}  # names in an address

_STEPS_LOOK = {
    "& .MuiStepLabel-label": {"color": "text.primary"},
    "& .MuiStepLabel-label.Mui-active": {"fontWeight": 700},
    "& .MuiStepLabel-root.Mui-disabled": {"opacity": 0.45},
}


@cache
def run_store() -> RunStore:
    """The runs of this server; they are looked after for as long as it lives."""
    return tended_store(default_root())


def warm_up() -> None:
    """Do in the background, once, what the first visitor would otherwise wait for."""
    load_configured_models()
    run_store()
    keep_reader_waiting()
    keep_sending()

    def example_first() -> None:
        open_example()
        # What is imported stays: without this, each full collection walks through a million
        # objects, and every twentieth click or so waits for it.
        gc.collect()
        gc.freeze()

    threading.Thread(target=example_first, name="example", daemon=True).start()


class _NeverBusy(param.Parameterized):
    """What a page follows instead of Panel's "busy", which is one for the whole server.

    Each visitor's timer would have each visitor's page walked through, and ten of them stall the
    server.  A plain value would not do: the server would keep its watcher, and with it the page.
    """

    busy = param.Boolean(False, constant=True)


class Shell(pn.viewable.Viewer):
    """A session's page."""

    session = param.ClassSelector(class_=Session, constant=True)
    restored = param.Boolean(False, doc="Whether the address was followed; then it follows.")
    compact = param.Boolean(False, constant=True, doc="Whether it is part of another page.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        session = self.session
        self.compare = CompareState(store=session.fit.store)
        self._steps = ui.StepperMenu(
            items=self._items(),
            orientation="horizontal" if self.compact else "vertical",
            non_linear=True,
            margin=(12, 8),
            sx=_STEPS_LOOK,
        )
        self._steps.param.watch(self._stepped, "active")
        self._main = ui.Column(sizing_mode="stretch_width", margin=(14, 28))
        self._python = PythonView(session=session, compare=self.compare)
        self._visited: dict[str, ui.Column] = {}
        self._asked = 0  # how often a run was opened
        self._said = ""  # the address, as it was last seen or set
        self.upkeep = Upkeep(self.refresh, pn.state.curdoc)
        session.param.watch(self._show_place, "place")
        session.data.param.watch(self._inputs_changed, "counts")
        session.fit.param.watch(self._inputs_changed, ["run", "status", "history"])
        self._show_place()
        self._keep_up()

    def __panel__(self) -> Viewable:
        return self._within_a_page() if self.compact else self._page()

    def _within_a_page(self) -> Viewable:
        return ui.Column(self._steps, self._main, theme_config=THEME, sizing_mode="stretch_width")

    def _page(self) -> Viewable:
        session = self.session
        page = ui.Page(
            title="scribeviz",
            header=[
                ui.HTML(
                    pn.bind(data_chip, session.data.param.counts),
                    margin=(0, 10),
                    stylesheets=[HIDDEN_WHERE_NARROW % ".detail"],
                ),
                ui.HTML(
                    pn.bind(job_chip, session.fit.param.at_work, session.fit.param.status),
                    margin=(0, 10),
                    align="center",
                    stylesheets=[HIDDEN_WHERE_NARROW % ":host"],
                ),
            ],
            sidebar=[self._steps, _keys_button(), self.upkeep.switch],
            sidebar_width=210,
            main=[self._main],
            theme_config=THEME,
            busy_indicator=None,
        )
        with edit_readonly(page):
            page.busy = _NeverBusy().param.busy
        return page

    async def refresh(self) -> None:
        """Bring this session up to date with the runs, and address and code with it."""
        self.session.fit.refresh()
        self.compare.scoring.refresh(self.session.fit.history)
        self._python.refresh()
        if self.restored:
            self._say_where()

    def take_note(self, look: Look) -> None:
        """Runs have changed; called from the thread that looks after them."""
        if self.session.fit.is_behind(look) or self.compare.scoring.under_way:
            self.upkeep.ask()

    def _keep_up(self) -> None:
        """Have address and code follow whatever this page knows."""
        session, followed = self.session, set[PriorState]()
        model = session.model
        states = (session.data, model, model.network, session.fit, session.explore)
        self.upkeep.follow(self, session, *states, self.compare, self.compare.scoring)

        def follow_priors(*_: param.parameterized.Event) -> None:
            new = set(model.priors.values()) - followed
            self.upkeep.follow(*new)
            followed.update(new)

        model.param.watch(follow_priors, "priors")
        follow_priors()
        if pn.state.location is not None:
            pn.state.location.param.watch(self.upkeep.ask, "search")

    def go(self, place: str, gene: str = "") -> None:
        """Show a place; on Explore the run that is looked at, with this gene."""
        if place == "Explore":
            self._open_run(gene)
        self.session.place = place

    def explore(self, explored: Explored) -> None:
        """Turn to Explore, with what was read already."""
        self._asked += 1  # what is still being read is shown no more
        self._show_run(explored, "", "", self._asked)
        self.session.place = "Explore"

    def try_model(self, model: ModelSpec) -> None:
        """Set up another model for the data of the run that is looked at."""
        explored, counts = self.session.explore.explored, self.session.data.counts
        if counts is None or counts.fingerprint != explored.fingerprint:
            _tell("Open the data of this run first, on the Data page: others are open now.")
            return
        self.session.model.show(model)
        self.go("Fit")

    def _open_run(self, gene: str) -> None:
        run, explore = self.session.fit.run, self.session.explore
        # While another fit is on its way, the last one that was looked at stays.
        if run is None or not run.has_results:
            return
        self._asked += 1  # what is asked for later counts, however long this one takes
        if explore.explored is None or explore.explored.run_id != run.id:
            explore.opening = f"Opening {run.spec.described} on {run.spec.data_name} …"
        pn.state.execute(partial(self._read_run, run, gene, self._asked))

    def _cancel_opening(self) -> None:
        """Wait no longer for a run; what is read of it until then is not shown."""
        self._asked += 1
        explore = self.session.explore
        explore.opening = ""
        if explore.explored is None:
            self.session.place = "Fit"

    async def _read_run(self, run: RunFolder, gene: str, asked: int) -> None:
        """Read in a thread: it takes seconds with many cells, and other clicks must not wait."""
        explored, message = None, ""
        try:
            explored = await asyncio.to_thread(load_explored, run.path)
        except UNREADABLE as problem:
            message = why_unreadable(problem)
        # As a callback of the document it waits for the message that brings the page.
        pn.state.execute(partial(self._show_run, explored, message, gene, asked), schedule=True)

    def _show_run(self, explored: Explored | None, message: str, gene: str, asked: int) -> None:
        if asked != self._asked:
            return
        explore = self.session.explore
        explore.opening = ""
        if explored is None:
            _tell(message)
            return
        if explored is not explore.explored:  # resumed runs change
            explore.show(explored, self._mixtures(explored))
        if gene:
            _tell(explore.find_gene(gene))

    def _mixtures(self, explored: Explored) -> dict[str, Path]:
        """Finished mixtures of the same data, which can colour its cells; the newest of a name."""
        mixtures = {
            run.spec.label: run.path
            for run, status in reversed(self.session.fit.history)
            if status.state.is_over
            and run.spec.model.is_mixture
            and run.spec.fingerprint == explored.fingerprint
            and run.has_results
        }
        return {name: path for name, path in mixtures.items() if path != explored.path}

    def _say_where(self) -> None:
        session, location = self.session, pn.state.location
        run, compare = session.fit.run, self.compare
        genes = {"Explore": session.explore.gene, "Compare": compare.gene}
        data = _data_address(session)
        kept = data.pop("filter", "")
        here = {
            "place": session.place,
            **data,
            "run": run.id if run is not None else None,
            "compare": ",".join(compare.runs) if session.place == "Compare" else None,
            "gene": genes.get(session.place),
        }
        said = {name: value for name, value in here.items() if value}
        search = f"?{urlencode(said, safe=',')}"
        if kept:
            search += f"&filter={quote(kept, safe=',:=/')}"
        if location is None:
            return
        if self._said and location.search != self._said:  # by Back or Forward
            self.restored = False
            pn.state.execute(partial(self._go_back, location.query_params))
        elif location.search != search:
            location.search = search
        self._said = location.search

    async def _go_back(self, asked: Mapping[str, Any]) -> None:
        try:
            await follow_link(self, asked)
        finally:
            self.restored = True

    def _view(self, place: str) -> Viewable:
        session = self.session
        makers = {
            "Data": lambda: DataView(state=session.data, go_on=lambda: self.go("Model")),
            "Model": lambda: ModelView(
                state=session.model, data=session.data, go_on=lambda: self.go("Fit")
            ),
            "Fit": lambda: FitView(
                state=session.fit,
                data=session.data,
                model=session.model,
                go_on=lambda: self.go("Explore"),
            ),
            "Explore": lambda: ExploreView(
                state=session.explore, try_model=self.try_model, cancel=self._cancel_opening
            ),
            "Compare": lambda: CompareView(
                state=self.compare, data=session.data, model=session.model, fit=session.fit
            ),
        }
        return pn.panel(makers[place]())

    def _show_place(self, *_: param.parameterized.Event) -> None:
        place = self.session.place
        with pn.io.hold():
            for name, shown in self._visited.items():
                shown.visible = name == place
            if place not in self._visited:  # a place stays in the browser once it was seen
                self._visited[place] = ui.Column(self._view(place), sizing_mode="stretch_width")
                self._main[:] = [*self._visited.values(), self._python]
            self._steps.active = PLACES.index(place)

    def _stepped(self, event: param.parameterized.Event) -> None:
        place = PLACES[event.new]
        if place == self.session.place:
            return
        if self.session.is_open(place):
            self.go(place)
        else:
            self._steps.active = PLACES.index(self.session.place)

    def _inputs_changed(self, *_: param.parameterized.Event) -> None:
        items = self._items()
        if items != self._steps.items:
            self._steps.items = items

    def _items(self) -> list[dict[str, object]]:
        session = self.session
        done = {
            "Data": session.data.counts is not None,
            "Model": session.fit.run is not None,
            "Fit": session.is_open("Explore"),
            "Explore": False,
            "Compare": False,
        }
        return [
            {
                "label": place,
                "icon": _ICONS[place],
                "completed": done[place],
                "disabled": not session.is_open(place),
            }
            for place in PLACES
        ]


def _keys_button() -> Viewable:
    return ui.Button(
        label="Keys (?)",
        icon="keyboard",
        variant="text",
        size="small",
        margin=(8, 8),
        js_on_click=SHOW_KEYS,
    )


def serve_page(
    store: RunStore | None = None, begin: Callable[[Shell], None] = lambda _: None
) -> Viewable:
    """The page of a new browser session.

    Parameters
    ----------
    store
        Its runs; those of this server when left out.
    begin
        Puts on the page what it begins with.
    """
    pn.extension(
        "tabulator",
        "filedropper",
        notifications=True,
        reconnect=True,
        exception_handler=_unexpected,
        js_files=BEFORE_THE_PAGE,
    )
    document = pn.state.curdoc
    if document is not None:
        for code in SCRIPTS:
            document.js_on_event("document_ready", CustomJS(code=code))
    session = Session(store or run_store(), default_folder())
    shell = Shell(session=session)
    begin(shell)

    async def restore() -> None:
        location = pn.state.location
        try:
            await follow_link(shell, location.query_params if location is not None else {})
        finally:
            shell.restored = True  # from now on the address follows

    stop_listening = session.fit.store.listen(shell.take_note)

    def leave(_: object) -> None:
        session.data.cancel()  # whoever closed the page waits for no file
        stop_listening()
        shell.upkeep.stop()
        forget_views(document)
        give_memory_back()

    pn.state.onload(restore)
    pn.state.on_session_destroyed(leave)
    return pn.panel(shell)


async def follow_link(shell: Shell, asked: Mapping[str, Any]) -> None:
    """Go back to what an address asks for."""
    session = shell.session
    there = _data_address(session)
    if asked.get("data") and there != {name: str(asked[name]) for name in _OF_DATA & asked.keys()}:
        rounding = next((way for way in ROUNDINGS if way == asked.get("rounding")), None)
        await session.data.read(str(asked["data"]), str(asked.get("layer", "X")), rounding)
        if "filter" in asked:
            _tell(await _keep(session, str(asked["filter"])))
    run = session.fit.store.run(str(asked["run"])) if "run" in asked else None
    if "run" in asked and run is None:
        _tell("The run of this link is not on this server any more.")
    if run is not None:
        session.fit.look_at(run)
        _show_settings(session, run)
        if session.data.counts is None:
            try:
                session.data.counts = await asyncio.to_thread(lambda: run.counts)
            except UNREADABLE as problem:
                _tell(why_unreadable(problem))
    gene = str(asked.get("gene", ""))
    if "compare" in asked:
        session.fit.refresh()  # so far nobody has asked which runs there are
        runs = list(dict.fromkeys(str(asked["compare"]).split(",")))
        named = [pair for pair in session.fit.history if pair[0].id in runs]
        finished_ids = {run.id for run, _ in finished(named)}
        _tell(shell.compare.recall(runs, gene, finished_ids))
    if asked.get("place") in PLACES and session.is_open(asked["place"]):
        shell.go(asked["place"], gene)


def _show_settings(session: Session, run: RunFolder) -> None:
    """Choose on the Model and the Fit page what a run was fitted with."""
    kind = known_kind_of(run.spec.model)
    if kind is None:  # a model that this server was not told of
        return
    session.model.show(run.spec.model)
    session.fit.show_settings(run.spec.config, kind.methods)


def _data_address(session: Session) -> dict[str, str]:
    """What the address says of the data that are open, and of the cells that are left out."""
    opened = session.data.opened
    if opened is None:
        return {}
    said = {
        "data": opened.source,
        "layer": "" if opened.found.layer == "X" else opened.found.layer,  # as usual
        "rounding": opened.rounding,
        "filter": filter_as_text(session.data.filter),
    }
    return {name: str(value) for name, value in said.items() if value}


async def _keep(session: Session, text: str) -> str:
    """Leave out what a link leaves out; gives a sentence if that cannot be done."""
    data, opened = session.data, session.data.opened
    if opened is None or opened.found.counts is None:
        return ""  # why, is said already
    try:
        kept = filter_from_text(text)
        counts = await asyncio.to_thread(kept.apply, opened.found.counts)
    except ValueError as problem:
        return f"The filter of this link cannot be applied, and all cells are shown: {problem}"
    if data.opened is opened:
        data.keep(kept, counts)
    return ""


def _tell(problem: str) -> None:
    """Show a sentence for a while, if there is one."""
    if problem and pn.state.notifications is not None:
        pn.state.notifications.warning(problem, duration=10_000)


def _unexpected(error: Exception) -> None:
    """Tell the user in a sentence, and the log in full."""
    _LOG.error("unexpected error in a session", exc_info=error)
    if pn.state.notifications is not None:
        pn.state.notifications.error(
            "Something unexpected happened; nothing of your work was lost. "
            "The server's log says more.",
            duration=0,
        )
