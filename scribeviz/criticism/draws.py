"""Posterior draws in the likelihood's own parameters: what every check starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz.models.builder import CountModel
from scribeviz.models.likelihood import GIVEN, Likelihood
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import Values

_BUDGET_BYTES = 64_000_000
_MOST, _FEWEST = 200, 50
# Cells of different capture are averaged over this many groups of equal size, by their depth.
_CELL_GROUPS = 32


@shown_by_fields
@dataclass(frozen=True, slots=True)
class NaturalDraws:
    """Draws from the posterior.

    Attributes
    ----------
    likelihood_key
        Which likelihood the parameters belong to.
    natural
        The parameters of single counts (:mod:`scribeviz.models.likelihood`), of shape ``(draws,
        components, groups, genes)``, where groups or genes are one if they share a parameter.  The
        groups are of cells of about the same depth; where each cell has a mean of its own for each
        gene, those of a gene are of about the same mean.
    weights
        Shares of the components, shape ``(draws, components)``.
    groups
        Shares of the groups, shape ``(groups,)``.
    group_of_cell
        The group of each cell, from 0; empty where each gene has groups of its own.
    spread
        Standard deviation of log depths within each group, shape ``(groups,)``; None where cells of
        a group do not differ.  What is predicted of a gene hardly needs it, total counts do.
    totals
        Where each gene has groups of its own, which then do not tell the total counts of cells:
        predicted cells per bar of these (:func:`scribeviz.criticism.library.library_edges`), the
        quantiles :data:`scribeviz.criticism.predictive.BANDS`.
    """

    likelihood_key: str
    natural: Mapping[str, Float[np.ndarray, "draws components #groups #genes"]]
    weights: Float[np.ndarray, "draws components"]
    groups: Float[np.ndarray, " groups"]
    group_of_cell: Int[np.ndarray, " cells"]
    spread: Float[np.ndarray, " groups"] | None = None
    totals: Float[np.ndarray, "5 bars"] | None = None

    @property
    def likelihood(self) -> Likelihood:
        """The registry entry."""
        return LIKELIHOODS[self.likelihood_key]

    @property
    def can_choose_cells(self) -> bool:
        """Whether it is known which group a cell belongs to."""
        return self.group_of_cell.size > 0

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return self.weights.shape[0]

    def genes(
        self, index: int | slice | np.ndarray = slice(None)
    ) -> dict[str, Float[np.ndarray, "draws components groups genes"]]:
        """Parameters of some genes, float64; axes of length 1 where groups or genes share one."""
        columns = slice(index, index + 1) if isinstance(index, int) else index
        return {
            name: (value if value.shape[-1] == 1 else value[..., columns]).astype(float)
            for name, value in self.natural.items()
        }

    def kinds(self, index: int) -> dict[str, Float[np.ndarray, "draws components*groups #genes"]]:
        """Parameters of one gene, float64, components and groups as one axis."""
        shape = (self.n_draws, self.weights.shape[1], self.groups.size, 1)
        return {
            name: np.broadcast_to(value, shape).reshape(self.n_draws, -1, 1)
            for name, value in self.genes(index).items()
        }

    @property
    def mixed_weights(self) -> Float[np.ndarray, "draws components*groups"]:
        """Share of each component and group, float64."""
        joint = self.weights[:, :, None].astype(float) * self.groups
        return joint.reshape(self.n_draws, -1)

    def of_gene(self, index: int, n_draws: int) -> "NaturalDraws":
        """One gene alone, with draws that are repeated until there are so many.

        Of a single draw, such as of means, replicates then scatter by chance alone.
        """
        kept = np.arange(n_draws) % self.n_draws
        natural = {
            name: (value if value.shape[-1] == 1 else value[..., index : index + 1])[kept]
            for name, value in self.natural.items()
        }
        return replace(self, natural=natural, weights=self.weights[kept])

    def thinned(self, most: int) -> "NaturalDraws":
        """At most so many of the draws, evenly spaced."""
        if self.n_draws <= most:
            return self
        kept = np.linspace(0, self.n_draws - 1, most).astype(int)
        natural = {name: value[kept] for name, value in self.natural.items()}
        return replace(self, natural=natural, weights=self.weights[kept])

    def of_cells(
        self,
        chosen: Int[np.ndarray, " chosen"],
        probabilities: Float[np.ndarray, "cells components"],
    ) -> "NaturalDraws":
        """What is predicted for some of the cells, given what is known about them.

        Parameters
        ----------
        chosen
            Positions of the cells.
        probabilities
            Of the assignment of every cell: the components take part as far as these cells belong
            to them.
        """
        weights = np.broadcast_to(probabilities[chosen].mean(axis=0), self.weights.shape)
        share = np.bincount(self.group_of_cell[chosen], minlength=self.groups.size) / chosen.size
        return replace(
            self, weights=weights, groups=share, group_of_cell=self.group_of_cell[chosen]
        )

    def moments(self) -> "PredictedMoments":
        """Mean and variance of every gene's counts over cells, averaged over draws."""
        mean, square = self.likelihood.moments(self.genes(), self.groups)
        weights = self.weights[..., None]
        mean, square = (weights * mean).sum(axis=1), (weights * square).sum(axis=1)
        return PredictedMoments(mean.mean(axis=0), (square - mean**2).mean(axis=0))

    def moments_of(
        self, gene: int
    ) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
        """Mean and variance of one gene's counts over cells, for each draw."""
        mean, square = self.likelihood.moments(self.genes(gene), self.groups)
        mean = (self.weights * mean[..., 0]).sum(axis=1)
        return mean, (self.weights * square[..., 0]).sum(axis=1) - mean**2

    def component_means(self) -> Float[np.ndarray, "components genes"]:
        """Mean of every gene's counts in cells of each component, averaged over draws."""
        return self.likelihood.moments(self.genes(), self.groups)[0].mean(axis=0)


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class PredictedMoments:
    """Of predicted counts."""

    mean: Float[np.ndarray, " genes"]
    variance: Float[np.ndarray, " genes"]


