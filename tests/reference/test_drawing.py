"""What is drawn are the numbers that were given."""

import matplotlib as mpl
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from matplotlib.figure import Figure

from scribeviz import stats, viz


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def regions(rng):
    return stats.compute_histogram_credible_regions(rng.poisson(3.0, (40, 100)))


def test_a_posterior_and_the_truth(ax):
    viz.plot_posterior(
        ax,
        dist.Beta(2.0, 3.0),
        ground_truth=0.4,
        ground_truth_color="black",
        color=viz.colors()["dark_blue"],
        fill_color=viz.colors()["light_blue"],
        n_points=50,
        label="p",
    )
    curve, truth = ax.lines
    x, y = curve.get_data()
    np.testing.assert_allclose(y, st.beta(2, 3).pdf(x))
    np.testing.assert_allclose(x[[0, -1]], st.beta(2, 3).ppf([0.001, 0.999]))
    assert x.size == 50
    assert list(truth.get_xdata()) == [0.4, 0.4]
    assert len(ax.collections) == 1


def test_one_gene_of_a_result(ax):
    viz.plot_posterior(ax, st.lognorm(np.array([0.5])), fill_between=False, log_scale=True)
    assert ax.get_xscale() == "log"
    assert not ax.collections


@pytest.mark.parametrize(
    ("fn", "sentence"),
    [
        (st.norm(np.zeros(12)), r"is of 12 values; choose one gene"),
        (dist.Dirichlet(np.ones(3)), "has no quantiles"),
    ],
)
def test_many_values_at_once_are_refused(ax, fn, sentence):
    with pytest.raises(ValueError, match=sentence):
        viz.plot_posterior(ax, fn)


def test_histogram_regions(ax, regions):
    assert viz.plot_histogram_credible_regions(ax, regions, cmap="Blues") is ax
    labels = [band.get_label() for band in ax.collections]
    assert labels == ["95% CR", "68% CR", "50% CR"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), regions["regions"][95]["median"])


def test_stairs_end_at_the_last_bin(ax, regions):
    viz.plot_histogram_credible_regions_stairs(ax, regions, alpha=[0.1, 0.2, 0.3], max_bin=4)
    outer, *_, median = ax.patches
    values, edges, baseline = outer.get_data()
    np.testing.assert_array_equal(values, regions["regions"][95]["upper"][:4])
    np.testing.assert_array_equal(baseline, regions["regions"][95]["lower"][:4])
    np.testing.assert_array_equal(edges, regions["bin_edges"][:5])
    assert median.get_label() == "median"
    assert [patch.get_alpha() for patch in ax.patches[:3]] == [0.1, 0.2, 0.3]


def test_cumulative_shares(ax, rng):
    found = stats.compute_ecdf_credible_regions(rng.poisson(3.0, (40, 100)), [90])
    viz.plot_ecdf_credible_regions(ax, found, cmap="Blues", label_prefix="model ")
    assert [band.get_label() for band in ax.collections] == ["model 90% CR"]
    assert ax.lines[0].get_drawstyle() == "steps-post"
    viz.plot_ecdf_credible_regions_stairs(ax, found, plot_median=False, max_bin=3)
    values, edges, _ = ax.patches[0].get_data()
    assert (values.size, edges.size) == (3, 4)
    with pytest.raises(ValueError, match="drawstyle='dotted' is none of"):
        viz.plot_ecdf_credible_regions(ax, found, drawstyle="dotted")


def test_as_many_colors_as_regions(ax, regions):
    with pytest.raises(ValueError, match="3 regions, with 2 colors and 3 alphas"):
        viz.plot_histogram_credible_regions(ax, regions, colors=["red", "blue"])


def test_the_style_and_its_colors():
    with mpl.rc_context():
        viz.matplotlib_style()
        assert mpl.rcParams["axes.grid"]
    assert {"blue", "dark_blue", "light_red", "pale_gold"} < set(viz.colors())
    assert all(0 <= part <= 1 for rgb in viz.colors().values() for part in rgb)
