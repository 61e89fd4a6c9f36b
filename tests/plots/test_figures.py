"""Every picture as a file, in the size that is asked for."""

import re
import struct
import zlib

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from scribeviz import plots
from scribeviz.plots import figures
from scribeviz.plots.figures import FigureFile, figure_bytes
from scribeviz.plots.kept_range import barcodes_by_rank

SVG = FigureFile(kind="svg")
EDGES = np.arange(7)
SEEN = np.array([20, 9, 5, 3, 2, 1])
BANDS = np.multiply.outer([0.6, 0.8, 1.0, 1.2, 1.4], SEEN.astype(float))
NAME = "<script>$x_1^"


def genes(rng, n=40):
    table = pd.DataFrame(rng.uniform(0.1, 0.9, (n, 9)), columns=[f"pit{i}0" for i in range(1, 10)])
    mean = rng.lognormal(size=n)
    return table.assign(
        gene=[NAME, *(f"G{i}" for i in range(n - 1))],
        misfit=0.1,
        problem=np.where(np.arange(n) < 5, "tail too heavy", "as expected"),
        mean=mean,
        variance=mean * 2,
        zeros=np.exp(-mean),
        predicted_mean=mean,
        predicted_variance=mean * 1.9,
        predicted_zeros=np.exp(-mean),
        cover50=0.5,
        cover90=0.9,
        dispersion=1 / mean,
        difference=rng.normal(size=n) * 20,
    )


def pictures(rng):
    table = genes(rng)
    places = rng.normal(size=(30, 2))
    labels = pd.Series(
        pd.Categorical(np.repeat([NAME, "B", "C"], 10)), [f"c{i}" for i in range(30)]
    )
    curve = np.geomspace(0.1, 10, 20), np.exp(-(np.linspace(-2, 2, 20) ** 2))
    error = rng.random((30, 4))
    axes = ("UMAP 1", "UMAP 2")
    return {
        "cells_map": plots.cells_map(places, labels.reset_index(drop=True), axes),
        "component_heatmap": plots.component_heatmap(rng.normal(size=(2, 2)), [NAME, "B"], [1, 2]),
        "component_sizes": plots.component_sizes(np.array([4, 6])),
        "coverage": plots.coverage(table),
        "cross_heatmap": plots.cross_heatmap(
            pd.DataFrame([[3, 1], [0, 5]], index=[NAME, "B"], columns=[1, 2])
        ),
        "entropies_beside": plots.entropies_beside((rng.random(9), rng.random(9)), (NAME, "B")),
        "entropy_histogram": plots.entropy_histogram(rng.random(50) * 0.6, 2),
        "error_heatmaps": plots.error_heatmaps(
            error, error[::-1], genes=[NAME, *"abc"], labels=labels
        ),
        "error_map": plots.error_map(places, pd.Series(error[:, 0], labels.index), axes),
        "gene_differences": plots.gene_differences(table, NAME, "B"),
        "library_histogram": plots.library_histogram(np.geomspace(10, 1e4, 7), SEEN, BANDS),
        "log_histogram": plots.log_histogram(rng.lognormal(5, 1, 90), xlabel="counts"),
        "loss_curve": plots.loss_curve(plots.thinned_loss(np.geomspace(9e5, 8e5, 30))),
        "losses_beside": plots.losses_beside({NAME: np.arange(9.0), "B": np.arange(5.0)}),
        "mean_dispersion": plots.mean_dispersion(table, lambda m: (0.5 / m, 1 / m, 2 / m))[1],
        "mean_variance": plots.mean_variance(table)[1],
        "mean_zeros": plots.mean_zeros(table)[1],
        "ppc_cumulative": plots.ppc_cumulative(EDGES, SEEN, np.sort(BANDS / 70, axis=1)),
        "ppc_histogram": plots.ppc_histogram(EDGES, SEEN, BANDS, log=True),
        "prior_and_posteriors": plots.prior_and_posteriors(
            curve, [curve, curve], label="r", log_axis=True
        ),
        "prior_density": plots.prior_density(*curve, label="r", log_axis=False),
        "residual_histogram": plots.residual_histogram(np.full(10, 0.1), 40),
        "rootogram": plots.rootogram(EDGES, SEEN, BANDS),
        "barcodes_by_rank": barcodes_by_rank(rng.lognormal(5, 1, 90), 100),
    }


def test_every_picture_is_tried(rng):
    makers = set(plots.__all__) - {"thinned_loss", "figure_bytes", "FigureFile"}
    assert makers <= set(pictures(rng))


def test_every_picture_is_a_vector_file_whose_text_is_text(rng):
    for name, picture in pictures(rng).items():
        svg = figure_bytes(picture, SVG).decode()
        assert re.search(r'width="240.9\d*pt" height="184.2\d*pt"', svg), name
        assert "<text" in svg, name
        assert "<script" not in svg, name


