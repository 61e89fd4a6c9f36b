import numpy as np
import pandas as pd

from scribeviz.plots.compare import entropies_beside, gene_differences, losses_beside, losses_legend


def genes(differences):
    n = len(differences)
    return pd.DataFrame(
        {
            "gene": [f"G{i}" for i in range(n)],
            "mean": np.geomspace(1e-3, 50, n),
            "difference": differences,
        }
    )


def source(figure):
    [renderer] = figure.renderers
    return renderer.data_source.data


def test_genes_lie_above_zero_where_the_first_model_wins(draw):
    given = np.array([-3_000.0, -1.0, 0.0, 2.0, 40_000.0])
    figure = draw(gene_differences(genes(given), "a", "b"))
    data = source(figure)
    assert (np.sign(data["height"]) == np.sign(given)).all()
    assert (np.diff(data["height"]) > 0).all()
    assert len(set(data["color"])) == 2
    labels = figure.yaxis[0].major_label_overrides
    assert {"0", "+10,000", "-1"} <= set(labels.values())
    assert "+100,000" not in labels.values()


def test_ticks_are_where_their_differences_are(draw):
    figure = draw(gene_differences(genes(np.array([-100.0, 10.0])), "a", "b"))
    labels = figure.yaxis[0].major_label_overrides
    [at] = [place for place, label in labels.items() if label == "+10"]
    assert abs(float(at) - source(figure)["height"][1]) < 1e-9


def test_losses_are_named_and_end_inside(draw):
    falling = 1_000 + 500 * np.exp(-np.arange(2_000) / 50)
    figure = draw(losses_beside({"nbdm": falling, "nbvcp": falling[:300] - 200}))
    names = [item.label.value for item in figure.legend[0].items]
    assert names == ["nbdm", "nbvcp"]
    assert figure.y_range.start < 800
    assert 1_000 < figure.y_range.end < 1_500
    for renderer in figure.renderers:
        assert len(renderer.data_source.data["step"]) <= 400


def test_the_legend_of_losses_has_the_colours_of_the_curves(draw):
    losses = {"nbdm": np.arange(9.0), "nbvcp": np.arange(5.0)}
    figure = draw(losses_beside(losses, show_legend=False))
    drawn = [renderer.glyph.line_color for renderer in figure.renderers]
    assert losses_legend(losses) == [
        (name, color, 1.0) for name, color in zip(losses, drawn, strict=True)
    ]
    assert not any(legend.items for legend in figure.legend)
    assert {axis.formatter.format for axis in (figure.xaxis[0], figure.yaxis[0])} == {"0,0"}


def test_both_entropies_of_every_cell(draw):
    first, second = np.linspace(0, 1, 7), np.linspace(1, 0, 7)
    figure = draw(entropies_beside((first, second), ("a", "b")))
    np.testing.assert_allclose(source(figure)["first"], first)
    assert "under b" in figure.yaxis[0].axis_label


def test_very_many_cells_become_an_image(draw, rng):
    first, second = rng.random((2, 30_000))
    figure = draw(entropies_beside((first, second), ("a", "b")))
    [image] = source(figure)["image"]
    assert np.nansum(image) >= 30_000  # lone points are drawn larger than a pixel
    assert "under a" in figure.xaxis[0].axis_label
