"""What a variational fit returns: parameters, losses, names; its methods delegate."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import PRNGKeyArray

from scribeviz._storage import read_arrays, write_arrays
from scribeviz.models.builder import CountModel, build
from scribeviz.models.guides import GUIDE_FAMILIES
from scribeviz.models.parameterizations import Site
from scribeviz.models.spec import ModelSpec, spec_from_dict

_FORMAT = 1

type GeneIndex = int | slice | str | Sequence[str] | Sequence[int] | np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class ScribeSVIResults:
    """The posterior of a count model, as found by variational inference.

    Attributes
    ----------
    params
        The guide's parameters by name (``p_alpha``, ``r_loc``, …).
    loss_history
        Negative ELBO of every step, in nats.
    model_config
        Which model was fitted.
    n_cells
        Cells that were fitted.
    genes
        Names of the genes in ``params``, in their order.
    left_out_genes
        Genes without a single count: no likelihood can learn from them.
    settled
        Whether the loss had settled when the fit ended.
    """

    params: Mapping[str, np.ndarray]
    loss_history: np.ndarray
    model_config: ModelSpec
    n_cells: int
    genes: np.ndarray
    left_out_genes: np.ndarray = field(default_factory=lambda: np.zeros(0, object))
    settled: bool = True

    @property
    def n_genes(self) -> int:
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
    def model(self) -> CountModel:
        """The NumPyro model and guide of these parameters."""
        return build(self.model_config, self.n_cells, self.n_genes)

    def __getitem__(self, index: GeneIndex) -> "ScribeSVIResults":
        """Keep some genes: a name, names, a mask, a slice, an integer or integers.

        Raises
        ------
        KeyError
            If a gene of that name was not fitted.
        """
        columns = _gene_columns(self.genes, index)
        params = dict(self.params)
        for site in self.model_config.sites:
            if "genes" in site.axes:
                for name in GUIDE_FAMILIES[site.support].names(site.key):
                    params[name] = params[name][..., columns]
        return replace(self, params=params, genes=self.genes[columns])

    def get_distributions(self) -> dict[str, dist.Distribution]:
        """Variational posterior of every parameter, as NumPyro distributions."""
        return self.model.posterior(self.params)

    def get_map(self, *, use_mean: bool = False) -> dict[str, np.ndarray]:
        """Mode of each marginal of the posterior.

        Parameters
        ----------
        use_mean
            Take the mean where a mode does not exist (NaN otherwise).
        """
        found = {}
        for site in self.model_config.sites:
            family, params = GUIDE_FAMILIES[site.support], self._guide_params(site)
            mode = np.asarray(family.mode(*params))
            mean = np.asarray(family.mean(*params))
            found[site.key] = np.where(np.isnan(mode), mean, mode) if use_mean else mode
        return found

    def get_posterior_samples(
        self, rng_key: PRNGKeyArray | None = None, n_samples: int = 100
    ) -> dict[str, np.ndarray]:
        """Draw parameters from the posterior.

        Parameters
        ----------
        rng_key
            A JAX key; ``jax.random.key(42)`` when left out.
        n_samples
            Number of draws.

        Returns
        -------
        dict
            Per parameter an array with a leading axis of draws: ``p`` (n_samples,), ``r``
            (n_samples, n_genes) or (n_samples, n_components, n_genes), …
        """
        key = jax.random.key(42) if rng_key is None else rng_key
        drawn = self.model.sample_posterior(key, n_samples, self.params)
        return {name: np.asarray(value) for name, value in drawn.items()}

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file; :meth:`load` reads it back.  No pickle."""
        arrays = {f"params/{name}": value for name, value in self.params.items()}
        arrays |= {
            "loss_history": self.loss_history,
            "genes": self.genes,
            "left_out_genes": self.left_out_genes,
        }
        meta: dict[str, Any] = {
            "format": _FORMAT,
            "model": self.model_config.as_dict(),
            "n_cells": self.n_cells,
            "settled": self.settled,
        }
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
        if meta["format"] > _FORMAT:
            raise ValueError(
                f"{path} has format {meta['format']}; this version reads up to {_FORMAT}."
            )
        prefix = "params/"
        return cls(
            params={
                name.removeprefix(prefix): value
                for name, value in arrays.items()
                if name.startswith(prefix)
            },
            loss_history=arrays["loss_history"],
            model_config=spec_from_dict(meta["model"]),
            n_cells=meta["n_cells"],
            genes=arrays["genes"],
            left_out_genes=arrays["left_out_genes"],
            settled=meta["settled"],
        )

    def _guide_params(self, site: Site) -> list[jax.Array]:
        return [jnp.asarray(self.params[n]) for n in GUIDE_FAMILIES[site.support].names(site.key)]


def _gene_columns(genes: np.ndarray, index: GeneIndex) -> np.ndarray:
    """Columns that ``index`` means."""
    if isinstance(index, str):
        return _named_columns(genes, [index])
    if isinstance(index, slice):
        return np.arange(len(genes))[index]
    given = np.atleast_1d(np.asarray(index))
    if given.dtype.kind in "OUT":
        return _named_columns(genes, given.tolist())
    if given.dtype == bool:
        if given.shape != genes.shape:
            raise IndexError(
                f"a mask of {given.size} entries cannot select from {len(genes)} genes."
            )
        return np.flatnonzero(given)
    return np.arange(len(genes))[[operator.index(i) for i in given]]


def _named_columns(genes: np.ndarray, names: list[str]) -> np.ndarray:
    position = {name: i for i, name in enumerate(genes)}
    unknown = [name for name in names if name not in position]
    if unknown:
        raise KeyError(f"{unknown[0]!r} is not among the {len(genes):,} genes that were fitted.")
    return np.asarray([position[name] for name in names])
