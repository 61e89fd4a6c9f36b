"""What a variational fit returns, and the reference's names for how it is made."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray

from scribeviz._cards import shown_as
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.spec import ModelSpec
from scribeviz.results.card import result_card
from scribeviz.results.count_files import shared_arrays, shared_from, shared_meta
from scribeviz.results.count_results import (
    check_component,
    columns_of,
    depth_in,
    priors_as_lists,
    select_component,
    select_genes,
)
from scribeviz.results.drawn import keeps_draws
from scribeviz.results.drawn_results import DrawnResults
from scribeviz.results.gene_index import GeneIndex, chosen_ids
from scribeviz.results.marginals import distributions, mode
from scribeviz.results.stored import check_format, frame_arrays, frame_from, group, grouped

if TYPE_CHECKING:
    from anndata import AnnData

_LOG = logging.getLogger(__name__)

_FORMAT = 2


@keeps_draws
@shown_as(result_card)
@dataclass(frozen=True, eq=False)
class ScribeSVIResults(DrawnResults):
    """The posterior of a count model, as found by variational inference.

    Attributes
    ----------
    params
        The guide's parameters by name (``p_alpha``, ``r_loc``, …).
    loss_history
        Negative ELBO of every step, in nats.
    n_cells, n_genes
        Size of the data that were fitted.
    model_type, model_config
        Name of the model, and all of it.
    prior_params
        Numbers of the priors.
    obs, var, uns, n_obs, n_vars
        Metadata of the data.
    posterior_samples, predictive_samples
        What was drawn last with ``store_samples=True``.
    n_components
        Number of components; None unless a mixture.
    genes
        Names of the genes in ``params``; those of ``var`` when left out.
    left_out_genes
        Genes without a single count: no likelihood can learn from them.
    settled
        Whether the loss had settled when the fit ended.
    depth
        Depths of the cells, where the model takes them as given.
    gene_priors
        The priors that were learned from all genes, where the model has such.
    gene_ids
        A second name of each gene, where there were any.

    Examples
    --------
    >>> import scribeviz
    >>> counts, truth = scribeviz.simulate("nbdm", n_cells=50, n_genes=5)
    >>> results = scribeviz.fit(counts, "nbdm", n_steps=300, progress=False)
    >>> results.get_posterior_samples(n_samples=10)["r"].shape
    (10, 5)
    >>> results.get_map()["r"].shape
    (5,)
    >>> results.loss_history.size
    300
    """

    params: Mapping[str, np.ndarray]
    loss_history: np.ndarray
    n_cells: int
    n_genes: int
    model_type: str
    model_config: ModelSpec
    prior_params: Mapping[str, Any]
    obs: pd.DataFrame | None = None
    var: pd.DataFrame | None = None
    uns: Mapping[str, Any] | None = None
    n_obs: int | None = None
    n_vars: int | None = None
    posterior_samples: Mapping[str, np.ndarray] | None = field(default=None, repr=False)
    predictive_samples: np.ndarray | None = field(default=None, repr=False)
    n_components: int | None = None
    genes: Any = field(default=None, kw_only=True)
    left_out_genes: np.ndarray = field(
        default_factory=lambda: np.zeros(0, object), kw_only=True, repr=False
    )
    settled: bool = field(default=True, kw_only=True)
    depth: Depth | None = field(default=None, kw_only=True, repr=False)
    gene_priors: GenePriors | None = field(default=None, kw_only=True, repr=False)
    gene_ids: np.ndarray | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        spec = self.model_config
        if self.model_type != spec.name:
            raise ValueError(
                f"model_type={self.model_type!r} contradicts model_config, which is {spec.name!r}."
            )
        k = spec.n_components if spec.is_mixture else None
        if self.n_components not in {None, k}:
            raise ValueError(f"n_components={self.n_components} contradicts model_config ({k}).")
        object.__setattr__(self, "n_components", k)
        if self.genes is None:
            names: Any = [f"gene_{i}" for i in range(self.n_genes)]
            if self.var is not None and len(self.var) == self.n_genes:
                names = self.var.index
            object.__setattr__(self, "genes", np.asarray(names, object))
        self._check_params()

    def _check_params(self) -> None:
        for site in self.model_config.sites:
            for name in self.model.param_names(site):
                if name not in self.params:
                    raise ValueError(
                        f"params has no {name!r}, which {self.model_type} needs for {site.key!r}; "
                        f"it has {', '.join(map(repr, self.params))}."
                    )
                shape, wanted = np.shape(self.params[name]), self.model.shape(site)
                if shape[: len(wanted)] != wanted:
                    raise ValueError(
                        f"{name} has shape {shape}; with {self.n_cells:,} cells and "
                        f"{self.n_genes:,} genes it should begin with {wanted}."
                    )

    @classmethod
    def from_anndata(
        cls,
        adata: "AnnData",
        params: Mapping[str, Any],
        loss_history: Any,
        model_config: ModelSpec,
        **kwargs: Any,
    ) -> "ScribeSVIResults":
        """Make results with the metadata of ``adata``; ``kwargs`` are other attributes.

        Raises
        ------
        CountsError
            If the model takes the depth of cells as given, and ``adata.X`` holds no counts.
        """
        attributes: dict[str, Any] = {
            "n_cells": adata.n_obs,
            "n_genes": adata.n_vars,
            "model_type": model_config.name,
            "prior_params": {},
            "obs": adata.obs,
            "var": adata.var,
            "uns": dict(adata.uns),
            "n_obs": adata.n_obs,
            "n_vars": adata.n_vars,
            "depth": depth_in(adata, model_config),
        }
        return cls(
            params=params,
            loss_history=loss_history,
            model_config=model_config,
            **(attributes | kwargs),
        )

    def __getitem__(self, index: GeneIndex) -> "ScribeSVIResults":
        """Keep some genes: a name, names, a mask, a slice, an integer or integers.

        Raises
        ------
        KeyError
            If a gene of that name was not fitted.
        """
        columns = columns_of(self, index)
        params = dict(self.params)
        for site in self.model_config.sites:
            if "genes" in site.axes:
                for name in self.model.param_names(site):
                    # A low-rank factor has its directions last.
                    axis = len(self.model.shape(site)) - 1
                    params[name] = np.take(params[name], columns, axis=axis)
        predictive = self.predictive_samples
        return replace(
            self,
            params=params,
            n_genes=len(columns),
            genes=self.genes[columns],
            gene_ids=chosen_ids(self.gene_ids, columns),
            var=None
            if self.var is None or len(self.var) != self.n_genes
            else self.var.iloc[columns],
            n_vars=len(columns) if self.n_vars is not None else None,
            posterior_samples=select_genes(self.posterior_samples, self.model_config, columns),
            predictive_samples=None if predictive is None else predictive[..., columns],
        )

    def start_for(self, cells: np.ndarray, genes: np.ndarray) -> "ScribeSVIResults":
        """The same fit, of some of its cells and genes: a start for a fit of these.

        Parameters
        ----------
        cells
            Positions among the cells that were fitted.
        genes
            Names.
        """
        params = dict(self.params)
        for site in self.model_config.sites:
            if "cells" in site.axes:
                axis = len(self.model.shape(site)) - 1
                for name in self.model.param_names(site):
                    params[name] = np.take(params[name], cells, axis=axis)
        of_cells = replace(
            self,
            params=params,
            n_cells=len(cells),
            obs=None if self.obs is None else self.obs.iloc[cells],
            depth=None if self.depth is None else self.depth.at(cells),
            posterior_samples=None,
            predictive_samples=None,
        )
        return of_cells[genes]

    def get_component(self, component_index: int) -> "ScribeSVIResults":
        """The parameters of one component, as results without components.

        Raises
        ------
        ValueError
            If this is no mixture.
        IndexError
            If there is no such component.
        """
        spec = self.model_config
        check_component(spec, component_index)
        mixing = spec.sites[-1]
        params = dict(self.params)
        for site in spec.sites:
            for name in self.model.param_names(site):
                if site.key == mixing.key:
                    del params[name]
                elif spec.has_axis(site, "components"):
                    params[name] = np.asarray(params[name])[component_index]
        single = spec.changed(n_components=1)
        samples = select_component(self.posterior_samples, spec, component_index)
        return replace(
            self,
            params=params,
            model_config=single,
            model_type=single.name,
            n_components=None,
            posterior_samples=samples,
            predictive_samples=None,
        )

    def get_distributions(self, backend: str = "numpyro", split: bool = False) -> dict[str, Any]:
        """Variational posterior of every parameter, one marginal per value.

        Parameters
        ----------
        backend
            ``"numpyro"`` or ``"scipy"`` (a Dirichlet of SciPy for the weights).
        split
            Lists of single distributions in place of one of many values.
        """
        return distributions(self.model, self.params, backend, split=split)

    def get_map(
        self, use_mean: bool = False, canonical: bool = True, verbose: bool = True
    ) -> dict[str, np.ndarray]:
        """Mode of each marginal of the posterior.

        Parameters
        ----------
        use_mean
            Take the mean where a mode does not exist (NaN otherwise).
        canonical
            Add what follows from the parameters: ``p``, ``r``, ``mu`` …
        verbose
            Log how many modes were replaced.
        """
        point = {}
        for site in self.model_config.sites:
            found, mean = mode(self.model, self.params, site)
            undefined = np.isnan(found)
            if use_mean and undefined.any():
                found = np.where(undefined, mean, found)
                if verbose:
                    _LOG.info("%s: %d modes do not exist; means", site.key, undefined.sum())
            point[site.key] = found
        if not canonical:
            return point
        derived = self.model.derived({name: jnp.asarray(value) for name, value in point.items()})
        return point | {name: np.asarray(value) for name, value in derived.items()}

    def _draw(self, key: PRNGKeyArray, n_draws: int) -> dict[str, np.ndarray]:
        return self._with_derived(self.model.sample_posterior(key, n_draws, self.params))

    @property
    def can_start_others(self) -> bool:
        """A sampler of the same model can start from it."""
        return True

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file; :meth:`load` reads it back.  No pickle, and no draws."""
        arrays = grouped("params", self.params) | frame_arrays("var", self.var)
        arrays |= shared_arrays(self)
        meta = shared_meta(self, _FORMAT) | {"prior_params": priors_as_lists(self.prior_params)}
        write_arrays(Path(path), arrays, meta)

    @classmethod
    def load(cls, path: str | Path) -> "ScribeSVIResults":
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file was written by a newer version.
        """
        arrays, meta = read_arrays(Path(path))
        check_format(meta, _FORMAT, path)
        shared = shared_from(arrays, meta)
        return cls(
            params=group(arrays, "params"),
            var=frame_from(arrays, "var"),
            n_genes=len(shared["genes"]),
            model_type=shared["model_config"].name,
            prior_params={n: tuple(v) for n, v in meta.get("prior_params", {}).items()},
            **shared,
        )
