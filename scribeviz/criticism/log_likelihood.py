r"""Log-likelihood of every cell or every gene under posterior draws, exact on the sparse counts.

With odds of success :math:`\eta_c`, :math:`h_c = \ln\sigma(\eta_c)` and
:math:`t_c = \ln\sigma(-\eta_c)`, a count has log-probability

.. math:: f_g(t_c) + [x > 0] \left( \ln\frac{\Gamma(r_g + x)}{\Gamma(r_g)\, x!} + x h_c
          + \ln\sigma(r_g t_c - a_g) \right)

where :math:`f_g(t) = r_g t` and the last term is missing, unless zeros are inflated
(:mod:`scribeviz.models.zeros`).  Summed with weights over genes (of each cell) or over cells (of
each gene), the first term is a closed form or an interpolation, and the rest needs the non-zeros
only.  With :math:`\bar h` the mean over cells and :math:`x h_c = x \bar h + x (h_c - \bar h)`, all
of it but what differs between cells is the same wherever a gene shows the same count: it is
computed once per distinct (gene, count) pair, with :math:`\ln x!` subtracted there and then, since
in float32 the difference of two large sums would cost a digit.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int
from numpy.typing import DTypeLike
from scipy.special import gammaln

from scribeviz.criticism.budget import BUDGET_BYTES, check_budget
from scribeviz.data.counts import Counts
from scribeviz.data.tables import PaddedLists, padded_lists
from scribeviz.models.builder import CountModel
from scribeviz.models.lists import for_each_list, sum_over_lists
from scribeviz.models.negative_binomial import log_odds_of_cells
from scribeviz.models.parameterizations import Values
from scribeviz.models.special import log_rising
from scribeviz.models.zeros import cell_nodes, log_zero

_RETURN_BY = ("cell", "gene")
_WEIGHT_TYPES = ("multiplicative", "additive")
_FLOAT64_SHIFT = 10  # from r + 14 on, the first term left out of Stirling's series is 4e-14


def log_likelihood(  # noqa: PLR0913  the reference's own arguments
    model: CountModel,
    values: Values,
    counts: Counts,
    *,
    return_by: str = "cell",
    split_components: bool = False,
    weights: Float[ArrayLike, " summed"] | None = None,
    weight_type: str | None = None,
    batch_size: int | None = None,
    dtype: DTypeLike = np.float32,
    budget_bytes: int = BUDGET_BYTES,
) -> np.ndarray:
    """Log-likelihood of data under posterior draws, in nats.

    Parameters
    ----------
    model
        The model of the draws.
    values
        Draws of its sites by key, each with a leading axis of draws; other names are not looked at.
        A point estimate is one draw.
    counts
        Of ``model.n_genes`` genes; where the model has capture, of its ``model.n_cells`` cells.
    return_by
        ``"cell"`` sums over genes, ``"gene"`` over cells.
    split_components
        Keep the components of a mixture apart.  Each includes its log mixing weight, so that a
        softmax over the last axis gives the probabilities of an assignment.
    weights
        One per gene by cell, one per cell by gene.  They change the log-probability of every count
        before it is summed; the mixing weights stay as they are.
    weight_type
        ``"multiplicative"`` or ``"additive"``.
    batch_size
        Draws on the device at a time; all when left out.  The numbers are the same whatever it is.
    dtype
        Of the result.  ``float64`` is also computed in float64 throughout; otherwise in float32.
    budget_bytes
        The most that the result may take.

    Returns
    -------
    numpy.ndarray
        Shape ``(draws, cells)`` or ``(draws, genes)``; with ``split_components`` and a last axis of
        components.  A mixture that is not split gives the logarithm of the components' sum: of each
        cell, or of each gene as if all its cells came from one component.

    Raises
    ------
    ValueError
        If arguments contradict each other, the model or the data.
    MemoryBudgetError
        If the result would not fit the memory budget.

    Notes
    -----
    No array of cells x genes is made.  A draw costs the non-zeros by cell, and by gene the distinct
    (gene, count) pairs, plus the non-zeros where there is capture.

    In float32, sums are good to about 1e-6 of the larger parts that they are the balance of: on
    2,700 cells and 16,634 genes to 0.01 nats per cell, and 0.1 nats for the loudest gene.  With
    both zero inflation and capture the zeros are interpolated, whatever the dtype
    (:mod:`scribeviz.models.zeros` says how well).
    """
    by_cell = _by_cell(return_by)
    _check_counts(model, counts)
    if split_components and not model.spec.is_mixture:
        raise ValueError(f"split_components needs components, and {model.spec.name} has none.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size} should be 1 or more.")
    factors, added = _weights(weights, weight_type, counts, by_cell=by_cell)
    draws = {site.key: values[site.key] for site in model.spec.sites}
    n_draws = len(next(iter(draws.values())))
    last = (model.spec.n_components,) if split_components else ()
    shape = (n_draws, counts.n_cells if by_cell else counts.n_genes, *last)
    check_budget(
        "the log-likelihoods",
        shape,
        dtype,
        instead="fewer posterior samples, or fewer cells or genes at a time",
        budget_bytes=budget_bytes,
    )
    found = np.empty(shape, dtype)
    # Matrix products of some GPUs keep three digits unless they are told not to.
    with (
        jax.enable_x64(np.dtype(dtype) == np.float64),
        jax.default_matmul_precision("highest"),
    ):
        table = jax.tree.map(jnp.asarray, _table(model, counts, factors, by_cell=by_cell))
        for batch in _batches(n_draws, batch_size):
            some = {key: jnp.asarray(value[batch], float) for key, value in draws.items()}
            found[batch] = _scored(model, some, table, by_cell=by_cell, split=split_components)
    found += added
    return found


@partial(jax.jit, static_argnames=("model", "by_cell", "split"))
def _scored(
    model: CountModel, draws: Values, table: "_Table", *, by_cell: bool, split: bool
) -> Float[Array, "draws scored *components"]:
    def one(draw: Values) -> Array:
        natural = model.natural(draw)
        log_weights = natural.pop("log_weights")
        joint = _by_component(natural, table, by_cell=by_cell) + log_weights[:, None]
        return joint.T if split else jax.nn.logsumexp(joint, axis=0)

    return jax.lax.map(one, draws)


class _Table(NamedTuple):
    """The counts, and the weights of what is summed over; "scored" are the cells or the genes.

    Attributes
    ----------
    pair_gene, pair_count, pair_log_factorial
        The distinct (gene, count) pairs with count > 0.
    pair_weight
        By cell the weight of the pair's gene; by gene the sum of the weights of its cells.
    pairs
        The pairs of every scored.
    weight
        Of what is summed over: the genes by cell, the cells by gene.
    n_scored
        Its shape says how many there are.
    nonzeros
        Only with capture.
    """

    pair_gene: Int[np.ndarray, " pairs"]
    pair_count: Float[np.ndarray, " pairs"]
    pair_log_factorial: Float[np.ndarray, " pairs"]
    pair_weight: Float[np.ndarray, " pairs"]
    pairs: PaddedLists
    weight: Float[np.ndarray, " summed"]
    n_scored: np.ndarray
    nonzeros: "_Nonzeros | None"


class _Nonzeros(NamedTuple):
    """The non-zeros of every scored, where cells differ.

    Attributes
    ----------
    lists
        By cell its genes, by gene its cells.
    counts
        In the order of ``lists.rectangles``; 0 where these are padded.
    """

    lists: PaddedLists
    counts: tuple[Float[np.ndarray, "blocks rows width"], ...]


def _table(
    model: CountModel, counts: Counts, weights: np.ndarray | None, *, by_cell: bool
) -> _Table:
    """Lay out the counts in float64; JAX rounds them where it computes in float32."""
    n_scored, n_summed = counts.n_cells, counts.n_genes
    if not by_cell:
        n_scored, n_summed = n_summed, n_scored
    weight = np.ones(n_summed) if weights is None else weights
    gene, count, pair_of_entry = _distinct_pairs(counts)
    per_cell = np.diff(counts.matrix.indptr)
    if by_cell:
        pairs = padded_lists(pair_of_entry, per_cell, size=gene.size)
        pair_weight = weight[gene]
    else:
        per_gene = np.bincount(gene, minlength=counts.n_genes)
        pairs = padded_lists(np.arange(gene.size), per_gene, size=gene.size)
        each = np.repeat(weight, per_cell)
        pair_weight = np.bincount(pair_of_entry, weights=each, minlength=gene.size)
    return _Table(
        pair_gene=gene.astype(np.int32),
        pair_count=count.astype(np.float64),
        pair_log_factorial=gammaln(count + 1.0),
        pair_weight=pair_weight,
        pairs=pairs,
        weight=weight,
        n_scored=np.empty(n_scored, np.int8),
        nonzeros=_nonzeros(counts, by_cell=by_cell) if model.likelihood.has_capture else None,
    )


def _distinct_pairs(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Genes and counts of the distinct pairs, sorted, and which pair each non-zero is."""
    matrix = counts.matrix
    # One packed integer sorts many times faster than np.unique over two columns.
    base = int(matrix.data.max(initial=0)) + 1
    keys = matrix.indices.astype(np.int64) * base + matrix.data
    distinct, pair_of_entry = np.unique(keys, return_inverse=True)
    gene, count = np.divmod(distinct, base)
    return gene, count, pair_of_entry


