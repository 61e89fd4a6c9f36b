"""What sampling returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray
from numpyro.infer import MCMC

from scribeviz._cards import shown_as
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.inference.chains import ChainDiagnostics, chain_diagnostics
from scribeviz.inference.nuts import NUTSCheckpoint, NUTSConfig
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
from scribeviz.results.drawn import keep, keeps_draws, key_or_default
from scribeviz.results.from_mcmc import held_by, prior_draws_of
from scribeviz.results.gene_index import GeneIndex, chosen_ids
from scribeviz.results.reference_members import ReferenceMembers
from scribeviz.results.stored import check_format, group, grouped

if TYPE_CHECKING:
    from anndata import AnnData

_FORMAT = 1


@keeps_draws
@shown_as(result_card)
@dataclass(frozen=True, kw_only=True, eq=False)
class ScribeMCMCResults(ReferenceMembers):
    """The posterior of a count model, as sampled by NUTS.

    Attributes
    ----------
    samples
        Draws of every site, shape ``(chains, draws, …)``.
    diverging
        Whether the transition to each draw diverged, shape ``(chains, draws)``.
    loss_history
        Negative log joint density of every transition, warm-up included, in nats.
    settled
        Whether all the draws that were asked for were made.
    model_config, n_cells, genes, left_out_genes, obs, depth, gene_priors, gene_ids
        As of :class:`ScribeSVIResults`.
    posterior_samples, predictive_samples, prior_predictive_samples
        What was chosen or drawn last with ``store_samples=True``.

    Examples
    --------
    ::

        sampled = scribeviz.fit(counts, "nbdm", inference_method="mcmc")
        sampled.diagnostics.sentences  # do the chains agree?
        sampled.get_samples()["r"]  # (draws, genes)
    """

    samples: Mapping[str, np.ndarray]
    diverging: np.ndarray
    loss_history: np.ndarray
    model_config: ModelSpec
    n_cells: int
    genes: np.ndarray
    left_out_genes: np.ndarray = field(default_factory=lambda: np.zeros(0, object), repr=False)
    obs: pd.DataFrame | None = None
    prior_params: Mapping[str, Any] = field(default_factory=dict)
    depth: Depth | None = field(default=None, repr=False)
    gene_priors: GenePriors | None = field(default=None, repr=False)
    settled: bool = True
    gene_ids: np.ndarray | None = field(default=None, repr=False)
    posterior_samples: Mapping[str, np.ndarray] | None = field(default=None, repr=False)
    predictive_samples: np.ndarray | None = field(default=None, repr=False)
    prior_predictive_samples: np.ndarray | None = field(default=None, repr=False)

    @property
    def n_genes(self) -> int:  # type: ignore[override]  # follows from the names
        """Number of genes that were fitted."""
        return len(self.genes)

    @property
    def n_components(self) -> int | None:
        """Number of components; None unless a mixture."""
        return self.model_config.n_components if self.model_config.is_mixture else None

    @property
    def model_type(self) -> str:
        """Name of the model, such as ``nbdm_mix``."""
        return self.model_config.name

    @property
    def can_start_others(self) -> bool:
        """Draws are an end."""
        return False

    @property
    def diagnostics(self) -> ChainDiagnostics:
        """R-hat, effective sample sizes and divergences."""
        return chain_diagnostics(self.samples, self.diverging)

    @property
    def notes(self) -> list[str]:
        """What can and what cannot be read from this posterior, in sentences."""
        return [*self.diagnostics.sentences, *super().notes]

    def get_samples(self, group_by_chain: bool = False) -> dict[str, np.ndarray]:
        """All draws of the sites: ``(draws, …)``, or ``(chains, draws, …)`` by chain."""
        if group_by_chain:
            return dict(self.samples)
        return {name: v.reshape(-1, *v.shape[2:]) for name, v in self.samples.items()}

    @classmethod
    def from_anndata(
        cls,
        mcmc: MCMC,
        adata: "AnnData",
        model_type: str,
        model_config: ModelSpec,
        prior_params: Mapping[str, Any],
        **kwargs: Any,
    ) -> "ScribeMCMCResults":
        """Make results from a finished ``MCMC`` of NumPyro, with the cells and genes of ``adata``.

        ``kwargs`` are other attributes.

        Raises
        ------
        ValueError
            If ``model_type`` is not that of ``model_config``, or ``mcmc`` sampled another model.
        CountsError
            If the model takes the depth of cells as given, and ``adata.X`` holds no counts.
        """
        if model_type != model_config.name:
            raise ValueError(
                f"model_type={model_type!r} contradicts model_config, which is "
                f"{model_config.name!r}."
            )
        given: dict[str, Any] = {
            "n_cells": adata.n_obs,
            "genes": np.asarray(adata.var_names, object),
            "obs": adata.obs,
            "prior_params": prior_params,
            "depth": depth_in(adata, model_config),
        }
        held = held_by(mcmc, model_config)
        return cls(model_config=model_config, **(held | given | kwargs))

    def quantiles_of(
        self, params: Sequence[str], quantiles: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Over all draws."""
        chosen = self._chosen(params, self._with_derived(self.get_samples()))
        return {param: np.quantile(value, quantiles, axis=0) for param, value in chosen.items()}

    def get_prior_predictive_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        batch_size: int | None = None,
        store_samples: bool = True,
    ) -> np.ndarray:
        """Draw data sets from the priors alone.

        Returns
        -------
        numpy.ndarray
            Counts, shape ``(n_samples, n_cells, n_genes)``; kept in ``prior_predictive_samples``
            with ``store_samples``.

        Raises
        ------
        MemoryBudgetError
            If it would not fit the memory budget.
        """
        del batch_size
        key = key_or_default(rng_key)
        of_sites, of_counts = jax.random.split(key)
        drawn = self._data_sets(prior_draws_of(self.model, of_sites, n_samples), of_counts)
        if store_samples:
            keep(self, "prior_predictive_samples", drawn)
        return drawn

    def chains(self, n_samples: int) -> dict[str, np.ndarray]:
        """All draws of the sites by chain: they are there already."""
        del n_samples
        return dict(self.samples)

    def get_posterior_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int | None = None,
        store_samples: bool = True,
    ) -> dict[str, np.ndarray]:
        """Draws of the sites and of what follows from them, evenly over all chains.

        Parameters
        ----------
        rng_key
            Accepted for the interface's sake: the draws are there already.
        n_samples
            How many; all of them when left out.
        store_samples
            Keep them in ``posterior_samples``.

        Raises
        ------
        ValueError
            If there are fewer draws.
        """
        del rng_key
        every = self.get_samples()
        n_draws = self.diverging.size
        wanted = n_draws if n_samples is None else n_samples
        if wanted > n_draws:
            raise ValueError(f"n_samples={wanted:,} is more than the {n_draws:,} draws there are.")
        chosen = np.linspace(0, n_draws - 1, wanted).round().astype(int)
        drawn = self._with_derived({name: value[chosen] for name, value in every.items()})
        if store_samples:
            keep(self, "posterior_samples", drawn)
        return drawn

    def get_map(
        self, use_mean: bool = False, canonical: bool = True, verbose: bool = True
    ) -> dict[str, np.ndarray]:
        """Median of every parameter (its mean with ``use_mean``): draws have no mode.

        ``canonical`` adds what follows from the parameters.
        """
        del verbose
        middle = np.mean if use_mean else np.median
        every = self.get_samples()
        if canonical:
            every = self._with_derived(every)
        return {name: middle(value, axis=0) for name, value in every.items()}

    def summary(self) -> pd.DataFrame:
        """One row per value: mean, spread, 5 % and 95 % quantiles, R-hat, effective draws."""
        diagnostics, tables = self.diagnostics, []
        for name, value in self.get_samples().items():
            flat = value.reshape(len(value), -1)
            places = [str(list(place)) if place else "" for place in np.ndindex(value.shape[1:])]
            tables.append(
                pd.DataFrame(
                    {
                        "mean": flat.mean(axis=0),
                        "sd": flat.std(axis=0),
                        "5%": np.quantile(flat, 0.05, axis=0),
                        "95%": np.quantile(flat, 0.95, axis=0),
                        "r_hat": diagnostics.r_hat[name].ravel(),
                        "effective": diagnostics.effective[name].ravel(),
                    },
                    index=[name + place for place in places],
                )
            )
        return pd.concat(tables)

    def __getitem__(self, index: GeneIndex) -> "ScribeMCMCResults":
        """Keep some genes: a name, names, a mask, a slice, an integer or integers."""
        columns = columns_of(self, index)
        predictive, of_priors = self.predictive_samples, self.prior_predictive_samples
        return replace(
            self,
            samples=select_genes(self.samples, self.model_config, columns) or {},
            genes=self.genes[columns],
            gene_ids=chosen_ids(self.gene_ids, columns),
            posterior_samples=select_genes(self.posterior_samples, self.model_config, columns),
            predictive_samples=None if predictive is None else predictive[..., columns],
            prior_predictive_samples=None if of_priors is None else of_priors[..., columns],
        )

    def get_component(self, component_index: int) -> "ScribeMCMCResults":
        """The draws of one component, as results without components.

        Raises
        ------
        ValueError
            If this is no mixture.
        """
        spec = self.model_config
        check_component(spec, component_index)
        samples = {}
        for site in spec.sites[:-1]:
            value = self.samples[site.key]
            varies = spec.has_axis(site, "components")
            samples[site.key] = value[:, :, component_index] if varies else value
        return replace(
            self,
            samples=samples,
            model_config=spec.changed(n_components=1),
            posterior_samples=select_component(self.posterior_samples, spec, component_index),
            predictive_samples=None,
            prior_predictive_samples=None,
        )

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file; :meth:`load` reads it back.  No pickle."""
        arrays = grouped("samples", self.samples) | {"diverging": self.diverging}
        arrays |= shared_arrays(self)
        meta = shared_meta(self, _FORMAT) | {"prior_params": priors_as_lists(self.prior_params)}
        write_arrays(Path(path), arrays, meta)

    @classmethod
    def load(cls, path: str | Path) -> "ScribeMCMCResults":
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file was written by a newer version.
        """
        arrays, meta = read_arrays(Path(path))
        check_format(meta, _FORMAT, path)
        return cls(
            samples=group(arrays, "samples"),
            diverging=arrays["diverging"],
            prior_params={n: tuple(v) for n, v in meta.get("prior_params", {}).items()},
            **shared_from(arrays, meta),
        )


def by_chain(
    checkpoint: NUTSCheckpoint, config: NUTSConfig
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draws and divergences as (chains, draws, …): complete chains, or a part of the first.

    Raises
    ------
    ValueError
        If the sampler was stopped in its first warm-up, or with less than four draws.
    """
    n_draws = len(checkpoint.diverging)
    chains = n_draws // config.n_kept
    each = config.n_kept if chains else n_draws
    if each < 4:
        raise ValueError(
            f"there are {n_draws} draws: the sampler was stopped while it was still warming up. "
            "Resume it, or ask for more draws."
        )
    kept = max(chains, 1) * each

    def reshaped(value: np.ndarray) -> np.ndarray:
        return value[:kept].reshape(-1, each, *value.shape[1:])

    return {n: reshaped(v) for n, v in checkpoint.samples.items()}, reshaped(checkpoint.diverging)
