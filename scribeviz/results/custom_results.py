"""What a fit of a user's own model returns: the interface of the built-in results."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, PRNGKeyArray

from scribeviz._cards import shown_as
from scribeviz._offered import NotOfferedError
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.criticism.budget import check_budget
from scribeviz.criticism.critique import Critique, criticise_replicates
from scribeviz.criticism.loo import CellScores, loo, unseen
from scribeviz.data.counts import Counts
from scribeviz.data.readers import as_counts
from scribeviz.models.custom.model import BoundModel, CustomModel
from scribeviz.models.custom.params import (
    select_cells,
    select_component,
    select_genes,
    without_components,
)
from scribeviz.models.custom.programs import programs_of
from scribeviz.models.custom.scoring import log_likelihood_by_cell, sites_of_cells
from scribeviz.results.card import result_card
from scribeviz.results.drawn import keep, keeps_draws, key_or_default
from scribeviz.results.fitted_counts import fitted_counts
from scribeviz.results.gene_index import GeneIndex, chosen_ids, gene_columns, ids_arrays
from scribeviz.results.shown import Shown
from scribeviz.results.stored import check_format, frame_arrays, frame_from, group, grouped

if TYPE_CHECKING:
    import xarray as xr
    from anndata import AnnData

_FORMAT = 1
_MOST_REPLICATES, _FEWEST_REPLICATES = 100, 20
_SECONDS_FOR_REPLICATES = 20.0
_SCORED_DRAWS = 200
_NOT_BY_CELL = (
    "{} cannot be scored: an observed site (a factor, say) does not tell the cells apart; observe "
    "the counts in a plate of cells."
)


@keeps_draws
@shown_as(result_card)
@dataclass(frozen=True, kw_only=True, eq=False)
class CustomResults(Shown):
    """The posterior of a user's own model, as found by variational inference.

    Attributes
    ----------
    params
        The guide's parameters by name.
    loss_history
        Negative ELBO of every step, in nats.
    bound
        The model, for this number of cells and genes.
    genes
        Names of the genes, shape ``(n_genes,)``.
    obs
        Cell-level metadata, where there were any.
    gene_ids
        A second name of each gene, where there were any.
    posterior_samples, predictive_samples
        What was drawn last with ``store_samples=True``.

    Examples
    --------
    ::

        results = scribeviz.fit(counts, scribeviz.CustomModel(...))
        results.gene_table(counts)
        results.get_posterior_samples(n_samples=100)
    """

    params: Mapping[str, np.ndarray]
    loss_history: np.ndarray
    bound: BoundModel
    genes: np.ndarray
    obs: Any = None
    settled: bool = True
    left_out_genes: np.ndarray = field(default_factory=lambda: np.zeros(0, object), repr=False)
    gene_ids: np.ndarray | None = field(default=None, repr=False)
    posterior_samples: Mapping[str, np.ndarray] | None = field(default=None, repr=False)
    predictive_samples: np.ndarray | None = field(default=None, repr=False)

    @property
    def custom_model(self) -> CustomModel:
        """The description that was fitted."""
        return self.bound.custom

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.bound.n_cells

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.bound.n_genes

    @property
    def n_components(self) -> int | None:
        """Number of components; None unless a mixture."""
        return self.custom_model.n_components

    @property
    def model_type(self) -> str:
        """Key of the model."""
        return self.custom_model.key

    @property
    def param_spec(self) -> Mapping[str, Mapping[str, Any]]:
        """What each parameter belongs to."""
        return self.custom_model.param_spec

    @property
    def prior_params(self) -> Mapping[str, Any]:
        """Values of the priors' arguments."""
        return self.custom_model.prior_params

    @property
    def notes(self) -> list[str]:
        """What can be read from this posterior: only the model's author knows."""
        return []

    @property
    def can_start_others(self) -> bool:
        """Only the model's own fit can go on from it."""
        return False

    def gene_table(self, counts: Any, seed: int = 0) -> pd.DataFrame:
        """All genes, observed beside predicted (:func:`scribeviz.criticism.misfit.gene_table`)."""
        return self.critique(counts, seed).genes

    def loo(self, counts: Any, n_samples: int = _SCORED_DRAWS, *, seed: int = 0) -> CellScores:
        """How well cells are predicted that were left out, one at a time (PSIS-LOO).

        Raises
        ------
        NotOfferedError
            If an observed site does not tell the cells apart.
        """
        scores = self._scores(self._counts(counts), seed, n_samples)
        if scores is None:
            raise NotOfferedError(_NOT_BY_CELL.format(self.model_type))
        return scores

    def score_unseen(
        self, counts: Any, n_samples: int = _SCORED_DRAWS, *, seed: int = 0
    ) -> CellScores:
        """How well cells are predicted that were not fitted.

        Returns
        -------
        CellScores
            Log predictive density of every cell in nats, from the model's observed sites.

        Raises
        ------
        NotOfferedError
            If an observed site does not tell the cells apart, or cells have parameters of their
            own: nothing is known of those of an unseen cell but their prior.
        """
        data = fitted_counts(counts, self.genes)
        if names := sites_of_cells(self.custom_model, data):
            raise NotOfferedError(
                f"{self.model_type} cannot be scored on cells that were not fitted: "
                f"{', '.join(names)} belongs to single cells and would have to be integrated out."
            )
        draws = self.bound.sample_posterior(jax.random.PRNGKey(seed), n_samples, self.params)
        logs = log_likelihood_by_cell(self.custom_model, data, draws)
        if logs is None:
            raise NotOfferedError(_NOT_BY_CELL.format(self.model_type))
        return replace(unseen(logs), scored=data.depths_fingerprint)

    def start_for(self, cells: np.ndarray, genes: np.ndarray) -> "CustomResults":
        """The same fit, of some of its cells and genes: a start for a fit of these."""
        params = select_cells(self.params, self.param_spec, cells)
        bound = replace(self.bound, n_cells=len(cells))
        obs = None if self.obs is None else self.obs.iloc[cells]
        return replace(self, params=params, bound=bound, obs=obs)[genes]

    def to_anndata(
        self,
        adata: "AnnData",
        key_added: str = "scribeviz",
        *,
        misfit: bool = False,
        layer: str | None = None,
    ) -> None:
        """Write about the model to ``uns[key]``, and with ``misfit`` how it fits every gene.

        The latter are ``var[key_misfit]``, ``var[key_p_value]`` and ``var[key_problem]``.  What
        the parameters mean only the model's author knows: they are not written.
        """
        from scribeviz.results.writing import write_gene_table

        if misfit:
            write_gene_table(self.gene_table(as_counts(adata, layer=layer)), adata, key_added)
        adata.uns[key_added] = {"model": self.model_type, "n_steps": self.loss_history.size}

    def to_datatree(self, n_samples: int = 500) -> "xr.DataTree":
        """The posterior for ArviZ: a ``posterior`` group of (chain, draw, …) by name."""
        import xarray as xr

        draws = self.get_posterior_samples(n_samples=n_samples, store_samples=False)
        variables = {}
        for name, value in draws.items():
            axes = [f"{name}_{i}" for i in range(value.ndim - 1)]
            variables[name] = (("chain", "draw", *axes), value[None])
        posterior = xr.Dataset(variables, attrs={"model": self.model_type})
        return xr.DataTree.from_dict({"posterior": posterior})

    def __getitem__(self, index: GeneIndex) -> "CustomResults":
        """Keep some genes: a name, names, a mask, a slice, an integer or integers."""
        columns = gene_columns(self.genes, index, self.gene_ids)
        return replace(
            self,
            params=select_genes(self.params, self.param_spec, columns),
            bound=replace(self.bound, n_genes=len(columns)),
            genes=self.genes[columns],
            gene_ids=chosen_ids(self.gene_ids, columns),
            posterior_samples=None,
            predictive_samples=None,
        )

    def get_component(self, component_index: int) -> "CustomResults":
        """The parameters of one component.

        Raises
        ------
        ValueError
            If no parameter varies by component.
        """
        params = select_component(self.params, self.param_spec, component_index)
        custom = replace(
            self.custom_model, param_spec=without_components(self.param_spec), n_components=None
        )
        return replace(
            self,
            params=params,
            bound=replace(self.bound, custom=custom),
            posterior_samples=None,
            predictive_samples=None,
        )

    def get_distributions(self, backend: str = "scipy") -> Mapping[str, Any]:
        """Variational posterior by parameter, from ``get_distributions_fn``.

        Raises
        ------
        ValueError
            If the model has no such function.
        """
        function = self.custom_model.get_distributions_fn
        if function is None:
            raise ValueError(_missing("get_distributions_fn", "get_posterior_samples()"))
        return function(self.params, backend=backend)

    def get_map(self) -> dict[str, np.ndarray]:
        """Median of 1,000 posterior draws of every parameter: no mode of the guide is known."""
        draws = self.get_posterior_samples(n_samples=1_000, store_samples=False)
        return {name: np.median(value, axis=0) for name, value in draws.items()}

    def get_posterior_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        store_samples: bool = True,
    ) -> dict[str, np.ndarray]:
        """Draw parameters from the guide; each has a leading axis of draws."""
        drawn = self.bound.sample_posterior(key_or_default(rng_key), n_samples, self.params)
        if store_samples:
            keep(self, "posterior_samples", drawn)
        return drawn

    def get_predictive_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        batch_size: int | None = None,
        store_samples: bool = True,
    ) -> np.ndarray:
        """Draw a data set for each stored posterior draw (100 new ones where none are stored).

        Returns
        -------
        numpy.ndarray
            Counts, shape ``(n_samples, n_cells, n_genes)``.

        Raises
        ------
        MemoryBudgetError
            If it would not fit the memory budget.
        """
        del batch_size  # one data set is drawn at a time
        drawn = self._predicted(self.posterior_samples or self.get_posterior_samples(), rng_key)
        if store_samples:
            keep(self, "predictive_samples", drawn)
        return drawn

    def _predicted(
        self, draws: Mapping[str, np.ndarray], rng_key: PRNGKeyArray | None
    ) -> np.ndarray:
        n_samples = len(next(iter(draws.values())))
        check_budget(
            "the predictive samples",
            (n_samples, self.n_cells, self.n_genes),
            np.int32,
            instead="results[genes].get_predictive_samples(), or fewer posterior samples",
        )
        keys = jax.random.split(key_or_default(rng_key), n_samples)
        return np.stack(list(self._data_sets(keys, draws)))

    def get_ppc_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        batch_size: int | None = None,
        store_samples: bool = True,
    ) -> dict[str, Any]:
        """Posterior draws, and a data set for each, by the names of the reference."""
        del batch_size  # one data set is drawn at a time
        parameter_key, data = jax.random.split(key_or_default(rng_key))
        parameters = self.get_posterior_samples(
            parameter_key, n_samples, store_samples=store_samples
        )
        predictive = self._predicted(parameters, data)
        if store_samples:
            keep(self, "predictive_samples", predictive)
        return {"parameter_samples": parameters, "predictive_samples": predictive}

    def log_likelihood(self, counts: Any, cells_axis: int = 0) -> np.ndarray:
        """Log-likelihood at the fitted parameters, from ``custom_log_likelihood_fn``.

        Raises
        ------
        ValueError
            If the model has no such function.
        """
        function = self.custom_model.custom_log_likelihood_fn
        if function is None:
            raise ValueError(_missing("custom_log_likelihood_fn", "get_ppc_samples()"))
        data = fitted_counts(counts.T if cells_axis == 1 else counts, self.genes)
        return np.asarray(function(jnp.asarray(data.matrix.toarray()), self.params))

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file; :meth:`load` reads it back.  The functions are not in it."""
        arrays = grouped("params", self.params) | frame_arrays("obs", self.obs)
        arrays |= {"loss_history": self.loss_history, "genes": self.genes}
        arrays |= ids_arrays(self.gene_ids)
        meta = {
            "format": _FORMAT,
            "custom_model": self.model_type,
            "n_cells": self.n_cells,
            "settled": self.settled,
            "settings": _plain(self.bound.settings),
        }
        write_arrays(Path(path), arrays, meta)

    @classmethod
    def load(cls, path: str | Path, custom_model: CustomModel) -> "CustomResults":
        """Read what :meth:`save` wrote, for the same model.

        Raises
        ------
        ValueError
            If the file is of another model, or of a newer version.
        """
        arrays, meta = read_arrays(Path(path))
        check_format(meta, _FORMAT, path)
        if meta["custom_model"] != custom_model.key:
            raise ValueError(
                f"{Path(path).name} is a fit of {meta['custom_model']!r}, not of "
                f"{custom_model.key!r}."
            )
        genes = arrays["genes"]
        bound = BoundModel(
            custom=custom_model,
            n_cells=meta["n_cells"],
            n_genes=len(genes),
            settings=meta["settings"],
        )
        return cls(
            params=group(arrays, "params"),
            obs=frame_from(arrays, "obs"),
            loss_history=arrays["loss_history"],
            bound=bound,
            genes=genes,
            gene_ids=arrays.get("gene_ids"),
            settled=meta["settled"],
        )

    def critique(self, counts: Any, seed: int = 0) -> Critique:
        """Judge every gene by data sets that the model predicts; what the dashboard shows.

        Parameters
        ----------
        counts
            The data that were fitted, in any form that ``fit`` takes.
        seed
            Of the data sets: 100 of them, or as many as 20 seconds allow, but 20 at least.
        """
        *_, complete = self.judged(counts, seed)
        return complete

    def judged(self, counts: Any, seed: int = 0) -> Iterator[Critique]:
        """The same in two parts: every gene, which can be looked at already; then with scores."""
        counts = self._counts(counts)
        replicates = self.data_sets(jax.random.PRNGKey(seed), _MOST_REPLICATES)
        critique = criticise_replicates(counts, _while_there_is_time(replicates))
        critique = replace(critique, notes=self.notes)
        yield critique
        yield replace(critique, scores=self._scores(counts, seed))

    def _counts(self, data: Any) -> Counts:
        return fitted_counts(data, self.genes, n_cells=self.n_cells)

    def _scores(
        self, counts: Counts, seed: int, n_samples: int = _SCORED_DRAWS
    ) -> CellScores | None:
        draws = self.bound.sample_posterior(jax.random.PRNGKey(seed), n_samples, self.params)
        logs = self.cell_log_likelihood(counts, draws)
        if logs is None:
            return None
        return replace(loo(logs), scored=counts.depths_fingerprint)

    def cell_log_likelihood(
        self, counts: Any, draws: Mapping[str, np.ndarray]
    ) -> np.ndarray | None:
        """Log-likelihood of every cell under posterior draws, from the model's observed sites.

        Parameters
        ----------
        counts
            The data that were fitted.
        draws
            Of all sites of the guide, each with a leading axis of draws.

        Returns
        -------
        numpy.ndarray or None
            In nats, shape ``(draws, n_cells)``; None where an observed site (a ``factor``, say)
            does not tell the cells apart.
        """
        return log_likelihood_by_cell(self.custom_model, self._counts(counts), draws)

    def data_sets(self, key: PRNGKeyArray, n_samples: int) -> Iterator[np.ndarray]:
        """Draw data sets one after the other, so that only one is in memory at a time."""
        parameter_key, data = jax.random.split(key)
        draws = self.get_posterior_samples(parameter_key, n_samples, store_samples=False)
        return self._data_sets(jax.random.split(data, n_samples), draws)

    def _data_sets(self, keys: Array, draws: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
        make_args = self.custom_model.get_model_args_fn
        bound = self.bound if make_args is None else self.bound.with_model_args(make_args(self))
        one = programs_of(bound).data_set
        for i, key in enumerate(keys):
            yield np.asarray(one(key, {name: jnp.asarray(v[i]) for name, v in draws.items()}))


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that JSON can hold; others have to be given again by the model's defaults."""
    return {
        name: value
        for name, value in settings.items()
        if isinstance(value, str | int | float | bool | None)
    }


def _missing(function: str, instead: str) -> str:
    return (
        f"this model was fitted without {function}; pass it to run_scribe({function}=…), or use "
        f"{instead}, which needs none."
    )


def _while_there_is_time(replicates: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The first replicates; some samplers of NumPyro take a second for each."""
    started = time.monotonic()
    for i, replicate in enumerate(replicates, start=1):
        yield replicate
        if i >= _FEWEST_REPLICATES and time.monotonic() - started > _SECONDS_FOR_REPLICATES:
            return
