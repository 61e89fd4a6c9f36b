"""Posterior draws in the likelihood's own parameters: what every check starts from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scribeviz.models.builder import CountModel
from scribeviz.models.likelihoods import LIKELIHOODS, Likelihood
from scribeviz.models.negative_binomial import log_odds_of_cells
from scribeviz.models.parameterizations import Values

_BUDGET_BYTES = 64_000_000
_MOST, _FEWEST = 200, 50
# Cells of different capture are averaged over this many groups of equal size, by their depth.
_CELL_GROUPS = 32


@dataclass(frozen=True, slots=True)
class NaturalDraws:
    """Draws from the posterior.

    Attributes
    ----------
    likelihood_key
        Which likelihood the parameters belong to.
    natural
        ``r`` and, where zeros are inflated, ``gate``, of shape ``(draws, components, genes)``;
        ``log_odds`` of success, ``(draws, components, groups)``: one group where all cells are
        alike, else groups of cells of about the same capture.  Where each cell has a mean of its
        own for each gene, ``log_odds`` and ``gate`` are ``(draws, components, groups, genes)``, and
        the groups of a gene are those of about the same mean.
    weights
        Shares of the components, shape ``(draws, components)``.
    groups
        Shares of the groups, shape ``(groups,)``.
    group_of_cell
        The group of each cell, from 0; empty where each gene has groups of its own.
    spread
        Standard deviation of log odds within each group, shape ``(groups,)``; None where cells of a
        group do not differ.  What is predicted of a gene hardly needs it, total counts do.
    totals
        Where each gene has groups of its own, which then do not tell the total counts of cells:
        predicted cells per bar of these (:func:`scribeviz.criticism.library.library_edges`), the
        quantiles :data:`scribeviz.criticism.predictive.BANDS`.
    """

    likelihood_key: str
    natural: Mapping[str, Float[np.ndarray, "draws components *genes"]]
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

    def full(
        self, name: str, genes: int | slice = slice(None)
    ) -> Float[np.ndarray, "draws components groups genes"]:
        """A parameter of some genes, float64; axes of length 1 where groups or genes share it."""
        columns = slice(genes, genes + 1) if isinstance(genes, int) else genes
        value = self.natural[name]
        if name == "log_odds" and value.ndim == 3:
            return value[..., None].astype(float)
        some = value[..., columns].astype(float)
        return some if value.ndim == 4 else some[:, :, None]

    def _averaged(
        self, *of_odds: Callable[[np.ndarray], np.ndarray]
    ) -> list[Float[np.ndarray, "draws components genes"]]:
        """Functions of the odds, averaged over groups and over whether counts are dropped."""
        kept = 1 - self.full("gate") if "gate" in self.natural else np.ones((1, 1, 1, 1))
        # What groups share comes in last: groups times genes are many.
        shared = kept.shape[2] == 1
        weights = self.groups[:, None] * (1.0 if shared else kept)
        odds = np.exp(self.full("log_odds"))
        found = [(weights * function(odds)).sum(axis=2) for function in of_odds]
        return [kept[:, :, 0] * one for one in found] if shared else found

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return self.weights.shape[0]

    @property
    def mixed_weights(self) -> Float[np.ndarray, "draws components*groups"]:
        """Share of each component and group, float64."""
        joint = self.weights[:, :, None].astype(float) * self.groups
        return joint.reshape(self.n_draws, -1)

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

    def moments(self) -> "Moments":
        """Mean and variance of every gene's counts over cells, averaged over draws."""
        first, scatter, square = self._averaged(
            lambda odds: odds, lambda odds: odds * (1 + odds), np.square
        )
        weights, r = self.weights[..., None], self.full("r")[:, :, 0]
        mean = (weights * r * first).sum(axis=1)
        second = (weights * (r * scatter + r**2 * square)).sum(axis=1)
        return Moments(mean=mean.mean(axis=0), variance=(second - mean**2).mean(axis=0))

    def moments_of(
        self, gene: int
    ) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
        """Mean and variance of one gene's counts over cells, for each draw."""
        own = {name: value[..., 0] for name, value in self.genes(gene).items()}
        odds, kept = np.exp(own["log_odds"]), 1 - own.get("gate", 0.0)
        expressed = own["r"] * odds
        mean = (self.mixed_weights * kept * expressed).sum(axis=1)
        square = expressed * (1 + odds) + expressed**2
        return mean, (self.mixed_weights * kept * square).sum(axis=1) - mean**2

    def component_means(self) -> Float[np.ndarray, "components genes"]:
        """Mean of every gene's counts in cells of each component, averaged over draws."""
        (expected,) = self._averaged(lambda odds: odds)
        return (self.full("r")[:, :, 0] * expected).mean(axis=0)

    def genes(
        self, index: int | slice
    ) -> dict[str, Float[np.ndarray, "draws components*groups genes"]]:
        """Parameters of some genes, float64, components and groups as one axis."""
        kinds = (self.n_draws, self.weights.shape[1], self.groups.size)
        found = {}
        for name in self.natural:
            value = self.full(name, index)
            n_genes = value.shape[-1]
            found[name] = np.broadcast_to(value, (*kinds, n_genes)).reshape(kinds[0], -1, n_genes)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
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

    def one(draw: Values) -> tuple[dict[str, Array], Array]:
        natural = model.natural(draw)
        found = {"r": jnp.exp(natural["log_r"]), "log_odds": log_odds_of_cells(natural)}
        if "gate_logit" in natural:
            found["gate"] = jax.nn.sigmoid(natural["gate_logit"])
        return found, jnp.exp(natural["log_weights"])

    # Not compiled: each model and number of draws would be compiled anew.
    natural, weights = jax.vmap(one)({name: jnp.asarray(v) for name, v in values.items()})
    arrays = {name: np.asarray(value, np.float32) for name, value in natural.items()}
    # A prior may put r where float32 has only 0 or infinity left: no count has a probability there.
    limits = np.finfo(np.float32)
    arrays["r"] = np.clip(arrays["r"], limits.tiny, limits.max)
    arrays["log_odds"], group_of_cell, spread = _grouped(arrays["log_odds"], model.n_cells)
    return NaturalDraws(
        likelihood_key=model.spec.likelihood,
        natural=arrays,
        weights=np.asarray(weights),
        groups=np.bincount(group_of_cell) / model.n_cells,
        group_of_cell=group_of_cell,
        spread=spread,
    )