def test_labels_and_ends_are_those_of_the_screen(rng):
    svg = figure_bytes(
        pictures(rng)["ppc_histogram"], SVG, legend=[(NAME, "#123456", 0.5)]
    ).decode()
    texts = [re.sub(r"\s+", " ", text) for text in re.findall(r"<text[^>]*>([^<]*)<", svg)]
    assert "counts (UMIs) of the gene in a cell" in texts
    assert {"cells", "1", "10"} <= set(texts)
    assert "&lt;script&gt;$x_1^" in texts, "a name is no formula"
    heat = figure_bytes(pictures(rng)["cross_heatmap"], SVG).decode()
    written = re.findall(r"<text[^>]*>([^<]*)<", heat)
    assert {"3", "5", "B", "&lt;script&gt;$x_1^"} <= set(written)


def test_bars_are_where_the_counts_are():
    picture = plots.ppc_histogram(EDGES, SEEN, BANDS, log=False)
    with figures._on_paper(SVG):
        axes = figures._figure(picture, SVG, "", ()).axes[0]
    [boxes] = axes.collections
    tops = [path.vertices[:, 1].max() for path in boxes.get_paths()[: SEEN.size]]
    np.testing.assert_allclose(tops, SEEN)
    assert axes.get_xlim() == (-0.5, 5.5)


def test_a_heat_map_keeps_its_rows():
    table = pd.DataFrame([[3, 1], [0, 5]], index=["A", "B"], columns=[1, 2])
    with figures._on_paper(SVG):
        axes = figures._figure(plots.cross_heatmap(table), SVG, "", ()).axes[0]
    at = dict(zip((t.get_text() for t in axes.get_yticklabels()), axes.get_yticks(), strict=True))
    written = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in axes.texts}
    assert written == {(at["A"], 0): "3", (at["A"], 1): "1", (at["B"], 0): "0", (at["B"], 1): "5"}
    assert at["A"] > at["B"], "the first label is at the top"


@pytest.mark.parametrize(
    ("unit", "width", "height", "pixels"),
    [("in", 4, 2, (1200, 600)), ("cm", 10.16, 5.08, (1200, 600))],
)
def test_a_bitmap_has_the_size_that_is_asked_for(unit, width, height, pixels):
    file = FigureFile(kind="png", unit=unit, width=width, height=height)
    png = figure_bytes(plots.component_sizes(np.array([4, 6])), file)
    assert struct.unpack(">II", png[16:24]) == pixels


def test_letters_have_the_size_that_is_asked_for():
    for points in (7.0, 12.0):
        file = FigureFile(kind="svg", font_size=points)
        svg = figure_bytes(plots.component_sizes(np.array([4, 6])), file).decode()
        sizes = {float(size) for size in re.findall(r"font(?:-size)?:[^;]*?([\d.]+)px", svg)}
        assert points in sizes


def test_the_same_figure_is_the_same_file():
    picture = plots.component_sizes(np.array([4, 6]))
    for kind in figures.KINDS:
        first, second = (figure_bytes(picture, FigureFile(kind=kind)) for _ in range(2))
        assert zlib.crc32(first) == zlib.crc32(second)
    assert figure_bytes(picture).startswith(b"%PDF")


def test_what_is_no_size_is_refused():
    with pytest.raises(ValueError, match="width=0"):
        FigureFile(width=0.0)
    with pytest.raises(ValueError, match="gif"):
        FigureFile(kind="gif")


def test_many_dots_are_a_bitmap_within_the_figure(rng):
    few, many = (
        figure_bytes(plots.gene_differences(genes(rng, n), "A", "B"), SVG) for n in (50, 4_000)
    )
    assert b"<image" not in few
    assert b"<image" in many
    assert len(many) < 400_000


def test_an_image_keeps_its_ends():
    """What datashader makes of very many cells is an image, in numbers or in colours."""
    bounds = (0, 0, 3, 2)
    numbers = hv.Image(np.arange(6.0).reshape(2, 3), bounds=bounds).opts(colorbar=True)
    colors = hv.RGB(np.zeros((2, 3, 4), np.uint8), bounds=bounds)
    for image in (numbers, colors):
        with figures._on_paper(SVG):
            axes = figures._figure(hv.DynamicMap(lambda image=image: image), SVG, "", ()).axes[0]
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 3), (0, 2))
        [drawn] = axes.images
        assert drawn.get_extent() == [0, 3, 0, 2]


def test_drawing_leaves_matplotlib_as_it_was():
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    before = dict(mpl.rcParams)
    figure_bytes(plots.component_sizes(np.array([4, 6])))
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []
