"""The reference's names of pictures, on Matplotlib axes."""

from scribeviz.reference.drawing import (
    colors,
    matplotlib_style,
    plot_ecdf_credible_regions,
    plot_ecdf_credible_regions_stairs,
    plot_histogram_credible_regions,
    plot_histogram_credible_regions_stairs,
    plot_posterior,
)
from scribeviz.reference.offered import only

__all__ = [
    "colors",
    "matplotlib_style",
    "plot_ecdf_credible_regions",
    "plot_ecdf_credible_regions_stairs",
    "plot_histogram_credible_regions",
    "plot_histogram_credible_regions_stairs",
    "plot_posterior",
]

__getattr__ = only(
    __name__, __all__, "scribeviz.plots draws the dashboard's pictures from the same results."
)