def _grouped(
    log_odds: np.ndarray, n_cells: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Replace cells by groups of about equal odds, each group by its mean odds.

    The mean of the counts stays exact; within a group of one in 32 cells the odds differ little,
    and by how much is the third that is given.
    """
    group_of_cell = np.zeros(n_cells, np.int32)
    if log_odds.shape[-1] == 1:
        return log_odds, group_of_cell, None
    order = np.argsort(log_odds.mean(axis=(0, 1)))
    bounds = np.linspace(0, n_cells, min(_CELL_GROUPS, n_cells) + 1).astype(int)
    sizes = np.diff(bounds)
    odds = np.add.reduceat(np.exp(log_odds[..., order]), bounds[:-1], axis=-1) / sizes
    group_of_cell[order] = np.repeat(np.arange(sizes.size), sizes)
    return np.log(odds), group_of_cell, _spread_within(log_odds[..., order], bounds)


def _spread_within(
    log_odds: Float[np.ndarray, "draws components cells"], bounds: Int[np.ndarray, " groups+1"]
) -> Float[np.ndarray, " groups"]:
    """Standard deviation within groups of neighbours, over all draws."""
    sizes = np.diff(bounds)
    mean = np.add.reduceat(log_odds, bounds[:-1], axis=-1) / sizes
    apart = log_odds - np.repeat(mean, sizes, axis=-1)
    variance = np.add.reduceat(apart**2, bounds[:-1], axis=-1) / sizes
    return np.sqrt(variance.mean(axis=(0, 1), dtype=np.float64))


def affordable_draws(model: CountModel) -> int:
    """How many draws of a model's parameters fit the memory that checks may take (64 MB)."""
    per_draw = 4 * model.spec.n_components * model.n_genes
    return int(np.clip(_BUDGET_BYTES // per_draw, _FEWEST, _MOST))
