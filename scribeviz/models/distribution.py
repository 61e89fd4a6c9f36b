"""All counts of a data set as one NumPyro distribution that scores tables instead of matrices."""

from functools import singledispatchmethod

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from scribeviz.data.tables import CellRows, SurvivalTable
from scribeviz.models.likelihoods import Likelihood
from scribeviz.models.parameterizations import Values


class CountDistribution(dist.Distribution):
    """Counts of ``n_cells`` independent cells under a likelihood, mixed over components.

    Parameters
    ----------
    likelihood
        The registry entry.
    natural
        Its parameters, each with a leading component axis.
    weights
        Shares of the components, shape ``(components,)``.
    n_cells
        Cells in a sample.

    Notes
    -----
    ``log_prob`` takes a :class:`SurvivalTable` (one component), :class:`CellRows`, or a dense array
    of shape ``(n_cells, n_genes)``; NumPyro refuses the first two as ``obs``, so a model says
    ``numpyro.factor("counts", d.log_prob(tables))``.
    """

    support = dist.constraints.independent(dist.constraints.nonnegative_integer, 2)

    def __init__(
        self, likelihood: Likelihood, natural: Values, weights: Float[Array, " k"], n_cells: int
    ) -> None:
        self.likelihood = likelihood
        self.natural = natural
        self.weights = weights
        n_genes = natural["r"].shape[-1]
        super().__init__(batch_shape=(), event_shape=(n_cells, n_genes), validate_args=False)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw counts, shape ``(*sample_shape, n_cells, n_genes)``: a dense array."""
        choose, draw = jax.random.split(key)
        cells = (*sample_shape, self.event_shape[0])
        component = jax.random.categorical(choose, jnp.log(self.weights), shape=cells)
        chosen = {
            name: value[component] if value.ndim > 1 else value[component][..., None]
            for name, value in self.natural.items()
        }
        return self.likelihood.dense(chosen).sample(draw)

    @singledispatchmethod
    def log_prob(self, value: Array) -> Float[Array, ""]:
        """Log-probability of all counts, in nats."""
        per_component = {
            name: array[:, None, :] if array.ndim > 1 else array[:, None, None]
            for name, array in self.natural.items()
        }
        by_cell = self.likelihood.dense(per_component).log_prob(value).sum(axis=-1)
        return self._mixed(by_cell).sum()

    @log_prob.register
    def _(self, value: SurvivalTable) -> Float[Array, ""]:
        if self.weights.shape[0] != 1:
            raise ValueError("a survival table cannot score a mixture; use cell_rows(counts).")
        single = {name: array[0] for name, array in self.natural.items()}
        return self.likelihood.log_prob_table(value, single)

    @log_prob.register
    def _(self, value: CellRows) -> Float[Array, ""]:
        return self._mixed(self.log_prob_components(value)).sum()

    def log_prob_components(self, rows: CellRows) -> Float[Array, "components cells"]:
        """Log-probability of each cell under each component, without the weights."""
        return self.likelihood.log_prob_cells(rows, self.natural)

    def responsibilities(self, rows: CellRows) -> Float[Array, "components cells"]:
        """Probability that each cell belongs to each component."""
        joint = self.log_prob_components(rows) + jnp.log(self.weights)[:, None]
        return jax.nn.softmax(joint, axis=0)

    def _mixed(self, by_cell: Float[Array, "components cells"]) -> Float[Array, " cells"]:
        return jax.nn.logsumexp(by_cell + jnp.log(self.weights)[:, None], axis=0)
