"""What variational EM returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, PRNGKeyArray
from scipy.special import digamma, softmax
from scipy.stats import beta

from scribeviz._cards import shown_as
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.criticism.assignments import Assignments, assigned
from scribeviz.criticism.calibration import halves
from scribeviz.data.component_tables import CellsByDepth, ComponentTables
from scribeviz.data.counts import Counts
from scribeviz.data.depth_nodes import DepthSums
from scribeviz.data.gene_tables import GeneTables
from scribeviz.inference.component_moments import log_likelihood
from scribeviz.inference.component_posterior import ComponentPosterior
from scribeviz.inference.component_quadrature import ComponentRegion
from scribeviz.inference.known_labels import KnownLabels
from scribeviz.models.component_priors import ComponentPriors
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.parameterizations import MIXING
from scribeviz.models.spec import ModelSpec
from scribeviz.results.card import result_card
from scribeviz.results.count_files import shared_arrays, shared_from, shared_meta
from scribeviz.results.count_results import columns_of, generator_of, select_genes
from scribeviz.results.drawn import SEED, keeps_draws
from scribeviz.results.drawn_results import DrawnResults
from scribeviz.results.gene_index import GeneIndex, chosen_ids
from scribeviz.results.stored import check_format, group, grouped

_FORMAT = 1
_KNOWN = ("labels", "label_strength", "label_names")
_VOTES = 20  # posterior draws that say where cells belong
_GENES = [f.name for f in fields(GeneTables) if f.name != "depth"]
_OWN = ("cells_above", "stretch_cells")  # what differs where components have their own dispersions


@keeps_draws
@shown_as(result_card)
@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureResults(DrawnResults):
    """The posterior of a mixture whose genes are independent given where cells belong.

    It is kept as what it follows from, the tables of the components and the priors that genes
    share, and computed where something is asked of it.

    Attributes
    ----------
    tables
        What the counts say of every gene in every component.
    priors
        The priors that genes share, as learned or as given.
    region
        Where the posteriors lie.
    concentrations
        Of the Dirichlet posterior of the weights.
    labels, label_strength, label_names
        The column of ``obs`` that was known beforehand, how strongly, and the labels that the first
        components stand for; nothing where none was given.
    loss_history
        Minus the bound on the log evidence after every sweep, in nats.
    settled
        Whether the last sweep gained no more.
    model_config, n_cells, genes, left_out_genes, obs, depth, gene_ids
        As of :class:`ScribeSVIResults`.
    posterior_samples, predictive_samples
        What was drawn last with ``store_samples=True``.

    Examples
    --------
    >>> results = scribeviz.fit(adata, "nb", n_components=5)  # doctest: +SKIP
    >>> results.get_posterior_quantiles("mu", [0.05, 0.95])[0.05].shape  # doctest: +SKIP
    (5, 16634)
    """

    tables: ComponentTables = field(repr=False)
    priors: ComponentPriors
    region: ComponentRegion = field(repr=False)
    concentrations: Float[np.ndarray, " components"]
    loss_history: np.ndarray
    model_config: ModelSpec
    n_cells: int
    genes: np.ndarray
    depth: Depth = field(repr=False)
    labels: str = ""
    label_strength: float = 0.0
    label_names: tuple[str, ...] = ()
    left_out_genes: np.ndarray = field(default_factory=lambda: np.zeros(0, object), repr=False)
    obs: pd.DataFrame | None = None
    settled: bool = True
    gene_ids: np.ndarray | None = field(default=None, repr=False)
    posterior_samples: Mapping[str, np.ndarray] | None = field(default=None, repr=False)
    predictive_samples: np.ndarray | None = field(default=None, repr=False)

    @property
    def n_genes(self) -> int:  # type: ignore[override]  # follows from the names
        """Number of genes that were fitted."""
        return len(self.genes)

    @property
    def model_type(self) -> str:
        """Name of the model."""
        return self.model_config.name

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.model_config.n_components

    @property
    def can_start_others(self) -> bool:
        """A sampler starts from the data, or from a variational fit."""
        return False

    @property
    def gene_priors(self) -> GenePriors:  # type: ignore[override]  # follows from the priors
        """The priors of one component's means and dispersions, whatever the others are."""
        genes = self.priors.genes
        if not self.priors.has_levels:
            return genes
        return replace(genes, spread=float(np.hypot(genes.spread, self.priors.between)))

    @property
    def posterior(self) -> ComponentPosterior:
        """The posteriors of the genes in the components."""
        return ComponentPosterior(self.tables, self.priors, self.region)

    def assignment_probabilities(self, counts: Any) -> np.ndarray:
        """Probability that each cell belongs to each component, over the posterior of the genes.

        Parameters
        ----------
        counts
            The data that were fitted, or other cells, in any form that ``fit`` takes.

        Returns
        -------
        numpy.ndarray
            Shape ``(n_cells, n_components)``; rows sum to one.
        """
        first, second, log_weights = self._halves(self._counts(counts))
        return np.asarray(softmax(first + second + log_weights, axis=1), np.float32)

    def _draw(self, key: PRNGKeyArray, n_draws: int) -> dict[str, np.ndarray]:
        rng = generator_of(key)
        log_mean, log_r = self.posterior.draws(rng, n_draws)
        return self._named(log_mean, log_r, rng.dirichlet(self.concentrations, n_draws))

    def quantiles_of(
        self, params: Sequence[str], quantiles: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Those of ``mu``, ``r`` and ``mixing_weights``, without draws."""
        a = self.concentrations
        weights = beta.ppf(np.asarray(quantiles)[:, None], a, a.sum() - a)
        log_mean, log_r = self.posterior.quantiles(quantiles)
        return self._chosen(params, self._named(log_mean, log_r, weights))

    def get_map(
        self, use_mean: bool = False, canonical: bool = True, verbose: bool = True
    ) -> dict[str, np.ndarray]:
        """Median of μ and r, or with ``use_mean`` the mean of μ and the geometric mean of r.

        The weights are their means.  ``canonical`` changes nothing here.
        """
        del verbose, canonical
        weights = (self.concentrations / self.concentrations.sum())[None]
        if use_mean:
            means = self.posterior.means()
            named = self._named(np.log(means["mu"])[None], means["log_r"][None], weights)
        else:
            named = self._named(*self.posterior.quantiles([0.5]), weights)
        return {name: value[0] for name, value in named.items()}

    def _named(
        self, log_mean: np.ndarray, log_r: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Values of the sites, a leading axis first."""
        own = self.model_config.component_specific_params
        values = {
            "mu": np.exp(log_mean),
            "r": np.exp(log_r if own else log_r[:, 0]),
            MIXING.quantity: weights,
        }
        return {name: np.asarray(value, np.float32) for name, value in values.items()}

    def _halves(self, counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cells = self._cells(counts)
        moments = self.posterior.moments(cells)
        half = halves(self.n_genes)
        first, second = (log_likelihood(cells, moments, genes) for genes in (half, ~half))
        weights = digamma(self.concentrations) - digamma(self.concentrations.sum())
        return first, second, weights + self._log_odds(counts)

    def _assignments(self, counts: Counts) -> Assignments:
        cells, rng = self._cells(counts), np.random.default_rng(SEED)
        probabilities = self.assignment_probabilities(counts)
        likeliest = assigned(probabilities)
        agree = np.zeros(counts.n_cells)
        log_mean, log_r = self.posterior.draws(rng, _VOTES)
        weights = np.log(rng.dirichlet(self.concentrations, _VOTES))[:, None]
        log_odds = self._log_odds(counts)
        for mean, r, log_weights in zip(log_mean, log_r, weights, strict=True):
            shares = cells.log_likelihood_at(mean, r) + log_weights + log_odds
            agree += shares.argmax(axis=1) == likeliest
        return Assignments(probabilities, agree / _VOTES)

    def _log_odds(self, counts: Counts) -> np.ndarray:
        """What labels say of the cells, where they were known in the fit and are there."""
        if not self.labels or self.labels not in counts.obs.columns:
            return np.zeros((1, self.n_components))
        column = counts.obs.iloc[:, list(counts.obs.columns).index(self.labels)].astype("category")
        known = column.cat.rename_categories(str).cat.set_categories(list(self.label_names))
        labels = KnownLabels(self.label_names, known.cat.codes.to_numpy(np.int64))
        return labels.log_odds(self.n_components, self.label_strength)

    @property
    def notes(self) -> list[str]:
        """What can and what cannot be read from this posterior, in sentences."""
        named = [f"{i + 1}: {name}" for i, name in enumerate(self.label_names)]
        said = f"Components stand for labels of {self.labels}: {', '.join(named)}."
        return [*super().notes, *([said] if named else [])]

    def _cells(self, counts: Counts) -> CellsByDepth:
        depth = self.model.depth_of(counts)
        assert depth is not None  # noqa: S101  nb takes depth as given
        own = self.model_config.component_specific_params
        return CellsByDepth(counts, np.log(depth.relative), own_dispersions=own)

    def __getitem__(self, index: GeneIndex) -> "MixtureResults":
        """Keep some genes: a name, names, a mask, a slice, an integer or integers."""
        columns = columns_of(self, index)
        predictive = self.predictive_samples
        return replace(
            self,
            tables=self.tables.select(columns),
            region=self.region.select(columns),
            genes=self.genes[columns],
            gene_ids=chosen_ids(self.gene_ids, columns),
            posterior_samples=select_genes(self.posterior_samples, self.model_config, columns),
            predictive_samples=None if predictive is None else predictive[..., columns],
        )

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file; :meth:`load` reads it back.  No pickle, and no draws."""
        tables = self.tables
        arrays = grouped("tables", {name: getattr(tables.genes, name) for name in _GENES})
        arrays |= grouped("sums", tables.genes.depth._asdict())
        arrays |= grouped(
            "components",
            {"place": tables.place, "of_genes": tables.of_genes, "of_cells": tables.of_cells},
        )
        for i, one in enumerate(tables.rising):
            arrays |= grouped(f"rising/{i}", {name: getattr(one, name) for name in _OWN})
        arrays |= grouped("region", self.region.arrays) | grouped("priors", self.priors.arrays)
        arrays["concentrations"] = self.concentrations
        known = {name: getattr(self, name) for name in _KNOWN}
        write_arrays(Path(path), arrays | shared_arrays(self), shared_meta(self, _FORMAT) | known)

    @classmethod
    def load(cls, path: str | Path) -> "MixtureResults":
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file was written by a newer version.
        """
        arrays, meta = read_arrays(Path(path))
        check_format(meta, _FORMAT, path)
        sums = DepthSums(**group(arrays, "sums"))
        genes = GeneTables(depth=sums, **group(arrays, "tables"))
        shared = shared_from(arrays, meta)
        del shared["gene_priors"]
        k = shared["model_config"].n_components
        each = [group(arrays, f"rising/{i}") for i in range(k)]
        rising = tuple(
            replace(genes, cells_above=one["cells_above"], stretch_cells=one["stretch_cells"])
            for one in each
            if one
        )
        return cls(
            tables=ComponentTables(genes=genes, rising=rising, **group(arrays, "components")),
            priors=ComponentPriors.from_arrays(group(arrays, "priors")),
            region=ComponentRegion.from_arrays(group(arrays, "region")),
            concentrations=arrays["concentrations"],
            labels=meta["labels"],
            label_strength=meta["label_strength"],
            label_names=tuple(meta["label_names"]),
            **shared,
        )
