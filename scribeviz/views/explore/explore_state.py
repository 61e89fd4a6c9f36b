"""What is looked at in a finished run: a gene, and all cells or a group of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import param

from scribeviz.criticism.assignments import agreement, cross_table, depth_warning, entropy
from scribeviz.criticism.critique import Critique
from scribeviz.criticism.library import LibraryCheck
from scribeviz.criticism.misfit import gene_table
from scribeviz.criticism.overlap import PriorPosterior, prior_posterior
from scribeviz.criticism.predictive import GeneCheck
from scribeviz.data.cells import LATENT, PCA, UMAP
from scribeviz.data.counts import Counts
from scribeviz.data.usual_names import symbols_of
from scribeviz.models.parameterizations import Site
from scribeviz.plots.theme import shortened
from scribeviz.runs.folder import RunFolder
from scribeviz.views.explore.explored import Explored, fitted_results, posterior_draws
from scribeviz.views.shared.gone import UNREADABLE, why_unreadable

# Longer than names of obs columns are, so that they differ.
_ENTROPY, _COMPONENT = "entropy of the assignment", "component of the model"
_AGREEMENT, _DEPTH = "agreement of posterior draws", "total counts of the cell"
_FEWEST_CELLS = 10
_MOST_GROUPS, _OTHERS = 50, "(all others)"
_FEW_NUMBERS = 10  # up to so many different numbers are names, such as of clusters


_MOST_RECENT = 6  # genes


class ExploreState(param.Parameterized):
    """What is looked at in a finished run."""

    explored = param.ClassSelector(class_=Explored, doc="The run.")
    opening = param.String("", doc="Which run is being read, in words.")
    gene = param.String("", doc="The gene whose check is shown.")
    note = param.String("", doc="By which other name the gene was found, in a sentence.")
    recent = param.List([], doc="Genes that were asked for by name or in the table, newest first.")
    kind = param.Selector(
        default="Counts",
        objects=["Counts", "Cumulative", "Rootogram", "Residuals"],
        doc="How the gene's check is drawn.",
    )
    log_axis = param.Boolean(False, label="Logarithmic", doc="Draw cells on a logarithmic axis.")
    label = param.Selector(objects=[None], allow_None=True, doc="obs column to compare with.")
    table = param.DataFrame(doc="The genes, judged by the cells that are looked at.")
    picked = param.List([], doc="Genes picked in a picture or by fault; if none, all are listed.")
    cells = param.Array(allow_None=True, doc="Positions of the chosen cells; None means all.")
    chosen_by = param.String("", doc="How the cells were chosen, in words.")
    problem = param.String("", doc="Why cells could not be chosen.")
    place = param.Selector(objects=[PCA, UMAP], doc="Where the cells are drawn.")
    color_by = param.Selector(objects=[_DEPTH], doc="What their colour says.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._mixtures: dict[str, Path] = {}

    def show(self, explored: Explored, mixtures: Mapping[str, Path] | None = None) -> None:
        """Look at ``explored``, first at the gene with the largest misfit.

        Parameters
        ----------
        explored
            The run.
        mixtures
            Other runs whose groups may colour its cells: mixtures of the same data, by name.
        """
        labels = dict.fromkeys(str(column) for column in explored.counts.obs.columns)
        table = explored.critique.genes
        worst = str(table["gene"].iloc[int(table["misfit"].argmax())])
        label = _most_telling(explored.counts.obs)
        places = [*sorted(explored.counts.embeddings, key=_drawn_first), PCA, UMAP]
        if explored.has_latent_space:
            places = [LATENT, *places]
        self._mixtures = {f"entropy under {name}": path for name, path in (mixtures or {}).items()}
        of_mixture = [_COMPONENT, _ENTROPY, _AGREEMENT] if explored.model.is_mixture else []
        if explored.critique.agreement is None:
            of_mixture = of_mixture[:2]
        self.param.label.objects = [None, *labels]
        self.param.place.objects = places
        offered = [*of_mixture, _DEPTH, *labels, *self._mixtures]
        self.param.color_by.objects = list(dict.fromkeys(offered))
        self.param.update(
            explored=explored,
            gene=self.gene if self.gene in set(explored.counts.genes) else worst,
            label=label,
            table=table,
            picked=[],
            cells=None,
            chosen_by="",
            problem="",
            place=places[0],
            color_by=of_mixture[0] if of_mixture else label or _DEPTH,
        )

    @property
    def can_choose_cells(self) -> bool:
        """Whether the model can be checked on some of the cells."""
        return self.explored.critique.can_choose_cells

    @property
    def checked(self) -> np.ndarray | None:
        """Positions of the cells that checks are restricted to; None means all."""
        return self.cells if self.can_choose_cells else None

    def choose_cells(self, cells: np.ndarray, chosen_by: str) -> None:
        """Check the model on these cells only."""
        if cells.size < _FEWEST_CELLS:
            few = f"{cells.size:,} cells are too few to check a model on; choose {_FEWEST_CELLS}."
            self.problem = few
            return
        # What was judged by other cells no longer holds.
        table = self.explored.critique.genes
        self.param.update(cells=np.sort(cells), chosen_by=chosen_by, problem="", table=table)

    def choose_all(self) -> None:
        """Check the model on all cells again."""
        if self.cells is not None:
            table = self.explored.critique.genes
            self.param.update(cells=None, chosen_by="", problem="", table=table)

    def listed(self) -> pd.DataFrame:
        """The genes of the table, worst first: all of them, or those that were picked."""
        table = self.table
        if self.picked:
            table = table[table["gene"].isin(self.picked)]
        return table.sort_values("misfit", ascending=False)

    def judge_chosen(self) -> pd.DataFrame:
        """Judge all genes by the chosen cells; takes seconds with many genes."""
        counts, critique = self._looked_at()
        return gene_table(counts, critique.natural)

    def _looked_at(self) -> tuple[Counts, Critique]:
        """The counts and the fit, of the cells that are checked."""
        counts, critique = self.explored.counts, self.explored.critique
        if self.checked is None:
            return counts, critique
        return counts.select_cells(self.checked), critique.of_cells(self.checked)

    def find_gene(self, text: str) -> str:
        """Look at the gene of that name, id or alias, whatever its case.

        Returns
        -------
        str
            Why it cannot be told which gene that is; empty if it can.
        """
        counts = self.explored.counts
        # As it is written goes first: to some, upper and lower case tell species apart.
        exact = counts.lookup.positions(text)
        places, note = exact or counts.lookup.positions(text, any_case=True), ""
        if not places:
            unknown = f"No gene of this run is called {shortened(text, 40)}"
            symbols = symbols_of(text)
            places = [place for name in symbols for place in counts.lookup.positions(name)]
            genes = [str(counts.genes[place]) for place in places]
            if not places:
                missing = f"; it is {_either(symbols)}, which is not among them" if symbols else ""
                return f"{unknown}{missing}."
            if len(places) > 1:
                return f"{unknown}; it may be {_either(genes)}: give one of these."
            note = f"{unknown}; it is {genes[0]} here."
        if len(places) > 1:
            return counts.lookup.ambiguous(text, places)
        gene = str(counts.genes[places[0]])
        self.param.update(gene=gene, note=note)
        self.remember(gene)
        return ""

    def remember(self, gene: str) -> None:
        """Put a gene that was asked for before those that were asked for earlier."""
        others = [other for other in self.recent if other != gene]
        self.recent = [gene, *others][:_MOST_RECENT]

    def recent_here(self) -> list[str]:
        """Those of the genes that were asked for lately that the run has."""
        there = set(self.explored.critique.genes["gene"])
        return [gene for gene in self.recent if gene in there]

    def gene_check(self, gene: str = "") -> GeneCheck:
        """A gene's counts in the chosen cells against the model; the chosen gene when left out."""
        counts, critique = self.explored.counts, self.explored.critique
        index = counts.gene_index(gene or self.gene)
        seen = counts.gene_at(index)  # not of selected counts: a click must not copy them all
        if self.checked is None:
            return critique.check(seen, index)
        return critique.of_cells(self.checked).check(seen[self.checked], index)

    def moved(self) -> dict[str, tuple[Site, list[PriorPosterior]]]:
        """Prior and posterior of every parameter, of each component, for the chosen gene.

        Empty for a user's own model, whose priors are not known.
        """
        explored = self.explored
        spec: Any = explored.model
        if not explored.has_priors:
            return {}
        draws, moved = posterior_draws(explored), {}
        gene, model = explored.counts.gene_index(self.gene), fitted_results(explored).model
        for site in spec.sites:
            if "cells" in site.axes:
                continue
            values = draws[site.key]
            if spec.has_axis(site, "genes"):
                values = values[..., gene]
            prior, k = model.numbered_prior(site, draws, gene), spec.n_components
            moved[site.key] = (
                site,
                [
                    prior_posterior(prior, site.support, one, k)
                    for one in values.reshape(len(values), -1).T
                ],
            )
        return moved

    def library(self) -> LibraryCheck:
        """Total counts of the chosen cells against the model."""
        counts, critique = self._looked_at()
        return critique.library(counts)

    def column(self, name: str) -> pd.Series:
        """A column of ``obs``; by position, as two may share a name."""
        obs = self.explored.counts.obs
        return obs.iloc[:, list(obs.columns).index(name)]

    def colors(self, name: str | None = None) -> pd.Series:
        """What the cells' colours say: numbers, or a categorical of groups."""
        explored, name = self.explored, name or self.color_by
        sources: dict[str, Callable[[], Any]] = {
            _ENTROPY: self.entropies,
            _COMPONENT: lambda: pd.Categorical(explored.components + 1),
            _AGREEMENT: lambda: explored.critique.agreement,
            _DEPTH: lambda: explored.counts.cell_totals,
        }
        n_cells = explored.counts.n_cells
        for mixture, path in self._mixtures.items():
            sources[mixture] = partial(_entropies_of, path, n_cells)
        if name in sources and name in self.param.color_by.objects:
            return pd.Series(sources[name](), name=name)
        values = self.column(name)
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numeric and values.nunique() > _FEW_NUMBERS:
            return values.astype(float).reset_index(drop=True)
        texts = values.astype(object).where(values.notna(), "(none)").astype(str)
        largest = texts.value_counts().index
        if largest.size > _MOST_GROUPS:  # barcodes, say: nobody tells so many colours apart
            texts = texts.where(texts.isin(largest[: _MOST_GROUPS - 1]), _OTHERS)
        return pd.Series(pd.Categorical(texts), name=name)

    def groups(self) -> list[str]:
        """Groups of cells that the colours stand for; none where they stand for numbers."""
        colors = self.colors()
        if not isinstance(colors.dtype, pd.CategoricalDtype):
            return []
        return [str(name) for name in colors.cat.categories]

    def choose_group(self, group: str) -> None:
        """Check the model on the cells of one of :meth:`groups`."""
        cells = np.flatnonzero(self.colors().astype(str) == group)
        self.choose_cells(cells, f"{self.color_by}: {group}")

    def composition(self) -> pd.DataFrame | None:
        """Shares of the groups of :attr:`label` among the chosen and among all cells."""
        if self.label is None or self.cells is None:
            return None
        labels = self.colors(self.label)
        if not isinstance(labels.dtype, pd.CategoricalDtype):
            return None
        counts = pd.DataFrame(
            {"cells": labels.iloc[self.cells].value_counts(), "of": labels.value_counts()}
        ).sort_values("cells", ascending=False)
        return counts.assign(
            chosen=counts["cells"] / self.cells.size, all=counts["of"] / labels.size
        ).rename_axis(index="group")

    def entropies(self) -> np.ndarray:
        """Entropy of every cell's assignment, in nats; calibrated where that is known."""
        return entropy(self.explored.critique.calibrated)

    def sizes(self) -> np.ndarray:
        """Cells per component."""
        k = self.explored.model.n_components
        return np.bincount(self.explored.components, minlength=k)

    def confusion(self) -> pd.DataFrame | None:
        """Cells per label and component, for the chosen ``obs`` column."""
        if self.label is None:
            return None
        explored = self.explored
        labels = self.column(self.label)
        return cross_table(explored.components, labels, explored.model.n_components)

    def agreement(self) -> tuple[float, float] | None:
        """Adjusted Rand index and normalised mutual information with the chosen ``obs`` column."""
        if self.label is None or self.column(self.label).isna().all():
            return None
        return agreement(self.explored.components, self.column(self.label))

    def depth_warning(self) -> str | None:
        """A sentence when the components follow sequencing depth."""
        return depth_warning(self.explored.components, self.explored.counts.cell_totals)


def _either(names: Sequence[str]) -> str:
    """Names, of which one is meant."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _entropies_of(path: Path, n_cells: int) -> np.ndarray:
    """Entropy of every cell's assignment in another run."""
    try:
        return entropy(RunFolder(path).calibrated)
    except UNREADABLE as problem:  # its cells are drawn without a colour, and the log says why
        why_unreadable(problem)
        return np.full(n_cells, np.nan)


def _drawn_first(name: str) -> int:
    """UMAP before t-SNE before all else."""
    lower = name.lower()
    return next((i for i, kind in enumerate(("umap", "tsne")) if kind in lower), 2)


def _most_telling(obs: pd.DataFrame) -> str | None:
    """The first column of labels with a few values, which is most often the cell type."""
    for i, column in enumerate(obs.columns):  # by position: two columns may share a name
        values = obs.iloc[:, i]
        if isinstance(values.dtype, pd.CategoricalDtype) and 2 <= values.nunique() <= _MOST_GROUPS:
            return str(column)
    return None
