"""All counts of a data set as one NumPyro distribution that scores tables instead of matrices."""

from functools import singledispatchmethod

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scribeviz.data.tables import CellBatch, CellRows, SurvivalTable
from scribeviz.models.likelihood import Likelihood
from scribeviz.models.parameterizations import Values


class CountDistribution(dist.Distribution):
    """Counts of ``n_cells`` independent cells under a likelihood, mixed over components.

    Parameters
    ----------
    likelihood
        The registry entry.
    natural
        Its parameters (:mod:`scribeviz.models.likelihood`), each but ``log_depth`` with a leading
        component axis.
    log_weights
        Logarithms of the components' shares, shape ``(components,)``.
    shape
        Cells and genes of a sample.

    Notes
    -----
    ``log_prob`` takes a :class:`SurvivalTable` (one component), :class:`CellRows`, or a dense array
    of shape ``(n_cells, n_genes)``; NumPyro refuses the first two as ``obs``, so a model says
    ``numpyro.factor("counts", d.log_prob(tables))``.
    """

    support = dist.constraints.independent(dist.constraints.nonnegative_integer, 2)

    def __init__(
        self,
        likelihood: Likelihood,
        natural: Values,
        log_weights: Float[Array, " k"],
        shape: tuple[int, int],
    ) -> None:
        self.likelihood = likelihood
        self.natural = natural
        self.log_weights = log_weights
        super().__init__(batch_shape=(), event_shape=shape, validate_args=False)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw counts, shape ``(*sample_shape, n_cells, n_genes)``: a dense array."""
        choose, draw = jax.random.split(key)
        n_cells = self.event_shape[0]
        component = jax.random.categorical(choose, self.log_weights, shape=(*sample_shape, n_cells))
        parameters = {
            name: _of_cells(value, component)
            for name, value in self.likelihood.single_counts(self.natural).items()
        }
        return self.likelihood.dense(parameters).sample(draw)

    @singledispatchmethod
    def log_prob(self, value: Array) -> Float[Array, ""]:
        """Log-probability of all counts, in nats."""
        by_cell = self._dense.log_prob(value[None]).sum(axis=-1)
        return self._mixed(by_cell).sum()

    @log_prob.register
    def _(self, value: SurvivalTable) -> Float[Array, ""]:
        if self.log_weights.shape[0] != 1:
            raise ValueError("a survival table cannot score a mixture; use cell_rows(counts).")
        return self.likelihood.log_prob_table(value, self.natural)

    @log_prob.register
    def _(self, value: CellRows) -> Float[Array, ""]:
        return self.log_prob_cells(value).sum()

    def log_prob_cells(self, rows: CellRows | CellBatch) -> Float[Array, " cells"]:
        """Log-probability of each cell."""
        return self._mixed(self.log_prob_components(rows))

    def log_prob_components(self, rows: CellRows | CellBatch) -> Float[Array, "components cells"]:
        """Log-probability of each cell under each component, without the weights."""
        return self.likelihood.log_prob_cells(rows, self.natural)

    def responsibilities(self, rows: CellRows) -> Float[Array, "components cells"]:
        """Probability that each cell belongs to each component."""
        joint = self.log_prob_components(rows) + self.log_weights[:, None]
        return jax.nn.softmax(joint, axis=0)

    @property
    def _dense(self) -> dist.Distribution:
        return self.likelihood.dense(self.likelihood.single_counts(self.natural))

    def _mixed(self, by_cell: Float[Array, "components cells"]) -> Float[Array, " cells"]:
        return jax.nn.logsumexp(by_cell + self.log_weights[:, None], axis=0)


def _of_cells(
    value: Float[Array, "components #cells #genes"], component: Int[Array, "*samples cells"]
) -> Float[Array, "*samples cells #genes"]:
    """A parameter of single counts, for cells of these components."""
    k, n_cells, _ = value.shape
    cell = jnp.arange(component.shape[-1]) if n_cells > 1 else 0
    return value[component if k > 1 else jnp.zeros_like(component), cell]
