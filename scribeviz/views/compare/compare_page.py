"""Choose between models: which predicts unseen cells best, and for which genes."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO
from typing import Any

import holoviews as hv
import pandas as pd
import panel as pn
import param
from bokeh.models.widgets.tables import NumberFormatter
from holoviews.streams import Selection1D
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.predictive import GeneCheck
from scribeviz.plots.compare import (
    entropies_beside,
    gene_differences,
    losses_beside,
    losses_legend,
)
from scribeviz.plots.ppc import LEGEND, highest, ppc_histogram
from scribeviz.views.compare.compare_state import (
    CompareState,
    ending,
    family,
    finished,
    named,
    score,
    trust,
)
from scribeviz.views.compare.scoring_view import ScoringView
from scribeviz.views.compare.wording import COLUMNS, HOW_TO_READ, compared_in_words
from scribeviz.views.data.data_state import DataState
from scribeviz.views.explore.explored import Explored
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.report.of_comparison import comparison_report
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.glossary import titles_html
from scribeviz.views.shared.gone import UNREADABLE, why_unreadable
from scribeviz.views.shared.parts import (
    GAP,
    LISTED_AT_ONCE,
    ROWS_CHOOSE,
    TABLE_LOOK,
    button,
    card,
    download,
    empty,
    flexible,
    heading,
    in_progress_html,
    in_words,
    legend,
    notice,
    page,
    place_html,
    row,
    tiles,
    when,
    while_shown,
    words,
    words_html,
)

_LEAST_WIDTHS = {  # pixels
    "model": 85,
    "described": 180,
    "state": 102,
    "elpd_loo": 132,
    "difference": 120,
    "method": 72,
    "p_loo": 62,
    "worst_k": 66,
    "weight": 76,
    "loss": 85,
    "took": 90,
}
_GROWS = {"described": 3}
_PLACE = 700  # pixels, about what the first of the results take


class _LeftError(Exception):
    """Nobody waits for this comparison any more."""


class CompareView(pn.viewable.Viewer):
    """Tick runs; see who wins, for which genes, and in which settings they differ."""

    state = param.ClassSelector(class_=CompareState, constant=True)
    data = param.ClassSelector(class_=DataState, constant=True)
    model = param.ClassSelector(class_=ModelState, constant=True)
    fit = param.ClassSelector(class_=FitState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._writing = ui.HTML("", align="center", margin=(0, 0, 0, 12))
        self._asked = 0  # how often a comparison was begun, or left
        self._began = time.monotonic()
        self._note = ui.HTML("", sizing_mode="stretch_width")
        self._doing = ui.HTML("", margin=0)
        self._waiting = ui.Column(
            ui.FlexBox(
                self._doing,
                button("Cancel", "close", self._leave, variant="outlined"),
                align_items="center",
                gap=f"0 {GAP}px",
                sizing_mode="stretch_width",
                margin=(0, 0, 12, 0),
            ),
            ui.HTML(place_html(_PLACE), sizing_mode="stretch_width", margin=0),
            sizing_mode="stretch_width",
            visible=False,
        )
        self._invitation = empty("Tick two runs above to compare them.")
        self._result = ui.Column(
            pn.bind(self._compared, self.state.param.table, self.state.param.problem),
            sizing_mode="stretch_width",
        )
        self._shown: list[str] = []  # ids of the runs in the list, in its order
        self._awaited: set[str] = set()  # of the family that was started here
        self._n_listed = LISTED_AT_ONCE
        self._older = button(
            "List older runs", "expand_more", self._list_older, variant="text", visible=False
        )
        self._listing = ui.Tabulator(
            self._runs(),
            show_index=False,
            disabled=True,
            stylesheets=[TABLE_LOOK],
            selectable="checkbox",
            layout="fit_data_stretch",
            widths={"data": 200},
            pagination="local",
            page_size=8,
            sizing_mode="stretch_width",
            margin=0,
        )
        self._listing.param.watch(self._ticked, "selection")
        self._nothing = empty("Runs that have ended are listed here: fit two models of your data.")
        self._scoring = ScoringView(state=self.state.scoring)
        self.state.scoring.param.watch(self._compare_again, "n_done")
        self.fit.param.watch(self._follow_runs, "history")
        self._follow_runs()
        if len(self.state.runs) > 1 and pn.state.curdoc is not None:  # those of a link
            pn.state.execute(partial(self.compare, self.state.runs))

    def __panel__(self) -> Viewable:
        return page(
            "Compare",
            "Which model predicts unseen cells best, and for which genes?",
            card(
                "Runs",
                words("Tick two or more runs of the same data.", faint=True),
                self._nothing,
                self._listing,
                self._older,
                ui.FlexBox(
                    button(
                        "Fit every count distribution",
                        "playlist_add",
                        self._fit_family,
                        disabled=pn.bind(lambda counts: counts is None, self.data.param.counts),
                    ),
                    ui.HTML(
                        words_html(
                            "All of them with the settings of the Model page, "
                            "one after the other, on the open data.",
                            faint=True,
                        ),
                        styles=flexible(1, 220) | {"align-self": "center"},
                    ),
                    sizing_mode="stretch_width",
                    margin=(10, 0, 0, 0),
                ),
                self._note,
                # Not within what is drawn anew with every comparison: it stays as it is.
                self._scoring,
            ),
            self._waiting,
            self._result,
        )

    def _runs(self) -> pd.DataFrame:
        history, n_listed = self.fit.history, self._n_listed
        older = [pair for pair in history[n_listed:] if pair[0].id in self.state.runs]
        runs = finished(history[:n_listed] + older)
        self._older.visible = len(history) > n_listed
        self._shown = [run.id for run, _ in runs]
        return pd.DataFrame(
            {
                "started": [when(run.spec.created) for run, _ in runs],
                "data": [run.spec.data_label for run, _ in runs],
                "model": [run.spec.described for run, _ in runs],
                "state": [ending(status) for _, status in runs],
                "took": [in_words(status.seconds) for _, status in runs],
            },
            dtype=str,
        )

    def _list_older(self, _: object) -> None:
        self._n_listed += LISTED_AT_ONCE
        self._follow_runs()

    def _follow_runs(self, *_: param.parameterized.Event) -> None:
        # Those of a family are ticked as they finish, and with them the table grows.
        ticked = set(self.state.runs) | self._awaited
        self._listing.value = self._runs()
        self._listing.visible = bool(self._shown)
        self._nothing.visible = not self._shown
        self._listing.selection = [i for i, run in enumerate(self._shown) if run in ticked]
        # What ended without results, or left the queue, is waited for no longer.
        coming = {run.id for run, status in self.fit.history if not status.state.is_over}
        was_awaited, self._awaited = self._awaited, self._awaited & coming
        if was_awaited and not self._awaited and len(self.state.runs) < 2:
            self._note.object = ""

    async def _ticked(self, *_: param.parameterized.Event) -> None:
        runs = [self._shown[i] for i in sorted(self._listing.selection)]
        if sorted(runs) == sorted(self.state.runs):
            return
        await self.compare(runs)

    def _compare_again(self, *_: param.parameterized.Event) -> None:
        pn.state.execute(partial(self.compare, self.state.runs))

    async def compare(self, runs: list[str]) -> None:
        """Compare these runs; says what it is at, and can be left."""
        state = self.state
        self._asked += 1  # what is still being compared is shown no more
        asked = self._asked
        if len(runs) < 2:
            self._say("")
            state.refuse(runs, "")
            return
        state.runs, self._began = runs, time.monotonic()
        try:
            explored, table, trusted = await self._side_by_side(runs, asked)
        except _LeftError:
            return
        except UNREADABLE as problem:
            message = why_unreadable(problem)
            if asked == self._asked:
                state.refuse(runs, message)
        else:
            if asked == self._asked:
                state.show(runs, explored, table, trusted)
                state.scoring.ask_for(state.to_be_scored, self.fit.history)
        finally:
            if asked == self._asked:
                self._say("")
                waiting = "Waiting for the other fits …" if self._awaited else ""
                self._note.object = words_html(waiting, faint=True) if waiting else ""

    async def _side_by_side(
        self, runs: list[str], asked: int
    ) -> tuple[dict[str, Explored], pd.DataFrame, tuple[str, pd.DataFrame] | None]:
        """Read and score the runs, one step after the other in a thread."""

        async def step(doing: str, work: Callable[..., Any], *of: Any) -> Any:
            if asked != self._asked:
                raise _LeftError
            self._say(f"Comparing {len(runs)} runs: {doing} …")
            return await asyncio.to_thread(work, *of)

        by_id = {run.id: run for run, _ in self.fit.history}
        loaded = [
            await step(
                f"reading run {i} of {len(runs)}, {by_id[run].spec.label}", self.state.read, run
            )
            for i, run in enumerate(runs, start=1)
        ]
        explored = named(loaded)
        table = await step("scoring how they predict each cell", score, explored, by_id)
        folders = {name: by_id[one.run_id] for name, one in explored.items()}
        trusted = await step("setting fits beside samples", trust, folders)
        return explored, table, trusted

    def _say(self, doing: str) -> None:
        """What is being compared, in the place of what comes of it; nothing while it is empty."""
        for_so_long = time.monotonic() - self._began
        self._doing.object = in_progress_html(doing, after=for_so_long) if doing else ""
        self._waiting.visible, self._result.visible = bool(doing), not doing

    def _leave(self, _: object) -> None:
        """Wait no longer, and go back to what was compared before."""
        self._asked += 1
        self._say("")
        state = self.state
        before = [explored.run_id for explored in state.explored.values()]
        if before:
            state.runs = before
        else:
            state.refuse([], "")
        self._follow_runs()

    def _fit_family(self, _: Any) -> None:
        started = [self.fit.start(self.data.counts, spec) for spec in family(self.model.spec())]
        self._awaited = {run.id for run in started}
        self._asked += 1  # what is still being compared is shown no more
        self._say("")
        self.state.refuse([], "")
        message = f"{len(started)} fits are queued; they are compared here as they finish."
        self._note.object = words_html(message, faint=True)

    def _compared(self, table: pd.DataFrame | None, problem: str) -> Viewable:
        if problem:
            return notice(problem, "warning")
        if table is None:
            return self._invitation
        state = self.state
        parts = [
            card(
                "Which model",
                notice(state.verdict, "quiet" if state.is_first_look else "info")
                if table["elpd_loo"].notna().any()
                else words(""),
                *([notice(state.warning, "warning")] if state.warning else []),
                _table(table),
                ui.FlexBox(
                    download("Table as CSV", "models.csv", lambda: StringIO(table.to_csv())),
                    download("Report as HTML", "comparison.html", self._as_html),
                    self._writing,
                    sizing_mode="stretch_width",
                ),
                words(HOW_TO_READ, faint=True),
            )
        ]
        if state.pair[0]:
            parts.append(GenePairView(state=state))
        losses = state.losses()
        of_runs = losses_legend(losses)
        picture = losses_beside(losses, show_legend=False)
        parts.append(
            row(
                card(
                    "Losses",
                    legend(of_runs),
                    figure(picture, "losses", legend=of_runs, height=340),
                ),
                card("What differs", self._differing()),
            )
        )
        if state.trusted is not None:
            parts.append(_trust_card(*state.trusted))
        both = state.entropies()
        if both is not None:
            beside = entropies_beside(both, state.pair)
            parts.append(
                card(
                    "How sure both are of each cell",
                    figure(beside, "certainty of both", height=340),
                )
            )
        return ui.Column(*parts, sizing_mode="stretch_width")

    async def _as_html(self) -> BytesIO:
        # It draws a dozen pictures: other clicks must not wait for it.
        self._writing.object = in_progress_html("Writing the report …")
        try:
            report = await asyncio.to_thread(comparison_report, self.state)
        finally:
            self._writing.object = ""
        return BytesIO(report.html.encode())

    def _differing(self) -> Viewable:
        settings = self.state.differing_settings()
        if settings.empty:
            return words("Nothing: the runs have the same settings.")
        return ui.Tabulator(
            settings.rename_axis("setting").reset_index(),
            show_index=False,
            disabled=True,
            stylesheets=[TABLE_LOOK],
            layout="fit_data_stretch",
            sizing_mode="stretch_width",
            margin=0,
        )


class GenePairView(pn.viewable.Viewer):
    """Two models gene by gene: who predicts which, and one gene under both."""

    state = param.ClassSelector(class_=CompareState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._genes = self.state.gene_differences()
        self._listing = ui.Tabulator(
            self._genes,
            show_index=False,
            disabled=True,
            css_classes=[ROWS_CHOOSE],
            stylesheets=[TABLE_LOOK],
            pagination="remote",
            page_size=9,
            layout="fit_columns",
            widths={"gene": 95, "mean": 75, "difference": 105},
            titles={
                "gene": "Gene",
                "mean": "Mean",
                "difference": "Difference (nats)",
                "first_problem": self.state.pair[0],
                "second_problem": self.state.pair[1],
            },
            formatters=_number_formats({"mean": "0,0.00", "difference": "+0,0.0"}),
            text_align={"mean": "right", "difference": "right"},
            header_align={"mean": "right", "difference": "right"},
            configuration={"columnDefaults": {"headerWordWrap": True}},
            sizing_mode="stretch_width",
            margin=0,
        )
        self._listing.on_click(lambda event: self._choose(event.row))

    def __panel__(self) -> Viewable:
        first, second = self.state.pair
        points = gene_differences(self._genes, first, second)
        picked = Selection1D(source=points)
        picked.param.watch(lambda event: self._choose(event.new[0]) if event.new else None, "index")
        total = float(self._genes["difference"].sum())
        wins = int((self._genes["difference"] > 0).sum())
        counted = {
            f"genes for {first}": f"{wins:,}",
            f"genes for {second}": f"{len(self._genes) - wins:,}",
            "single counts, summed (nats)": f"{total:+,.0f}",
        }
        given = [name for name in self.state.pair if self.state.explored[name].has_latent_space]
        message = (
            notice(
                f"{' and '.join(given)} knows each cell's place and total here, and was trained "
                "on most of these cells: genes can be ranked, but their sum does not say who "
                "predicts unseen cells best.",
                "info",
            )
            if given
            else ui.Column(tiles(counted), words(self.state.gene_note), sizing_mode="stretch_width")
        )
        return card(
            "Gene by gene",
            message,
            row(
                figure(points, f"{first} against {second}", height=420),
                ui.Column(self._listing, sizing_mode="stretch_width"),
                width=420,  # of a table of five columns
            ),
            words(
                "Each point is a gene; the difference is in elpd, count by count. Click a point or "
                "a row to see the gene below.",
                faint=True,
            ),
            legend(LEGEND),
            while_shown(self.state, self._side_by_side, self.state.param.gene),
        )

    def _choose(self, position: int) -> None:
        self.state.gene = str(self._genes["gene"].iloc[position])

    def _side_by_side(self, gene: str) -> Viewable:
        checks = self.state.checks()
        top = max(highest(check.observed, check.bands) for check in checks.values())
        return row(
            *(
                ui.Column(
                    heading(f"{gene}: {name}"),
                    words(check.verdict, faint=True),
                    figure(_picture(check, top), f"{gene} {name}", legend=LEGEND, height=340),
                    sizing_mode="stretch_width",
                )
                for name, check in checks.items()
            )
        )


def _picture(check: GeneCheck, top: float) -> hv.Rectangles:
    return ppc_histogram(check.edges, check.observed, check.bands, log=False, top=top)


def _trust_card(name: str, table: pd.DataFrame) -> Viewable:
    shown = table.reset_index(names="parameter")
    shown["range"] = [
        f"{low:.2f} to {high:.2f}"
        for low, high in zip(table["spread_low"], table["spread_high"], strict=True)
    ]
    listing = ui.Tabulator(
        shown[["parameter", "spread", "range", "shift", "worst_r_hat", "verdict"]],
        show_index=False,
        disabled=True,
        stylesheets=[TABLE_LOOK],
        selectable=False,
        layout="fit_columns",
        titles={
            "parameter": "Parameter",
            "spread": "Spread",
            "range": "In nine of ten",
            "shift": "Shift",
            "worst_r_hat": "Worst R-hat",
            "verdict": "Verdict",
        },
        formatters={
            "spread": NumberFormatter(format="0.00"),
            "shift": NumberFormatter(format="0.00"),
            "worst_r_hat": NumberFormatter(format="0.000"),
        },
        sizing_mode="stretch_width",
        margin=0,
    )
    return card(
        "Can the intervals be trusted?",
        words(
            f"{name} was fitted and sampled. The spread is the standard deviation of the fit over "
            "that of the sampler: 1 is right, less is too sure. The shift is how far apart their "
            "means are, in the sampler's standard deviations.",
            faint=True,
        ),
        listing,
    )


def _table(table: pd.DataFrame) -> Viewable:
    shown = compared_in_words(table)
    numbers = [name for name in COLUMNS if name not in {"model", "described", "state", "method"}]
    return ui.Tabulator(
        shown,
        show_index=False,
        disabled=True,
        stylesheets=[TABLE_LOOK],
        titles=titles_html(COLUMNS),
        layout="fit_columns",
        configuration={
            "columnDefaults": {"headerWordWrap": True},
            # What is left goes to the names, which may be long.
            "columns": [
                {"field": name, "minWidth": width, "widthGrow": _GROWS.get(name, 1)}
                for name, width in _LEAST_WIDTHS.items()
            ],
        },
        text_align=dict.fromkeys(numbers, "right"),
        header_align=dict.fromkeys(numbers, "right"),
        sizing_mode="stretch_width",
        margin=(0, 0, 10, 0),
    )


def _number_formats(formats: dict[str, str]) -> dict[str, Any]:
    return {name: NumberFormatter(format=format_) for name, format_ in formats.items()}
