"""Histograms and cumulative shares of data sets of counts, and where most of them lie.

The reference's arguments and answers; the numbers are NumPy's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

type Regions = dict[str, Any]


def compute_histogram_percentiles(
    samples: Any,
    percentiles: Sequence[float] = (5, 25, 50, 75, 95),
    normalize: bool = True,
    sample_axis: int = 0,
) -> tuple[Int[np.ndarray, " edges"], Float[np.ndarray, "percentiles bins"]]:
    """Percentiles over data sets of how often each count occurs.

    Parameters
    ----------
    samples
        Counts, shape ``(data sets, counts)``.
    percentiles
        From 0 to 100.
    normalize
        Shares of all counts, instead of numbers of them.
    sample_axis
        Where the data sets are; 1 for ``(counts, data sets)``.

    Returns
    -------
    bin_edges
        Whole numbers from the smallest count to one more than the largest.
    histogram_percentiles
        A row per percentile.

    Examples
    --------
    >>> import numpy as np
    >>> from scribeviz import stats
    >>> data_sets = np.array([[0, 1, 1, 2], [0, 0, 1, 1], [1, 1, 2, 2]])
    >>> edges, rows = stats.compute_histogram_percentiles(data_sets, percentiles=(50,))
    >>> edges.tolist(), rows.tolist()
    ([0, 1, 2, 3], [[0.25, 0.5, 0.25]])
    """
    values, largest = _whole(samples, sample_axis, None)
    edges = np.arange(values.min(), largest + 2)
    histograms = _histograms(values, edges, normalize=normalize)
    return edges, np.percentile(histograms, percentiles, axis=0)


def compute_histogram_credible_regions(
    samples: Any,
    credible_regions: Sequence[float] = (95, 68, 50),
    normalize: bool = True,
    sample_axis: int = 0,
    batch_size: int = 1000,
    max_bin: int | None = None,
) -> Regions:
    """Regions in which the central data sets lie, by how often each count occurs.

    Parameters
    ----------
    samples
        Counts, shape ``(data sets, counts)``.
    credible_regions
        Percentages of the data sets.
    normalize
        Shares of the counts in all bins, instead of numbers of them.
    sample_axis
        Where the data sets are; 1 for ``(counts, data sets)``.
    batch_size
        Accepted; nothing depends on it here.
    max_bin
        Largest count that is looked at.

    Returns
    -------
    dict
        ``bin_edges``, and ``regions``: by percentage ``lower``, ``upper`` and ``median``, a value
        per bin.

    Examples
    --------
    >>> import numpy as np
    >>> from scribeviz import stats
    >>> data_sets = np.array([[0, 1, 1, 2], [0, 0, 1, 1], [1, 1, 2, 2]])
    >>> bands = stats.compute_histogram_credible_regions(data_sets, credible_regions=(50,))
    >>> bands["regions"][50]["median"].tolist()
    [0.25, 0.5, 0.25]
    """
    del batch_size
    values, largest = _whole(samples, sample_axis, max_bin)
    edges = np.arange(values.min(), largest + 2)
    return _regions(edges, _histograms(values, edges, normalize=normalize), credible_regions)


def compute_ecdf_percentiles(
    samples: Any, percentiles: Sequence[float] = (5, 25, 50, 75, 95), sample_axis: int = 0
) -> tuple[Int[np.ndarray, " counts"], Float[np.ndarray, "percentiles counts"]]:
    """Percentiles over data sets of the share of counts up to each.

    Parameters
    ----------
    samples, percentiles, sample_axis
        As for :func:`compute_histogram_percentiles`.

    Returns
    -------
    bin_edges
        Whole numbers from the smallest to the largest count.
    ecdf_percentiles
        A row per percentile.

    Examples
    --------
    >>> import numpy as np
    >>> from scribeviz import stats
    >>> data_sets = np.array([[0, 1, 1, 2], [0, 0, 1, 1], [1, 1, 2, 2]])
    >>> counts, rows = stats.compute_ecdf_percentiles(data_sets, percentiles=(50,))
    >>> counts.tolist(), rows.tolist()
    ([0, 1, 2], [[0.25, 0.75, 1.0]])
    """
    values, largest = _whole(samples, sample_axis, None)
    points = np.arange(values.min(), largest + 1)
    return points, np.percentile(_shares_up_to(values, points), percentiles, axis=0)


def compute_ecdf_credible_regions(
    samples: Any,
    credible_regions: Sequence[float] = (95, 68, 50),
    sample_axis: int = 0,
    batch_size: int = 1000,
    max_bin: int | None = None,
) -> Regions:
    """Regions in which the central data sets lie, by the share of counts up to each.

    Parameters
    ----------
    samples, credible_regions, sample_axis, batch_size, max_bin
        As for :func:`compute_histogram_credible_regions`.

    Returns
    -------
    dict
        ``bin_edges`` (the counts), and ``regions``: by percentage ``lower``, ``upper`` and
        ``median``.

    Examples
    --------
    >>> import numpy as np
    >>> from scribeviz import stats
    >>> data_sets = np.array([[0, 1, 1, 2], [0, 0, 1, 1], [1, 1, 2, 2]])
    >>> bands = stats.compute_ecdf_credible_regions(data_sets, credible_regions=(50,))
    >>> bands["regions"][50]["median"].tolist()
    [0.25, 0.75, 1.0]
    """
    del batch_size
    values, largest = _whole(samples, sample_axis, max_bin)
    points = np.arange(values.min(), largest + 1)
    return _regions(points, _shares_up_to(values, points), credible_regions)


def _whole(
    samples: Any, sample_axis: int, max_bin: int | None
) -> tuple[Int[np.ndarray, "sets counts"], int]:
    """Counts, data sets first, and the largest that is looked at."""
    values = np.asarray(samples)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"samples of shape {values.shape} should be (data sets, counts).")
    if sample_axis not in {0, 1}:
        raise ValueError(f"sample_axis={sample_axis} is neither 0 nor 1.")
    values = np.floor(values).astype(np.int64)
    largest = int(values.max()) if max_bin is None else min(int(values.max()), max_bin)
    if largest < values.min():
        raise ValueError(f"max_bin={max_bin} lies below every count; the least is {values.min()}.")
    return (values if sample_axis == 0 else values.T), largest


def _histograms(
    values: Int[np.ndarray, "sets counts"], edges: Int[np.ndarray, " edges"], *, normalize: bool
) -> Float[np.ndarray, "sets bins"]:
    first, n_bins = int(edges[0]), len(edges) - 1
    heights = np.empty((len(values), n_bins))
    for i, row in enumerate(values):  # one at a time: nothing of the size of all bins is made
        heights[i] = np.bincount(row[row < edges[-1]] - first, minlength=n_bins)
    if normalize:
        heights /= np.maximum(heights.sum(axis=1, keepdims=True), 1)
    return heights


def _shares_up_to(
    values: Int[np.ndarray, "sets counts"], points: Int[np.ndarray, " counts"]
) -> Float[np.ndarray, "sets counts"]:
    edges = np.append(points, points[-1] + 1)
    return _histograms(values, edges, normalize=False).cumsum(axis=1) / values.shape[1]


def _regions(
    edges: np.ndarray, curves: Float[np.ndarray, "sets points"], percentages: Sequence[float]
) -> Regions:
    median = np.percentile(curves, 50, axis=0)
    regions: Mapping[float, Any] = {
        percentage: {
            "lower": np.percentile(curves, (100 - percentage) / 2, axis=0),
            "upper": np.percentile(curves, (100 + percentage) / 2, axis=0),
            "median": median,
        }
        for percentage in percentages
    }
    return {"bin_edges": edges, "regions": regions}
