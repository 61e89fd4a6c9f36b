"""What every posterior of a count model can be asked; how it was found does not matter here."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray

from scribeviz.criticism.assignments import Assignments, component_probabilities
from scribeviz.criticism.budget import check_budget
from scribeviz.criticism.calibration import Calibration, calibrate, halves
from scribeviz.criticism.critique import Critique, criticise, scores_from_draws
from scribeviz.criticism.draws import affordable_draws, natural_draws
from scribeviz.criticism.integrated import integrated_log_likelihood
from scribeviz.criticism.log_likelihood import log_likelihood
from scribeviz.criticism.loo import CellScores, loo, unseen
from scribeviz.criticism.misfit import gene_table
from scribeviz.data.counts import Counts
from scribeviz.data.readers import as_counts
from scribeviz.models.builder import CountModel, build
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.likelihood import GIVEN
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.priors import Prior
from scribeviz.models.spec import ModelSpec
from scribeviz.results.drawn import SEED, key_or_default
from scribeviz.results.fitted_counts import fitted_counts
from scribeviz.results.gene_index import GeneIndex, gene_columns
from scribeviz.results.protocol import Results
from scribeviz.results.shown import Shown

if TYPE_CHECKING:
    import xarray as xr
    from anndata import AnnData

_LOG = logging.getLogger(__name__)
_FEWEST_CELLS = 1.0  # a component with a share of less than this many cells is empty


class CountResults(Shown, ABC):
    """A posterior of a count model.

    Its subclasses are frozen: only ``posterior_samples`` and ``predictive_samples`` change, when
    something is drawn with ``store_samples=True``.
    """

    model_config: ModelSpec
    n_cells: int
    n_genes: int
    genes: np.ndarray
    left_out_genes: np.ndarray
    gene_ids: np.ndarray | None
    obs: pd.DataFrame | None
    loss_history: np.ndarray
    posterior_samples: Mapping[str, np.ndarray] | None
    predictive_samples: np.ndarray | None
    diverging: np.ndarray | None
    depth: Depth | None
    gene_priors: GenePriors | None
    settled: bool

    @abstractmethod
    def get_posterior_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        store_samples: bool = True,
    ) -> dict[str, np.ndarray]:
        """Draws of every parameter and of what follows from them.

        Parameters
        ----------
        rng_key
            A JAX key; the same one gives the same draws.
        n_samples
            How many.
        store_samples
            Whether they are kept in ``posterior_samples``.

        Returns
        -------
        dict
            By name an array with a leading axis of draws.
        """

    @abstractmethod
    def get_map(self, use_mean: bool = False, canonical: bool = True) -> dict[str, np.ndarray]:
        """A point estimate of every parameter.

        Parameters
        ----------
        use_mean
            Means in place of modes that do not exist.
        canonical
            Also p and r, where the parameterization has others.
        """

    @abstractmethod
    def quantiles_of(
        self, params: Sequence[str], quantiles: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Quantiles of the posteriors of some parameters, each with a leading axis of quantiles.

        Raises
        ------
        KeyError
            If there is no such parameter.
        """

    def get_posterior_quantiles(
        self, param: str, quantiles: Sequence[float] = (0.025, 0.5, 0.975)
    ) -> dict[float, np.ndarray]:
        """Quantiles of the posterior of a site, or of what follows from the sites.

        Parameters
        ----------
        param
            Its name, such as ``"r"`` or ``"mu"``.
        quantiles
            Shares from 0 to 1.

        Returns
        -------
        dict
            By quantile an array of the parameter's shape: ``(genes,)`` of a gene's.

        Raises
        ------
        KeyError
            If there is no such parameter.
        """
        return dict(zip(quantiles, self.quantiles_of([param], quantiles)[param], strict=True))

    def _chosen(
        self, params: Sequence[str], values: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The values of some parameters; an unknown one is named, with those that there are."""
        unknown = [param for param in params if param not in values]
        if unknown:
            name = self.model_config.name
            raise KeyError(f"{unknown[0]!r} is no parameter of {name}; it has {list(values)}.")
        return {param: values[param] for param in params}

    @abstractmethod
    def chains(self, n_samples: int) -> dict[str, np.ndarray]:
        """Draws of the sites, ``(chains, draws, …)``; ``n_samples`` where still to be made."""

    @property
    def model(self) -> CountModel:
        """The NumPyro model of these parameters."""
        return build(
            self.model_config,
            self.n_cells,
            self.n_genes,
            depth=self.depth,
            gene_priors=self.gene_priors,
        )

    @property
    def notes(self) -> list[str]:
        """What can and what cannot be read from this posterior, in sentences."""
        return _notes(self)

    def critique(self, counts: Any, seed: int = 0) -> Critique:
        """Judge every gene and every cell: all that the dashboard shows of a fit.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.
        seed
            Of the posterior draws; the dashboard takes that of the fit.
        """
        *_, complete = self.judged(counts, seed)
        return complete

    def judged(self, counts: Any, seed: int = 0) -> Iterator[Critique]:
        """The same in two parts: every gene, which can be looked at already; then with scores."""
        values = self._site_draws(self._most_draws(affordable_draws(self.model)), seed)
        data = self._counts(counts)
        critique = criticise(self.model, data, values, self._assignments(data))
        critique = replace(
            critique,
            genes=critique.genes.assign(**self._more_of_genes()),
            notes=self.notes,
            calibration=self._calibration(data) if self.model_config.is_mixture else None,
        )
        yield critique
        scores = self._exact_scores(data)
        if scores is None:
            scores = scores_from_draws(self.model, data, values)
        yield replace(critique, scores=scores)

    def gene_table(self, counts: Any, n_samples: int = 100) -> pd.DataFrame:
        """Every gene's counts against what the model predicts, and how far apart they are.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.
        n_samples
            Posterior draws; of a sampled posterior as many as there are, at most.

        Returns
        -------
        pandas.DataFrame
            See :func:`scribeviz.criticism.misfit.gene_table`; of an exact fit also
            ``over_poisson``, the log evidence for a dispersion of the gene's own, in nats.
        """
        draws = natural_draws(self.model, self._site_draws(self._most_draws(n_samples)))
        return gene_table(self._counts(counts), draws).assign(**self._more_of_genes())

    def _more_of_genes(self) -> dict[str, np.ndarray]:
        """Further columns of the table of genes."""
        return {}

    def loo(self, counts: Any, n_samples: int = 200) -> CellScores:
        """How well cells are predicted that were left out, one at a time.

        By PSIS-LOO, or exactly where the posterior allows it: then without draws.  The capture, or
        the depth, of a cell is integrated out.  :func:`scribeviz.compare` sets such scores of
        several models side by side.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.
        n_samples
            Posterior draws; of a sampled posterior as many as there are, at most.
        """
        data = self._counts(counts)
        if (exact := self._exact_scores(data)) is not None:
            return exact
        values = self._site_draws(self._most_draws(n_samples))
        scores = loo(integrated_log_likelihood(self.model, values, data))
        return replace(scores, scored=data.depths_fingerprint)

    def score_unseen(self, counts: Any, n_samples: int = 200, *, seed: int = SEED) -> CellScores:
        """How well cells are predicted that were not fitted.

        Parameters
        ----------
        counts
            Of cells that were not fitted, in any form that ``fit`` takes.
        n_samples
            Posterior draws; of a sampled posterior as many as there are, at most.
        seed
            Of the draws.

        Returns
        -------
        CellScores
            Log predictive density of every cell in nats, its capture or depth integrated out.
        """
        data = fitted_counts(counts, self.genes)
        values = self._site_draws(self._most_draws(n_samples), seed)
        shared = {s.key: values[s.key] for s in self.model_config.sites if "cells" not in s.axes}
        scores = unseen(integrated_log_likelihood(self.model, shared, data))
        return replace(scores, scored=data.depths_fingerprint)

    def start_for(self, cells: np.ndarray, genes: np.ndarray) -> Results | None:
        """What a fit of some of these cells and genes can start from; None: it starts anew."""
        del cells, genes
        return None

    def assignment_probabilities(self, counts: Any) -> np.ndarray:
        """Probability that each cell belongs to each component, at the point estimate.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.

        Returns
        -------
        numpy.ndarray
            Shape ``(n_cells, n_components)``; rows sum to one.

        Raises
        ------
        ValueError
            If this is no mixture.
        """
        self._check_mixture()
        point = self.get_map(use_mean=True, canonical=False)
        split = self._log_likelihood_at(point, self._counts(counts), split_components=True)
        return component_probabilities(split).astype(np.float32)

    def calibrated_assignments(self, counts: Any) -> Calibration:
        """Assignments of cells that claim no more than halves of the genes can hold.

        See :mod:`scribeviz.criticism.calibration`.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.

        Raises
        ------
        ValueError
            If this is no mixture.
        """
        self._check_mixture()
        return self._calibration(self._counts(counts))

    def _calibration(self, counts: Counts) -> Calibration:
        first, second, log_weights = self._halves(counts)
        return calibrate(first, second, log_weights, self.n_genes)

    def _halves(self, counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-likelihoods of cells by two halves of the genes, and the log weights."""
        point = self.get_map(use_mean=True, canonical=False)
        log_weights = np.log(self.get_map(use_mean=True)["mixing_weights"])
        half = halves(self.n_genes)
        first, second = (
            self._log_likelihood_at(
                point,
                counts,
                split_components=True,
                weights=chosen.astype(np.float32),
                weight_type="multiplicative",
            )
            for chosen in (half, ~half)
        )
        return first - log_weights, second - log_weights, log_weights

    def _assignments(self, counts: Counts) -> Assignments | None:
        """Where cells belong, if that follows without any draws of the model's sites."""
        del counts
        return None

    def to_anndata(
        self,
        adata: "AnnData",
        key_added: str = "scribeviz",
        *,
        misfit: bool = False,
        layer: str | None = None,
    ) -> None:
        """Write the results into ``adata``, under names that begin with ``key_added``.

        ``uns[key]`` has the model and the end of the losses; ``var[key_mean]`` and
        ``var[key_dispersion]`` expected counts and r (NaN for genes that were not fitted), with the
        ends of their 90 % intervals beside them (``_low``, ``_high``) unless components or the
        capture of cells are averaged over; with capture ``obs[key_capture]``; of a mixture
        ``obs[key_component]``, ``obs[key_entropy]`` and ``obsm[key_probabilities]``, calibrated
        (:meth:`calibrated_assignments`), ``obs[key_margin]`` and ``varm[key_component_means]``.
        With ``misfit`` every gene is checked too, which takes seconds: ``var[key_misfit]``,
        ``var[key_p_value]`` and
        ``var[key_problem]``, from :meth:`gene_table`.  Nothing else is touched, and nothing at all
        if something is wrong.

        Parameters
        ----------
        adata
            The data that were fitted, its cells in the same order.
        key_added
            What the names begin with.
        misfit
            Whether to check every gene.
        layer
            Where the counts are, ``None`` for ``X``; looked at for mixtures and with ``misfit``.

        Raises
        ------
        CountsError
            If ``adata`` has another number of cells or lacks a gene that was fitted, or ``layer``
            does not hold counts.
        """
        from scribeviz.results.writing import write_gene_table, write_results

        needed = misfit or self.model_config.is_mixture
        counts = as_counts(adata, layer=layer) if needed else None
        genes = self.gene_table(counts) if misfit else None
        write_results(self, adata, key_added, counts)
        if genes is not None:
            write_gene_table(genes, adata, key_added)

    def to_datatree(self, n_samples: int = 500) -> "xr.DataTree":
        """The posterior for ArviZ: a ``posterior`` group of (chain, draw, …) by name.

        Parameters
        ----------
        n_samples
            Draws, where they have still to be made.
        """
        from scribeviz.results.writing import data_tree

        return data_tree(self, n_samples)

    def _counts(self, counts: Any, cells_axis: int = 0) -> Counts:
        """The data, of the genes that were fitted."""
        if cells_axis not in {0, 1}:
            raise ValueError(f"cells_axis={cells_axis} is neither 0 (rows) nor 1 (columns).")
        return fitted_counts(
            counts.T if cells_axis == 1 else counts,
            self.genes,
            n_cells=self.n_cells if self.model.cells_differ else None,
        )

    def _log_likelihood_at(
        self, point: Mapping[str, np.ndarray], counts: Counts, **options: Any
    ) -> np.ndarray:
        values = {site.key: point[site.key][None] for site in self.model_config.sites}
        return log_likelihood(self.model, values, counts, **options)[0]

    def _exact_scores(self, counts: Counts) -> CellScores | None:
        """Scores of left-out cells without any draws; None where the posterior tells none."""
        del counts
        return None

    def _most_draws(self, wanted: int) -> int:
        """As many draws as there are, at most."""
        return wanted if self.diverging is None else min(wanted, self.diverging.size)

    def _site_draws(self, n_samples: int, seed: int = SEED) -> dict[str, np.ndarray]:
        """Posterior draws of the model's own sites."""
        key = jax.random.PRNGKey(seed)
        drawn = self.get_posterior_samples(key, n_samples, store_samples=False)
        return {site.key: drawn[site.key] for site in self.model_config.sites}

    def _check_mixture(self) -> None:
        if not self.model_config.is_mixture:
            raise ValueError(f"{self.model_config.name} is no mixture: it has no components.")

    def _with_derived(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Draws of the sites, and of the quantities that follow from them."""
        return self.model.with_derived(values)

    def _check_data_sets(self, n_samples: int) -> None:
        check_budget(
            "the predictive samples",
            (n_samples, self.n_cells, self.n_genes),
            np.int32,
            instead="results[genes], fewer samples, or scribeviz.criticism.predictive.check_gene, "
            "which draws histograms gene by gene",
        )

    def _data_sets(self, values: Mapping[str, Any], rng_key: PRNGKeyArray | None) -> np.ndarray:
        rng, model = generator_of(key_or_default(rng_key)), self.model
        n_samples = len(next(iter(values.values())))
        self._check_data_sets(n_samples)
        data_sets = np.empty((n_samples, self.n_cells, self.n_genes), np.int32)
        for i in range(n_samples):
            draw = {site.key: values[site.key][i] for site in self.model_config.sites}
            data_sets[i] = model.draw(rng, draw)[0]
        return data_sets


def select_genes(
    values: Mapping[str, np.ndarray] | None, spec: ModelSpec, columns: np.ndarray
) -> dict[str, np.ndarray] | None:
    """Keep some genes of draws by name; what has no genes stays."""
    if values is None:
        return None
    axes = _axes(spec)
    return {
        name: value[..., columns] if "genes" in axes.get(name, ()) else value
        for name, value in values.items()
    }


def select_component(
    values: Mapping[str, np.ndarray] | None, spec: ModelSpec, k: int
) -> dict[str, np.ndarray] | None:
    """Keep one component of draws by name, and drop its axis; the weights go."""
    if values is None:
        return None
    mixing, axes = spec.sites[-1], _axes(spec)
    return {
        name: value[:, k] if spec.repeats(axes.get(name, ()), "components") else value
        for name, value in values.items()
        if name not in {mixing.key, mixing.quantity}
    }


def _axes(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """What every site and every quantity that follows is repeated over."""
    quantities = {site.quantity: site.axes for site in spec.sites}
    sites = {site.key: site.axes for site in spec.sites}
    return {**LIKELIHOODS[spec.likelihood].axes, **quantities, **sites}


def depth_in(data: Any, spec: ModelSpec) -> Depth | None:
    """Depth of the cells of ``data``, which are only read where ``spec`` takes it as given."""
    if LIKELIHOODS[spec.likelihood].depth != GIVEN:
        return None
    counts = as_counts(data)
    return build(spec, counts.n_cells, counts.n_genes).depth_of(counts)


def priors_as_lists(params: Mapping[str, Any]) -> dict[str, list[float]]:
    """Numbers of priors as a file keeps them."""
    return {name: np.ravel(value).tolist() for name, value in params.items()}


def check_component(spec: ModelSpec, index: int) -> None:
    """Raise unless there is a component of this index."""
    if not spec.is_mixture:
        raise ValueError(f"{spec.name} is no mixture: it has no components.")
    if not 0 <= index < spec.n_components:
        raise IndexError(
            f"there is no component {index}; the {spec.n_components} are 0 to "
            f"{spec.n_components - 1}."
        )


def columns_of(results: CountResults, index: GeneIndex) -> np.ndarray:
    """Positions of the genes that ``index`` means."""
    return gene_columns(results.genes, index, results.gene_ids)


def generator_of(key: PRNGKeyArray) -> np.random.Generator:
    """NumPy's generator whose seed is a key of JAX."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())


def _notes(results: CountResults) -> list[str]:
    spec, notes = results.model_config, []
    capture = [site for site in spec.sites if "cells" in site.axes]
    flat = {Prior("beta", (1.0, 1.0)), Prior("betaprime", (1.0, 1.0)), Prior("normal", (0.0, 1.0))}
    if capture and not spec.total_mrna and spec.prior(capture[0]) in flat:
        notes.append(
            "The level of capture is open: only capture times mean, ratios between genes and ratios"
            " between cells can be compared between runs. Say how many mRNA molecules a cell holds "
            "to fix it."
        )
    if spec.is_mixture:
        shares = results.get_map(use_mean=True)["mixing_weights"]
        empty = int((shares * results.n_cells < _FEWEST_CELLS).sum())
        if empty:
            notes.append(
                f"{empty} of the {spec.n_components} components hold no cells: the data support "
                "fewer."
            )
    return notes
