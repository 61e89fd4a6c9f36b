import numpy as np
import pandas as pd
import pytest

from scribeviz.plots.genes import coverage, mean_variance, mean_zeros
from scribeviz.plots.theme import ACCENT


@pytest.fixture
def genes():
    mean = np.geomspace(1e-3, 100, 50)
    problem = np.full(50, "as expected", dtype=object)
    problem[7] = "too many zeros"
    return pd.DataFrame(
        {
            "gene": [f"G{i}" for i in range(50)],
            "misfit": np.linspace(0, 0.5, 50),
            "problem": problem,
            "mean": mean,
            "variance": mean * 2,
            "zeros": np.exp(-mean),
            "predicted_mean": mean,
            "predicted_variance": mean * 1.5,
            "predicted_zeros": np.exp(-mean) * 0.9,
        }
    )


@pytest.mark.parametrize(
    ("picture", "seen", "predicted"),
    [(mean_variance, "variance", "predicted_variance"), (mean_zeros, "zeros", "predicted_zeros")],
)
def test_every_gene_and_the_prediction_are_drawn(draw, genes, picture, seen, predicted):
    points, overlay = picture(genes)
    assert len(points) == 50
    figure = draw(overlay)
    observed, band, curve = (renderer.data_source.data for renderer in figure.renderers)
    np.testing.assert_allclose(observed["height"], genes[seen])
    assert np.flatnonzero(np.asarray(observed["color"]) == ACCENT).tolist() == [7]
    groups = genes[predicted].to_numpy().reshape(10, 5)  # of equal mean, five at a time
    np.testing.assert_allclose(curve["height"], np.median(groups, axis=1))
    edges = np.percentile(groups, (5, 95), axis=1)
    assert set(np.round(edges.ravel(), 9)) <= set(np.round(list(band.values())[-1], 9))
    assert figure.output_backend == "webgl"


def test_a_gene_that_never_varies_stays_on_the_axis(draw, genes):
    genes.loc[3, "variance"] = 0.0
    _, overlay = mean_variance(genes)
    assert (draw(overlay).renderers[0].data_source.data["height"] > 0).all()


def test_coverage_is_what_the_genes_say(draw):
    right = pd.DataFrame({f"pit{i}0": np.full(20, i / 10) for i in range(1, 10)})
    right = right.assign(cover50=0.4, cover90=np.linspace(0.8, 1.0, 20))
    figure = draw(coverage(right))
    lines = [r.data_source.data for r in figure.renderers if "true" in r.data_source.data]
    line = next(data for data in lines if len(data["true"]) == 6)
    np.testing.assert_allclose(line["nominal"], [0.2, 0.4, 0.5, 0.6, 0.8, 0.9])
    np.testing.assert_allclose(line["true"], [0.2, 0.4, 0.4, 0.6, 0.8, 0.9])