def _nonzeros(counts: Counts, *, by_cell: bool) -> _Nonzeros:
    matrix = counts.matrix if by_cell else counts.columns
    lengths = np.diff(matrix.indptr)
    n_summed = matrix.shape[1] if by_cell else matrix.shape[0]
    where = padded_lists(np.arange(matrix.nnz), lengths, size=matrix.nnz)
    data = np.append(matrix.data, 0).astype(np.float64)
    return _Nonzeros(
        lists=padded_lists(matrix.indices, lengths, size=n_summed),
        counts=tuple(data[rectangle] for rectangle in where.rectangles),
    )


class _Component(NamedTuple):
    """One component of a draw; ``gate`` is None unless zeros are inflated.

    ``eta``, the log odds of success, has one entry where all cells are alike.
    """

    log_r: Float[Array, " genes"]
    gate: Float[Array, " genes"] | None
    eta: Float[Array, " cells"]

    @property
    def hit(self) -> Float[Array, " cells"]:
        """Log-probability of success."""
        return jax.nn.log_sigmoid(self.eta)

    @property
    def miss(self) -> Float[Array, " cells"]:
        """Log-probability of failure, t."""
        return jax.nn.log_sigmoid(-self.eta)


def _by_component(
    natural: Values, table: _Table, *, by_cell: bool
) -> Float[Array, "components scored"]:
    """Weighted log-probability of every cell or gene, under each component."""
    zeros = _zeros_of_cells if by_cell else _zeros_of_genes
    beyond_pairs = _beyond_pairs_of_cells if by_cell else _beyond_pairs_of_genes

    def one(component: _Component) -> Array:
        per_pair = _per_pair(component, table)[None, :]
        # Nothing is differentiated here, so that the transposed lists do not matter.
        total = sum_over_lists(per_pair, table.pairs, table.pairs)[0] + zeros(component, table)
        if table.nonzeros is None:
            return total
        return total + beyond_pairs(component, table.weight, table.nonzeros)

    components = _Component(natural["log_r"], natural.get("gate_logit"), log_odds_of_cells(natural))
    return jax.lax.map(one, components)


