"""What every posterior of a count model can be asked; how it was found does not matter here."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray
from numpy.typing import DTypeLike

from scribeviz.criticism.assignments import component_probabilities, entropy
from scribeviz.criticism.budget import check_budget
from scribeviz.criticism.critique import Critique, criticise
from scribeviz.criticism.dirichlet import fit_dirichlet
from scribeviz.criticism.draws import affordable_draws, natural_draws
from scribeviz.criticism.integrated import integrated_log_likelihood
from scribeviz.criticism.log_likelihood import log_likelihood
from scribeviz.criticism.loo import CellScores, loo
from scribeviz.criticism.misfit import gene_table
from scribeviz.criticism.normalization import fit_expression, normalized_expression
from scribeviz.data.counts import Counts, CountsError, are_made_up
from scribeviz.data.readers import as_counts
from scribeviz.models.builder import CountModel, build
from scribeviz.models.depth import Depth
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.priors import Prior
from scribeviz.models.spec import ModelSpec
from scribeviz.results.gene_index import GeneIndex, gene_columns

if TYPE_CHECKING:
    import xarray as xr
    from anndata import AnnData

_LOG = logging.getLogger(__name__)
_SEED = 42
_FEWEST_CELLS = 1.0  # a component with a share of less than this many cells is empty


class CountResults(ABC):
    """A posterior of a count model.

    Its subclasses are frozen: only ``posterior_samples`` and ``predictive_samples`` change, when
    something is drawn with ``store_samples=True``.
    """

    model_config: ModelSpec
    n_cells: int
    n_genes: int
    genes: np.ndarray
    left_out_genes: np.ndarray
    obs: pd.DataFrame | None
    loss_history: np.ndarray
    posterior_samples: Mapping[str, np.ndarray] | None
    predictive_samples: np.ndarray | None
    diverging: np.ndarray | None
    depth: Depth | None

    @abstractmethod
    def get_posterior_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        store_samples: bool = True,
    ) -> dict[str, np.ndarray]:
        """Draws of every parameter and of what follows from them, a leading axis of draws."""

    @abstractmethod
    def get_map(self, use_mean: bool = False, canonical: bool = True) -> dict[str, np.ndarray]:
        """A point estimate of every parameter."""

    @abstractmethod
    def chains(self, n_samples: int) -> dict[str, np.ndarray]:
        """Draws of the sites, ``(chains, draws, …)``; ``n_samples`` where still to be made."""

    @property
    def model(self) -> CountModel:
        """The NumPyro model of these parameters."""
        return build(self.model_config, self.n_cells, self.n_genes, depth=self.depth)

    @property
    def notes(self) -> list[str]:
        """What can and what cannot be read from this posterior, in sentences."""
        return _notes(self)

    def log_likelihood(
        self,
        counts: Any,
        batch_size: int | None = None,
        return_by: str = "cell",
        cells_axis: int = 0,
        ignore_nans: bool = False,
        split_components: bool = False,
        weights: Any = None,
        weight_type: str | None = None,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Log-likelihood of data under the stored posterior samples, in nats.

        Parameters
        ----------
        counts
            The data: AnnData, matrix or :class:`Counts`; genes that were not fitted are left out.
        batch_size
            Draws on the device at once; changes no number.
        return_by, split_components, weights, weight_type, dtype
            See :func:`scribeviz.criticism.log_likelihood.log_likelihood`.
        cells_axis
            0 if rows are cells, 1 if columns are.
        ignore_nans
            Leave out draws whose log-likelihood is NaN anywhere.

        Returns
        -------
        numpy.ndarray
            ``(n_samples, n_cells)`` or ``(n_samples, n_genes)``; split, with a last axis of
            components.

        Raises
        ------
        ValueError
            If nothing has been drawn yet, or arguments contradict each other.
        """
        scores = log_likelihood(
            self.model,
            self._stored_sites(),
            self._counts(counts, cells_axis),
            batch_size=batch_size,
            return_by=return_by,
            split_components=split_components,
            weights=weights,
            weight_type=weight_type,
            dtype=dtype,
        )
        if not ignore_nans:
            return scores
        return scores[~np.isnan(scores.reshape(len(scores), -1)).any(axis=1)]

    def log_likelihood_map(
        self,
        counts: Any,
        batch_size: int | None = None,
        gene_batch_size: int | None = None,
        return_by: str = "cell",
        cells_axis: int = 0,
        split_components: bool = False,
        weights: Any = None,
        weight_type: str | None = None,
        use_mean: bool = True,
        verbose: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Log-likelihood at the point estimate: as :meth:`log_likelihood`, without draws."""
        del batch_size, gene_batch_size
        point = self.get_map(use_mean=use_mean, canonical=False)
        if verbose and any(np.isnan(value).any() for value in point.values()):
            _LOG.warning("some modes do not exist and give NaN; use_mean=True takes means there")
        scores = log_likelihood(
            self.model,
            {site.key: point[site.key][None] for site in self.model_config.sites},
            self._counts(counts, cells_axis),
            return_by=return_by,
            split_components=split_components,
            weights=weights,
            weight_type=weight_type,
            dtype=dtype,
        )
        return scores[0]

    def mixture_component_entropy(
        self,
        counts: Any,
        return_by: str = "gene",
        batch_size: int | None = None,
        cells_axis: int = 0,
        ignore_nans: bool = False,
        temperature: float | None = None,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Entropy of the assignment of each cell or gene, per draw, in nats.

        Returns
        -------
        numpy.ndarray
            ``(n_samples, n_cells)`` or ``(n_samples, n_genes)``, from 0 to ln K.

        Raises
        ------
        ValueError
            If this is no mixture, or nothing has been drawn yet.
        """
        self._check_mixture()
        split = self.log_likelihood(
            counts,
            batch_size,
            return_by,
            cells_axis,
            ignore_nans=ignore_nans,
            split_components=True,
            dtype=dtype,
        )
        return entropy(component_probabilities(split, temperature)).astype(dtype)

    def assignment_entropy_map(
        self,
        counts: Any,
        return_by: str = "gene",
        batch_size: int | None = None,
        cells_axis: int = 0,
        temperature: float | None = None,
        use_mean: bool = True,
        verbose: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Entropy of the assignment of each cell or gene at the point estimate, in nats.

        Returns
        -------
        numpy.ndarray
            ``(n_cells,)`` or ``(n_genes,)``.

        Raises
        ------
        ValueError
            If this is no mixture.
        """
        self._check_mixture()
        split = self.log_likelihood_map(
            counts,
            batch_size,
            return_by=return_by,
            cells_axis=cells_axis,
            split_components=True,
            use_mean=use_mean,
            verbose=verbose,
            dtype=dtype,
        )
        return entropy(component_probabilities(split, temperature)).astype(dtype)

    def cell_type_probabilities(
        self,
        counts: Any,
        batch_size: int | None = None,
        cells_axis: int = 0,
        ignore_nans: bool = False,
        dtype: DTypeLike = np.float32,
        fit_distribution: bool = True,
        temperature: float | None = None,
        weights: Any = None,
        weight_type: str | None = None,
        verbose: bool = True,
    ) -> dict[str, np.ndarray]:
        """Probability that each cell belongs to each component, per draw.

        Returns
        -------
        dict
            ``sample_probabilities`` (n_samples, n_cells, n_components), and if
            ``fit_distribution`` a Dirichlet per cell: ``concentration`` and ``mean_probabilities``
            (n_cells, n_components).

        Raises
        ------
        ValueError
            If this is no mixture, or nothing has been drawn yet.
        """
        del verbose
        self._check_mixture()
        split = self.log_likelihood(
            counts,
            batch_size,
            "cell",
            cells_axis,
            ignore_nans=ignore_nans,
            split_components=True,
            weights=weights,
            weight_type=weight_type,
            dtype=dtype,
        )
        probabilities = component_probabilities(split, temperature)
        parts = {"sample_probabilities": probabilities.astype(dtype)}
        if not fit_distribution:
            return parts
        concentration = fit_dirichlet(probabilities)
        mean = concentration / concentration.sum(axis=-1, keepdims=True)
        return parts | {
            "concentration": concentration.astype(dtype),
            "mean_probabilities": mean.astype(dtype),
        }

    def cell_type_probabilities_map(
        self,
        counts: Any,
        batch_size: int | None = None,
        cells_axis: int = 0,
        dtype: DTypeLike = np.float32,
        temperature: float | None = None,
        weights: Any = None,
        weight_type: str | None = None,
        use_mean: bool = False,
        verbose: bool = True,
    ) -> dict[str, np.ndarray]:
        """Probability that each cell belongs to each component, at the point estimate.

        Returns
        -------
        dict
            ``probabilities`` (n_cells, n_components).

        Raises
        ------
        ValueError
            If this is no mixture.
        """
        self._check_mixture()
        split = self.log_likelihood_map(
            counts,
            batch_size,
            cells_axis=cells_axis,
            split_components=True,
            weights=weights,
            weight_type=weight_type,
            use_mean=use_mean,
            verbose=verbose,
            dtype=dtype,
        )
        return {"probabilities": component_probabilities(split, temperature).astype(dtype)}

    def normalize_counts(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples_dirichlet: int = 1,
        fit_distribution: bool = False,
        store_samples: bool = True,
        sample_axis: int = 0,
        return_concentrations: bool = False,
        backend: str = "numpyro",
        verbose: bool = True,
    ) -> dict[str, Any]:
        """Expression profiles as shares: Dirichlet draws with concentrations r.

        Parameters
        ----------
        rng_key
            A JAX key; ``PRNGKey(42)`` when left out.
        n_samples_dirichlet
            Profiles per posterior draw.
        fit_distribution
            Fit one Dirichlet to all profiles, one per component in a mixture.
        store_samples, return_concentrations
            Whether the profiles, and the draws of r, are part of the result.
        sample_axis
            Axis of the posterior draws; 0 here.
        backend
            ``"numpyro"`` or ``"scipy"``, of the fitted distributions.

        Returns
        -------
        dict
            ``samples`` (n_samples, [n_components,] n_genes[, n_samples_dirichlet]);
            ``concentrations`` and ``mean_probabilities`` ([n_components,] n_genes);
            ``distributions`` (a list of components in a mixture); ``original_concentrations``.

        Raises
        ------
        ValueError
            If nothing has been drawn yet.
        """
        del verbose
        if sample_axis != 0:
            raise ValueError(f"sample_axis={sample_axis}: posterior draws are along axis 0.")
        _check_backend(backend)
        key = jax.random.PRNGKey(_SEED) if rng_key is None else rng_key
        r, parts = self.model.likelihood.concentrations(self._stored_draws()), {}
        if store_samples:
            parts["samples"] = normalized_expression(key, r, n_samples_dirichlet)
        if return_concentrations:
            parts["original_concentrations"] = r
        if fit_distribution:
            fitted = fit_expression(key, r, n_samples_dirichlet)
            parts |= {
                "concentrations": fitted.concentrations,
                "mean_probabilities": fitted.mean_probabilities,
                "distributions": _dirichlets(fitted.concentrations, backend),
            }
        return parts

    def get_predictive_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        batch_size: int | None = None,
        store_samples: bool = True,
    ) -> np.ndarray:
        """Draw a data set for each stored posterior draw.

        Returns
        -------
        numpy.ndarray
            Counts, shape ``(n_samples, n_cells, n_genes)``.

        Raises
        ------
        ValueError
            If nothing has been drawn yet.
        MemoryBudgetError
            If it would not fit the memory budget.
        """
        del batch_size
        drawn = self._data_sets(self._stored_sites(), rng_key)
        if store_samples:
            self._keep("predictive_samples", drawn)
        return drawn

    def get_ppc_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        batch_size: int | None = None,
        store_samples: bool = True,
    ) -> dict[str, Any]:
        """Draw from the posterior, and a data set for each draw.

        Returns
        -------
        dict
            ``parameter_samples``, and ``predictive_samples`` (n_samples, n_cells, n_genes).

        Raises
        ------
        MemoryBudgetError
            If it would not fit the memory budget.
        """
        del batch_size
        n_samples = self._most_draws(n_samples)
        self._check_data_sets(n_samples)
        key = jax.random.PRNGKey(_SEED) if rng_key is None else rng_key
        parameter_key, data = jax.random.split(key)
        parameters = self.get_posterior_samples(
            parameter_key, n_samples, store_samples=store_samples
        )
        predictive = self._data_sets(parameters, data)
        if store_samples:
            self._keep("predictive_samples", predictive)
        return {"parameter_samples": parameters, "predictive_samples": predictive}

    def critique(self, counts: Any, seed: int = 0) -> Critique:
        """Judge every gene and every cell: all that the dashboard shows of a fit.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.
        seed
            Of the posterior draws; the dashboard takes that of the fit.
        """
        values = self._site_draws(self._most_draws(affordable_draws(self.model)), seed)
        critique = criticise(self.model, self._counts(counts), values)
        return replace(critique, notes=self.notes)

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
            See :func:`scribeviz.criticism.misfit.gene_table`.
        """
        draws = natural_draws(self.model, self._site_draws(self._most_draws(n_samples)))
        return gene_table(self._counts(counts), draws)

    def loo(self, counts: Any, n_samples: int = 200) -> CellScores:
        """How well cells are predicted that were left out, one at a time (PSIS-LOO).

        The capture of a cell is integrated out.  :func:`scribeviz.compare` sets such scores of
        several models side by side.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.
        n_samples
            Posterior draws; of a sampled posterior as many as there are, at most.
        """
        values, data = self._site_draws(self._most_draws(n_samples)), self._counts(counts)
        scores = loo(integrated_log_likelihood(self.model, values, data))
        return replace(scores, scored=data.depths_fingerprint)

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
        ``var[key_dispersion]`` expected counts and r (NaN for genes that were not fitted); with
        capture ``obs[key_capture]``; of a mixture ``obs[key_component]``, ``obs[key_entropy]``,
        ``obsm[key_probabilities]`` and ``varm[key_component_means]``.  With ``misfit`` every gene
        is checked too, which takes seconds: ``var[key_misfit]``, ``var[key_p_value]`` and
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
        data = as_counts(counts.T if cells_axis == 1 else counts)
        if not np.array_equal(data.genes, self.genes):
            data = self._fitted_genes(data)
        if self.model.cells_differ and data.n_cells != self.n_cells:
            raise CountsError(
                f"{self.model_config.name} knows the depth of each of the {self.n_cells:,} cells "
                f"that were fitted; these data have {data.n_cells:,} cells."
            )
        return data

    def _fitted_genes(self, counts: Counts) -> Counts:
        # A bare matrix has no names, only places.
        if counts.n_genes == self.n_genes and (
            are_made_up(counts.genes) or are_made_up(self.genes)
        ):
            return replace(counts, genes=self.genes, gene_ids=self.genes)
        position = {name: i for i, name in enumerate(counts.genes)}
        missing = [name for name in self.genes if name not in position]
        if missing:
            raise CountsError(
                f"{self.n_genes:,} genes were fitted and these data have {counts.n_genes:,}, "
                f"without {missing[0]!r}; pass the data that were fitted, or results[genes]."
            )
        return counts.select_genes(np.asarray([position[name] for name in self.genes]))

    def _most_draws(self, wanted: int) -> int:
        """As many draws as there are, at most."""
        return wanted if self.diverging is None else min(wanted, self.diverging.size)

    def _site_draws(self, n_samples: int, seed: int = _SEED) -> dict[str, np.ndarray]:
        """Posterior draws of the model's own sites."""
        key = jax.random.PRNGKey(seed)
        drawn = self.get_posterior_samples(key, n_samples, store_samples=False)
        return {site.key: drawn[site.key] for site in self.model_config.sites}

    def _check_mixture(self) -> None:
        if not self.model_config.is_mixture:
            raise ValueError(f"{self.model_config.name} is no mixture: it has no components.")

    def _stored_draws(self) -> Mapping[str, np.ndarray]:
        if self.posterior_samples is None:
            raise ValueError("nothing has been drawn yet: call get_posterior_samples() first.")
        return self.posterior_samples

    def _stored_sites(self) -> dict[str, np.ndarray]:
        stored = self._stored_draws()
        return {site.key: stored[site.key] for site in self.model_config.sites}

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
        rng, model = _generator(rng_key), self.model
        n_samples = len(next(iter(values.values())))
        self._check_data_sets(n_samples)
        data_sets = np.empty((n_samples, self.n_cells, self.n_genes), np.int32)
        for i in range(n_samples):
            draw = {site.key: values[site.key][i] for site in self.model_config.sites}
            data_sets[i] = model.draw(rng, draw)[0]
        return data_sets

    def _keep(self, name: str, value: Any) -> None:
        # The one thing of a frozen result that changes, as in the reference: what was drawn last.
        object.__setattr__(self, name, value)


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


def depth_arrays(depth: Depth | None) -> dict[str, Any]:
    """Depths as arrays of a file."""
    return {} if depth is None else {"depth": depth.relative, "depth_level": depth.level}


def depth_from(arrays: Mapping[str, np.ndarray]) -> Depth | None:
    """Read what :func:`depth_arrays` gave."""
    if "depth" not in arrays:
        return None
    return Depth(arrays["depth"], float(arrays["depth_level"]))


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
    return gene_columns(results.genes, index)


def _generator(rng_key: PRNGKeyArray | None) -> np.random.Generator:
    key = jax.random.PRNGKey(_SEED) if rng_key is None else rng_key
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())


def _check_backend(backend: str) -> None:
    if backend not in {"numpyro", "scipy"}:
        raise ValueError(f"backend={backend!r} is neither 'numpyro' nor 'scipy'.")


def _dirichlets(concentration: np.ndarray, backend: str) -> Any:
    import numpyro.distributions as dist
    import scipy.stats

    make = dist.Dirichlet if backend == "numpyro" else scipy.stats.dirichlet
    if concentration.ndim == 1:
        return make(concentration)
    return [make(one) for one in concentration]


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
