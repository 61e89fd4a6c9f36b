"""How a mixture sorts the cells, and how sure it is."""

import math

import holoviews as hv
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scribeviz.plots.theme import PREDICTED, component_color, distinct, look


def entropy_histogram(entropies: Float[np.ndarray, " cells"], k: int) -> hv.Histogram:
    """Cells by the entropy of their assignment, from 0 (certain) to ln K (a coin toss)."""
    most = math.log(k)
    # Rounding may leave a certain or an undecided cell just outside, where it would not be counted.
    cells, edges = np.histogram(np.clip(entropies, 0, most), bins=30, range=(0, most))
    return hv.Histogram((edges, cells), kdims="entropy", vdims="cells").opts(
        **look(
            color=PREDICTED,
            line_color="white",
            height=280,
            xlim=(0, most),
            tools=["hover"],
            xlabel=f"assignment entropy (nats; 0 = certain, {most:.2f} = undecided)",
            ylabel="cells",
        )
    )


def component_sizes(sizes: Int[np.ndarray, " components"]) -> hv.Bars:
    """Cells per component, by likeliest assignment."""
    names = [str(i + 1) for i in range(len(sizes))]
    colors = [component_color(i) for i in range(len(sizes))]
    bars = hv.Bars((names, sizes, colors), "component", ["cells", "color"])
    return bars.opts(
        **look(color="color", line_color=None, height=280, tools=["hover"], ylabel="cells")
    )


def cross_heatmap(table: pd.DataFrame) -> hv.Overlay:
    """Labels against components: the share of each label's cells, with the numbers of cells.

    Parameters
    ----------
    table
        Cells per label (rows) and component (columns).
    """
    shares = table.div(table.sum(axis=1).clip(lower=1), axis=0)
    written = distinct([str(label) for label in table.index])
    rows = [
        (
            str(component),
            written[str(label)],
            shares.loc[label, component],
            table.loc[label, component],
        )
        for label in table.index[::-1]
        for component in table.columns
    ]
    heat = hv.HeatMap(rows, ["component", "label"], ["share", "cells"])
    # The first value of Labels is what is written.
    numbers = [(component, label, cells, share) for component, label, share, cells in rows]
    text = hv.Labels(numbers, ["component", "label"], ["cells", "share"])
    return hv.Overlay(
        [
            heat.opts(cmap="Blues", clim=(0, 1.15), tools=["hover"], line_color="white"),
            text.opts(
                text_font_size="10px",
                text_color="share",
                cmap=["#1f2937", "#ffffff"],
                clim=(0, 1),  # white where the cell is dark, however large the shares are
            ),
        ]
    ).opts(**look(height=max(220, 40 + 32 * len(table)), xlabel="component", ylabel=""))


def component_heatmap(
    profiles: Float[np.ndarray, "components genes"], genes: list[str], information: list[float]
) -> hv.HeatMap:
    """Draw how components express some genes.

    Parameters
    ----------
    profiles
        Log2 of each component's mean over the mean of all cells.
    genes, information
        Their names, and how much each tells about the component, in nats.
    """
    names = [str(i + 1) for i in range(len(profiles))]
    most = max(float(np.abs(profiles).max(initial=0.0)), 1.0)
    limit = min(most, 5.0)  # a gene that a component lacks would hide all others
    written = distinct(genes)
    rows = [
        (written[gene], name, float(np.clip(profiles[k, g], -limit, limit)), information[g])
        for g, gene in enumerate(genes)
        for k, name in reversed(list(enumerate(names)))
    ]
    return hv.HeatMap(rows, ["gene", "component"], ["log2 fold", "information (nats)"]).opts(
        **look(
            cmap="RdBu_r",
            clim=(-limit, limit),
            colorbar=True,
            clabel="log2 fold",
            tools=["hover"],
            line_color="white",
            xrotation=60,
            height=150 + 30 * len(names),
            xlabel="",
            ylabel="component",
        )
    )