def _per_pair(component: _Component, table: _Table) -> Float[Array, " pairs"]:
    """What a gene's count changes in the log-probability of its zero, at the mean of ``hit``."""
    r = jnp.exp(component.log_r)
    changed = _log_rising(r[table.pair_gene], table.pair_count) - table.pair_log_factorial
    changed += table.pair_count * component.hit.mean()
    if component.gate is not None and table.nonzeros is None:
        changed += jax.nn.log_sigmoid(r * component.miss - component.gate)[table.pair_gene]
    return changed * table.pair_weight


def _log_rising(r: Array, n: ArrayLike) -> Array:
    """As :func:`log_rising`, whose series ends where float32 does, to float64 rounding."""
    if r.dtype == jnp.float32:
        return log_rising(r, n)
    shifted = sum(jnp.log1p(n / (r + i)) for i in range(_FLOAT64_SHIFT))
    return log_rising(r + _FLOAT64_SHIFT, n) - shifted


def _zeros_of_cells(component: _Component, table: _Table) -> Float[Array, " cells"]:
    """What every cell would have without any count."""
    log_r, gate, _ = component
    t = jnp.broadcast_to(component.miss, table.n_scored.shape)
    if gate is None:
        return (table.weight * jnp.exp(log_r)).sum() * t
    if table.nonzeros is None:
        zero = (table.weight * log_zero(log_r, gate, component.miss)).sum()
        return jnp.broadcast_to(zero, t.shape)
    nodes = cell_nodes(t)
    at_nodes = log_zero(log_r[:, None], gate[:, None], nodes.t[None, :])
    return nodes.at_cells(jnp.matmul(table.weight, at_nodes))


