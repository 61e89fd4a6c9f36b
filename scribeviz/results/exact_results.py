"""What exact inference returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray

from scribeviz._cards import shown_as
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.criticism.exact_loo import leave_one_out, predict_unseen
from scribeviz.criticism.loo import EXACT, HELD_OUT, CellScores
from scribeviz.data.counts import Counts
from scribeviz.data.depth_nodes import DepthSums
from scribeviz.data.gene_tables import GeneTables
from scribeviz.inference.gene_posterior import GenePosterior
from scribeviz.inference.gene_quadrature import Region
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.parameterizations import SUPPORTS
from scribeviz.models.spec import ModelSpec
from scribeviz.results.card import result_card
from scribeviz.results.count_files import shared_arrays, shared_from, shared_meta
from scribeviz.results.count_results import columns_of, generator_of, select_genes
from scribeviz.results.drawn import keeps_draws
from scribeviz.results.drawn_results import DrawnResults
from scribeviz.results.fitted_counts import fitted_counts
from scribeviz.results.gene_index import GeneIndex, chosen_ids
from scribeviz.results.stored import check_format, group, grouped

_FORMAT = 1
_TABLES = [f.name for f in fields(GeneTables) if f.name != "depth"]


@keeps_draws
@shown_as(result_card)
@dataclass(frozen=True, kw_only=True, eq=False)
class ExactResults(DrawnResults):
    """The posterior of a count model whose genes are independent, by quadrature.

    It is kept as what it follows from, the tables of the data and the priors that genes share, and
    computed where something is asked of it.

    Attributes
    ----------
    tables
        What the counts say of every gene.
    gene_priors
        The priors that genes share, as learned or as given.
    region
        Where the posteriors lie.
    loss_history
        Negative log evidence after every quarter of a sweep, in nats.
    settled
        Whether the shared priors no longer changed.
    model_config, n_cells, genes, left_out_genes, obs, depth, gene_ids
        As of :class:`ScribeSVIResults`.
    posterior_samples, predictive_samples
        What was drawn last with ``store_samples=True``.

    Examples
    --------
    >>> import scribeviz
    >>> counts = scribeviz.demo()
    >>> results = scribeviz.fit(counts, "nb", progress=False)
    >>> results.get_posterior_quantiles("mu", [0.05, 0.95])[0.05].shape
    (765,)
    >>> results["LYZ"].genes.tolist()
    ['LYZ']
    >>> results.loo(counts).elpd.shape
    (700,)
    """

    tables: GeneTables = field(repr=False)
    gene_priors: GenePriors
    region: Region = field(repr=False)
    loss_history: np.ndarray
    model_config: ModelSpec
    n_cells: int
    genes: np.ndarray
    depth: Depth = field(repr=False)
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
    def n_components(self) -> None:
        """Mixtures have no exact posterior."""
        return

    @property
    def can_start_others(self) -> bool:
        """A sampler needs no start that is better than the data's."""
        return False

    @property
    def posterior(self) -> GenePosterior:
        """The posteriors of the genes."""
        return GenePosterior(self.tables, self.gene_priors, self.region)

    def _exact_scores(self, counts: Counts) -> CellScores:
        scores = leave_one_out(self.posterior, counts, np.log(self.depth.relative))
        return CellScores(
            elpd=scores.by_cell,
            pareto_k=np.full(counts.n_cells, np.nan),  # nothing is resampled
            p_loo=float("nan"),
            scored=counts.depths_fingerprint,
            method=EXACT,
        )

    def score_unseen(self, counts: Any, n_samples: int = 0, *, seed: int = 0) -> CellScores:
        """How well cells are predicted that were not fitted; exact, without draws.

        Returns
        -------
        CellScores
            Log predictive density of every cell in nats, its depth integrated out over the
            log-normal of those that were fitted.
        """
        del n_samples, seed
        data = fitted_counts(counts, self.genes)
        about = self.depth.of(data, self.model_config.depth_column)
        log_depth, of_fitted = np.log(about.relative), np.log(self.depth.relative)
        return CellScores(
            elpd=predict_unseen(self.posterior, data, log_depth, of_fitted),
            pareto_k=np.zeros(data.n_cells),
            p_loo=float("nan"),
            scored=data.depths_fingerprint,
            method=HELD_OUT,
        )

    def _more_of_genes(self) -> dict[str, np.ndarray]:
        return {"over_poisson": self.posterior.over_poisson()}

    def _draw(self, key: PRNGKeyArray, n_draws: int) -> dict[str, np.ndarray]:
        return self._named(*self.posterior.draws(generator_of(key), n_draws))

    def quantiles_of(
        self, params: Sequence[str], quantiles: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Those of ``mu`` and ``r``, without draws."""
        return self._chosen(params, self._named(*self.posterior.quantiles(quantiles)))

    def get_map(
        self, use_mean: bool = False, canonical: bool = True, verbose: bool = True
    ) -> dict[str, np.ndarray]:
        """Median of every parameter; with ``use_mean`` the mean of μ, and the geometric mean of r.

        The dispersion of a gene whose counts scatter as chance alone makes them has no upper end:
        its arithmetic mean would be that end.  ``canonical`` changes nothing here.
        """
        del verbose
        if use_mean:
            means = self.posterior.means()
            values = self._named(np.log(means["mu"]), means["log_r"])
        else:
            log_mean, log_r = self.posterior.quantiles([0.5])
            values = self._named(log_mean[0], log_r[0])
        sites = {site.key for site in self.model_config.sites}
        return values if canonical else {name: values[name] for name in sites}

    def _named(self, log_mean: np.ndarray, log_r: np.ndarray) -> dict[str, np.ndarray]:
        """Values of the sites, and of the quantities that they stand for."""
        free = {"mu": log_mean, "r": log_r}
        named = {name: np.exp(value) for name, value in free.items()}
        for site in self.model_config.sites:
            value = SUPPORTS[site.support].from_free(free[site.quantity])
            named[site.key] = np.asarray(value, np.float32)
        return named

    def __getitem__(self, index: GeneIndex) -> "ExactResults":
        """Keep some genes: a name, names, a mask, a slice, an integer or integers."""
        columns = columns_of(self, index)
        predictive, region = self.predictive_samples, self.region
        return replace(
            self,
            tables=self.tables.select(columns),
            region=Region(region.low[columns], region.high[columns], region.log_mean[columns]),
            genes=self.genes[columns],
            gene_ids=chosen_ids(self.gene_ids, columns),
            posterior_samples=select_genes(self.posterior_samples, self.model_config, columns),
            predictive_samples=None if predictive is None else predictive[..., columns],
        )

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file; :meth:`load` reads it back.  No pickle, and no draws."""
        region = {name: getattr(self.region, name) for name in ("low", "high", "log_mean")}
        arrays = grouped("tables", {name: getattr(self.tables, name) for name in _TABLES})
        arrays |= grouped("sums", self.tables.depth._asdict()) | grouped("region", region)
        write_arrays(Path(path), arrays | shared_arrays(self), shared_meta(self, _FORMAT))

    @classmethod
    def load(cls, path: str | Path) -> "ExactResults":
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file was written by a newer version.
        """
        arrays, meta = read_arrays(Path(path))
        check_format(meta, _FORMAT, path)
        sums = DepthSums(**group(arrays, "sums"))
        return cls(
            tables=GeneTables(depth=sums, **group(arrays, "tables")),
            region=Region(**group(arrays, "region")),
            **shared_from(arrays, meta),
        )