def natural_draws(model: CountModel, values: Values) -> NaturalDraws:
    """Translate draws of the sites into the likelihood's parameters.

    Parameters
    ----------
    model
        The model that was fitted.
    values
        Draws by site, with a leading axis of draws.
    """
    given = model.likelihood.depth == GIVEN
    no_cell = jnp.zeros(1) if given else None  # the same depths in every draw: they come below

    def one(draw: Values) -> tuple[dict[str, Array], Array]:
        natural = model.natural(draw, no_cell)
        weights = jnp.exp(natural.pop("log_weights"))
        return model.likelihood.single_counts(natural), weights

    # Not compiled: each model and number of draws would be compiled anew.
    natural, weights = jax.vmap(one)({name: jnp.asarray(v) for name, v in values.items()})
    arrays = {name: np.asarray(value, np.float32) for name, value in natural.items()}
    group_of_cell, spread = np.zeros(model.n_cells, np.int32), None
    if "log_depth" in arrays:
        by_cell = model.fitted_log_depth[None, None] if given else arrays["log_depth"][..., 0]
        depths, group_of_cell, spread = _grouped(by_cell, model.n_cells)
        shape = (len(weights), *depths.shape[1:], 1)
        arrays["log_depth"] = np.broadcast_to(depths[..., None], shape)
    return NaturalDraws(
        likelihood_key=model.spec.likelihood,
        natural=arrays,
        weights=np.asarray(weights),
        groups=np.bincount(group_of_cell) / model.n_cells,
        group_of_cell=group_of_cell,
        spread=spread,
    )


def _grouped(
    log_depth: Float[np.ndarray, "draws components cells"], n_cells: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Replace cells by groups of about equal depth, each group by its mean depth.

    The mean of the counts stays exact; within a group of one in 32 cells the depths differ little,
    and by how much is the third that is given.
    """
    group_of_cell = np.zeros(n_cells, np.int32)
    if log_depth.shape[-1] == 1:
        return log_depth, group_of_cell, None
    order = np.argsort(log_depth.mean(axis=(0, 1)))
    bounds = np.linspace(0, n_cells, min(_CELL_GROUPS, n_cells) + 1).astype(int)
    sizes = np.diff(bounds)
    depth = np.add.reduceat(np.exp(log_depth[..., order]), bounds[:-1], axis=-1) / sizes
    group_of_cell[order] = np.repeat(np.arange(sizes.size), sizes)
    return np.log(depth), group_of_cell, _spread_within(log_depth[..., order], bounds)


def _spread_within(
    log_depth: Float[np.ndarray, "draws components cells"], bounds: Int[np.ndarray, " groups+1"]
) -> Float[np.ndarray, " groups"]:
    """Standard deviation within groups of neighbours, over all draws."""
    sizes = np.diff(bounds)
    mean = np.add.reduceat(log_depth, bounds[:-1], axis=-1) / sizes
    apart = log_depth - np.repeat(mean, sizes, axis=-1)
    variance = np.add.reduceat(apart**2, bounds[:-1], axis=-1) / sizes
    return np.sqrt(variance.mean(axis=(0, 1), dtype=np.float64))


def affordable_draws(model: CountModel) -> int:
    """How many draws of a model's parameters fit the memory that checks may take (64 MB)."""
    per_draw = 4 * model.spec.n_components * model.n_genes
    return int(np.clip(_BUDGET_BYTES // per_draw, _FEWEST, _MOST))