def _zeros_of_genes(component: _Component, table: _Table) -> Float[Array, " genes"]:
    """What every gene would have without any count."""
    log_r, gate, _ = component
    t = jnp.broadcast_to(component.miss, table.weight.shape)
    if gate is None:
        return jnp.exp(log_r) * (table.weight * t).sum()
    if table.nonzeros is None:
        return table.weight.sum() * log_zero(log_r, gate, component.miss)
    nodes = cell_nodes(t)
    at_nodes = log_zero(log_r[:, None], gate[:, None], nodes.t[None, :])
    return at_nodes @ nodes.weights(jnp.asarray(table.weight))


def _beyond_pairs_of_cells(
    component: _Component, weight: ArrayLike, nonzeros: _Nonzeros
) -> Float[Array, " cells"]:
    """What differs between cells that show the same count, summed over the genes of each cell."""
    r, weights = _padded(jnp.exp(component.log_r)), _padded(weight)
    gates = None if component.gate is None else _padded(component.gate)
    hit, miss = component.hit - component.hit.mean(), component.miss

    def of_rows(genes: Array, cells: Array, count: Array) -> Array:
        total = hit[cells] * (weights[genes] * count).sum(axis=1)
        if gates is None:
            return total
        kept = jax.nn.log_sigmoid(r[genes] * miss[cells][:, None] - gates[genes])
        return total + (weights[genes] * kept).sum(axis=1)

    return for_each_list(of_rows, nonzeros.lists, nonzeros.counts)


def _beyond_pairs_of_genes(
    component: _Component, weight: ArrayLike, nonzeros: _Nonzeros
) -> Float[Array, " genes"]:
    """What differs between cells that show the same count, summed over the cells of each gene."""
    r, gate = jnp.exp(component.log_r), component.gate
    weights, miss = _padded(weight), _padded(component.miss)
    hit = _padded(component.hit - component.hit.mean())

    def of_rows(cells: Array, genes: Array, count: Array) -> Array:
        changed = count * hit[cells]
        if gate is not None:
            changed += jax.nn.log_sigmoid(r[genes][:, None] * miss[cells] - gate[genes][:, None])
        return (weights[cells] * changed).sum(axis=1)

    return for_each_list(of_rows, nonzeros.lists, nonzeros.counts)


def _padded(values: ArrayLike) -> Array:
    """With an entry for the padding of lists, whose weight is thereby 0."""
    array = jnp.asarray(values)
    return jnp.append(array, jnp.zeros((), array.dtype))


def _batches(n_draws: int, batch_size: int | None) -> list[slice]:
    size = batch_size or max(n_draws, 1)
    return [slice(start, start + size) for start in range(0, n_draws, size)]


def _by_cell(return_by: str) -> bool:
    if return_by not in _RETURN_BY:
        raise ValueError(f"return_by={return_by!r} is not known; choose 'cell' or 'gene'.")
    return return_by == "cell"


def _check_counts(model: CountModel, counts: Counts) -> None:
    if counts.n_genes != model.n_genes:
        raise ValueError(
            f"the model is of {model.n_genes:,} genes, and these counts have {counts.n_genes:,}."
        )
    if model.likelihood.has_capture and counts.n_cells != model.n_cells:
        raise ValueError(
            f"{model.spec.name} has a capture probability for each of {model.n_cells:,} cells, and "
            f"these counts have {counts.n_cells:,}."
        )


def _weights(
    weights: Float[ArrayLike, " summed"] | None,
    weight_type: str | None,
    counts: Counts,
    *,
    by_cell: bool,
) -> tuple[Float[np.ndarray, " summed"] | None, float]:
    """What log-probabilities are multiplied by, and what is added to each of their sums."""
    if weights is None and weight_type is None:
        return None, 0.0
    if weights is None or weight_type is None:
        missing = "weights" if weights is None else "weight_type"
        raise ValueError(f"weights and weight_type go together; {missing} is missing.")
    if weight_type not in _WEIGHT_TYPES:
        raise ValueError(
            f"weight_type={weight_type!r} is not known; choose 'multiplicative' or 'additive'."
        )
    array = np.asarray(weights, np.float64)
    n, what = (counts.n_genes, "gene") if by_cell else (counts.n_cells, "cell")
    if array.shape != (n,):
        raise ValueError(
            f"weights should be one per {what}, shape ({n},), with return_by="
            f"{'cell' if by_cell else 'gene'!r}; got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError("weights holds values that are not finite.")
    return (array, 0.0) if weight_type == "multiplicative" else (None, float(array.sum()))
