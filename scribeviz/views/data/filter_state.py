"""A filter of cells and genes on its way: set, looked at, applied.  Plain ``param``."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import param

from scribeviz.data.cell_filter import CellFilter, some_of
from scribeviz.data.cell_labels import LabelColumn, label_columns
from scribeviz.data.cell_qc import CellQC, cell_qc
from scribeviz.data.counts import Counts
from scribeviz.data.droplets import knee_of
from scribeviz.views.data.data_state import DataState, OpenedData

NO_COLUMN = ""


class Outcome(NamedTuple):
    """What the settings would keep, or why they cannot be applied."""

    cell_filter: CellFilter | None
    n_cells: int = 0
    n_genes: int = 0
    problem: str = ""


class KeptRange(param.Parameterized):
    """From where to where a number of each cell may lie; its whole range to begin with."""

    low = param.Integer(0, label="At least", doc="Cells with less are left out.")
    high = param.Integer(1, label="At most", doc="Cells with more are left out.")

    def __init__(self, values: np.ndarray) -> None:
        self.lowest = int(values.min())
        self.highest = max(int(values.max()), self.lowest + 1)  # a slider needs two ends
        super().__init__()
        for name in ("low", "high"):
            self.param[name].bounds = (self.lowest, self.highest)
        self.show(0, None)

    def show(self, low: int, high: int | None) -> None:
        """Take the bounds of a filter, as far as there are cells."""
        within = (low, self.highest if high is None else high)
        low, high = (min(max(end, self.lowest), self.highest) for end in within)
        self.param.update(low=low, high=high)

    @property
    def bounds(self) -> tuple[int, int | None]:
        """The bounds of a filter: none where the range ends with the data."""
        low = self.low if self.low > self.lowest else 0
        return low, self.high if self.high < self.highest else None


class FilterState(param.Parameterized):
    """The settings of a filter of the opened data, and what they would keep."""

    data = param.ClassSelector(class_=DataState, constant=True)
    max_mt_percent = param.Number(
        100.0,
        bounds=(0, 100),
        label="At most (%)",
        doc="Cells with a larger share of mitochondrial counts are left out.",
    )
    min_cells = param.Integer(
        0,
        bounds=(0, None),
        label="Genes seen in at least (cells)",
        doc="Genes that fewer of the kept cells show are left out.",
    )
    column = param.String(NO_COLUMN, doc="Column of obs that cells are chosen by.")
    values = param.List([], doc="Values of the column whose cells are kept.")
    begun = param.ClassSelector(class_=OpenedData, doc="The data that the settings are for.")
    settings = param.Integer(0, doc="Grows with every change of a setting.")
    outcome = param.ClassSelector(class_=Outcome, doc="Of the settings when last looked at.")
    busy = param.String("", doc="What is going on, in words.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.ranges: dict[str, KeptRange] = {}
        self.param.watch(self._changed, ["max_mt_percent", "min_cells", "values"])
        self.data.param.watch(self._follow, "filter")

    @property
    def counts(self) -> Counts | None:
        """The counts as they were read."""
        return None if self.data.opened is None else self.data.opened.found.counts

    @property
    def qc(self) -> CellQC:
        """What the cells are judged by; it takes a while the first time."""
        return cell_qc(self._read)

    @property
    def columns(self) -> dict[str, LabelColumn]:
        """The columns of ``obs`` that cells can be chosen by, those of calls first."""
        return dict(label_columns(self._read))

    @property
    def _read(self) -> Counts:
        counts = self.counts
        assert counts is not None  # noqa: S101  there is a card only with counts
        return counts

    def begin(self) -> None:
        """Start on the data that are open, with the filter that was applied."""
        if self.counts is None or self.begun is self.data.opened:
            return
        qc = self.qc
        self.ranges = {"counts": KeptRange(qc.counts), "genes": KeptRange(qc.genes)}
        for each in self.ranges.values():
            each.param.watch(self._changed, ["low", "high"])
        self.param["min_cells"].bounds = (0, self._read.n_cells)
        self._show(self.data.filter)
        self.begun = self.data.opened
        self.look()

    def choose_column(self, name: str) -> None:
        """Choose cells by another column, without doublets and the like; or by none."""
        if name != self.column:
            usual = list(self.columns[name].usual) if name else []
            self.param.update(column=name, values=usual)

    def draft(self) -> CellFilter:
        """The filter as set.

        Raises
        ------
        ValueError
            If a range has no inside, or no value of a column is kept.
        """
        (min_counts, max_counts), (min_genes, max_genes) = (
            self.ranges[name].bounds for name in ("counts", "genes")
        )
        for name, each in self.ranges.items():
            if each.low > each.high:
                raise ValueError(
                    f"No cell has at least {each.low:,} and at most {each.high:,} {name}."
                )
        if self.column and not self.values:
            raise ValueError(f"Choose at least one value of {self.column}.")
        everything = (
            bool(self.column) and set(self.values) >= self.columns[self.column].cells.keys()
        )
        by_label = bool(self.column) and not everything
        return CellFilter(
            min_counts=min_counts,
            max_counts=max_counts,
            min_genes=min_genes,
            max_genes=max_genes,
            max_mt_share=round(self.max_mt_percent / 100, 6) if self._mt_matters else 1.0,
            min_cells=self.min_cells,
            obs_column=self.column if by_label else None,
            obs_values=self.values if by_label else (),
        )

    @property
    def _mt_matters(self) -> bool:
        return self.max_mt_percent < self.highest_mt_percent

    @property
    def highest_mt_percent(self) -> float:
        """Of all cells, rounded up; 0 where no mitochondrial gene is known."""
        share = self.qc.mt_share
        return 0.0 if share is None else float(np.ceil(1_000 * share.max(initial=0)) / 10)

    def work_out(self) -> Outcome:
        """What the settings would keep; it changes nothing, and may run in a thread."""
        counts = self._read
        try:
            draft = self.draft()
            cells = draft.kept_cells(counts)
            genes = draft.kept_genes(counts, cells)
        except ValueError as error:
            text = str(error)
            return Outcome(None, problem=text[:1].upper() + text[1:])
        n_cells, n_genes = int(cells.sum()), int(genes.sum())
        problem = ""
        if not n_cells or not n_genes:
            what = "gene" if n_cells else "cell"
            problem = f"No {what} would be left: widen a range."
        return Outcome(draft, n_cells, n_genes, problem)

    def look(self) -> None:
        """Bring the outcome up to date."""
        self.outcome = self.work_out()

    @property
    def sentence(self) -> str:
        """What the settings would keep, or why they cannot be applied."""
        found, counts = self.outcome, self._read
        if found.problem:
            return found.problem
        cells = some_of(found.n_cells, counts.n_cells, "cells")
        return f"Keeps {cells} and {some_of(found.n_genes, counts.n_genes, 'genes')}."

    @property
    def why_not(self) -> str:
        """Why there is nothing to apply; empty if there is."""
        found = self.outcome
        if found.problem:
            return "It cannot be applied."
        if found.cell_filter == self.data.filter:
            return "Nothing is set: move a slider." if self.data.filter.keeps_all else "Applied."
        return ""

    @property
    def to_keep(self) -> CellFilter | None:
        """The filter that Apply would apply now; None if there is nothing to apply."""
        return None if self.why_not else self.outcome.cell_filter

    @property
    def above_knee(self) -> CellFilter:
        """What is applied, with the knee as the lower bound of counts."""
        applied = self.data.filter
        low, high = knee_of(self._read), applied.max_counts
        high = None if high is None or high < low else high
        return replace(applied, min_counts=low, max_counts=high)

    def undo(self) -> None:
        """Go back to the data as they were read."""
        if self.counts is not None:
            self.data.keep(CellFilter(), self.counts)

    def _follow(self, *_: param.parameterized.Event) -> None:
        if self.begun is not None and self.begun is self.data.opened:
            self._show(self.data.filter)
            self.look()

    def _show(self, kept: CellFilter) -> None:
        self.ranges["counts"].show(kept.min_counts, kept.max_counts)
        self.ranges["genes"].show(kept.min_genes, kept.max_genes)
        column = kept.obs_column if kept.obs_column in self.columns else NO_COLUMN
        self.param.update(
            max_mt_percent=100 * kept.max_mt_share,
            min_cells=min(kept.min_cells, self._read.n_cells),
            column=column or NO_COLUMN,
            values=list(kept.obs_values) if column else [],
        )

    def _changed(self, *_: param.parameterized.Event) -> None:
        self.settings += 1
