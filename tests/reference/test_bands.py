"""Regions of histograms and cumulative shares, against NumPy and SciPy one data set at a time."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from scribeviz import stats


@pytest.fixture
def samples(rng):
    return rng.poisson(4.0, (60, 200))


def test_histogram_percentiles(samples):
    edges, found = stats.compute_histogram_percentiles(samples, percentiles=[10, 50])
    assert edges[0] == samples.min()
    assert edges[-1] == samples.max() + 1
    shares = [np.histogram(row, bins=edges)[0] / row.size for row in samples]
    np.testing.assert_allclose(found, np.percentile(shares, [10, 50], axis=0))


def test_histogram_regions(samples):
    found = stats.compute_histogram_credible_regions(jnp.asarray(samples), [95, 50])
    edges = found["bin_edges"]
    shares = [np.histogram(row, bins=edges)[0] / row.size for row in samples]
    for percentage, q in ((95, (2.5, 97.5)), (50, (25, 75))):
        region = found["regions"][percentage]
        lower, upper = np.percentile(shares, q, axis=0)
        np.testing.assert_allclose(region["lower"], lower)
        np.testing.assert_allclose(region["upper"], upper)
        np.testing.assert_allclose(region["median"], np.median(shares, axis=0))


def test_counts_and_axes_and_a_largest_bin(samples):
    numbers = stats.compute_histogram_credible_regions(samples, normalize=False)
    assert numbers["regions"][95]["median"].sum() == pytest.approx(200, rel=0.05)
    turned = stats.compute_histogram_credible_regions(samples.T, sample_axis=1, normalize=False)
    np.testing.assert_array_equal(turned["bin_edges"], numbers["bin_edges"])
    np.testing.assert_array_equal(turned["regions"][68]["upper"], numbers["regions"][68]["upper"])
    few = stats.compute_histogram_credible_regions(samples, normalize=False, max_bin=3)
    assert few["bin_edges"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(
        few["regions"][95]["lower"], numbers["regions"][95]["lower"][: len(few["bin_edges"]) - 1]
    )


def test_ecdf(samples):
    points, found = stats.compute_ecdf_percentiles(samples, [50])
    shares = [st.ecdf(row).cdf.evaluate(points) for row in samples]
    np.testing.assert_allclose(found[0], np.median(shares, axis=0))
    regions = stats.compute_ecdf_credible_regions(samples, [90], max_bin=5)
    assert regions["bin_edges"].tolist() == list(range(samples.min(), 6))
    expected = np.percentile(shares, 95, axis=0)[: len(regions["bin_edges"])]
    np.testing.assert_allclose(regions["regions"][90]["upper"], expected)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"shape \(3,\) should be \(data sets, counts\)"):
        stats.compute_histogram_percentiles(np.arange(3))
    with pytest.raises(ValueError, match="sample_axis=2 is neither"):
        stats.compute_ecdf_percentiles(np.ones((2, 2)), sample_axis=2)
    with pytest.raises(ValueError, match="max_bin=4 lies below every count; the least is 5"):
        stats.compute_ecdf_credible_regions(np.full((2, 2), 5), max_bin=4)
