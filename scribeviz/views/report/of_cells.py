"""What a report says of the cells: where they lie, and how a mixture sorts them."""

import numpy as np
import pandas as pd

from scribeviz.criticism.partition import component_profiles, marking_genes
from scribeviz.plots.cell_map import MOST_POINTS, cells_map, group_colors
from scribeviz.plots.mixtures import (
    component_heatmap,
    component_sizes,
    cross_heatmap,
    entropy_histogram,
)
from scribeviz.plots.theme import shortened
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import Explored, place_cells
from scribeviz.views.explore.mixture import MARKING, how_sure
from scribeviz.views.report.document import Picture, Section, Table, titled

_MOST_LABELS = 60
_MOST_COLORS = 20  # groups that are told apart in a legend


def cells_section(state: ExploreState) -> Section | None:
    """The map of the cells that came with the data; None where none did."""
    explored, place = state.explored, state.place
    if place not in explored.counts.embeddings:
        return None
    colors = state.colors()
    groups = _groups(colors)
    if len(groups) > _MOST_COLORS:
        return None
    name = shortened(place.removeprefix("X_"))
    picture = cells_map(place_cells(explored, place), colors, (f"{name} 1", f"{name} 2"))
    legend = [(group, color, 0.9) for group, color in group_colors(groups).items()]
    of_image = legend if explored.counts.n_cells > MOST_POINTS else ()
    drawn = titled(
        picture, f"Cells by {state.color_by}", f"As {name} places them.", legend=of_image
    )
    return Section(key="cells", title="Cells", pictures=[drawn])


def _groups(colors: pd.Series) -> list[str]:
    if not isinstance(colors.dtype, pd.CategoricalDtype):
        return []
    return [str(group) for group in colors.cat.categories]


def components_section(state: ExploreState) -> Section | None:
    """How a mixture sorts the cells; None of a model that does not."""
    explored = state.explored
    if not explored.model.is_mixture:
        return None
    k, entropies, sizes = explored.model.n_components, state.entropies(), state.sizes()
    sure = float((entropies < 0.05 * np.log(k)).mean())
    warning = state.depth_warning()
    rows = [(f"{i + 1}", f"{size:,}", f"{size / sizes.sum():.1%}") for i, size in enumerate(sizes)]
    said, against = _against_labels(state)
    tables, profiles = _marking_genes(explored)
    pictures = [
        titled(
            entropy_histogram(entropies, k), "How sure", "Cells by the entropy of their assignment."
        ),
        titled(component_sizes(sizes), "Component sizes", "By likeliest assignment."),
    ]
    sure_of = f"{sure:.1%} of the cells are assigned with near certainty."
    return Section(
        key="components",
        title="Components",
        warnings=[warning] if warning else [],
        sentences=[f"{sure_of} {how_sure(explored.critique)}", *said],
        tables=[
            Table(columns=("Component", "Cells", "Share of the cells"), rows=rows),
            *tables,
        ],
        pictures=[*pictures, *against, *profiles],
    )


def _against_labels(state: ExploreState) -> tuple[list[str], list[Picture]]:
    """How components go along with the label that tells most, where there is one."""
    table, agreement = state.confusion(), state.agreement()
    if table is None or agreement is None or len(table) > _MOST_LABELS:
        return [], []
    caption = "Cells of each label (rows) in each component (columns)."
    sentence = (
        f"Against {state.label} of obs: adjusted Rand index {agreement[0]:.2f}, normalised mutual "
        f"information {agreement[1]:.2f}."
    )
    return [sentence], [titled(cross_heatmap(table), f"Against {state.label}", caption)]


def _marking_genes(explored: Explored) -> tuple[list[Table], list[Picture]]:
    """Which genes the components are made of, where their parameters are known."""
    critique = explored.critique
    if "information" not in critique.genes:
        return [], []
    shown = marking_genes(critique.genes, MARKING)
    rows = [
        (
            str(row["gene"]),
            f"{row['component'] + 1}",
            f"{row['information']:.3f}",
            f"{row['log2_fold']:+.2f}",
        )
        for row in shown.to_dict("records")
    ]
    table = Table(
        columns=("Gene", "Component", "Information (nats)", "log2 fold over the others"),
        rows=rows,
        texts=("Gene",),
        caption="Genes whose count in one cell says most about its component.",
    )
    profiles = component_profiles(critique.natural, shown.index.to_numpy())
    picture = component_heatmap(profiles, list(shown["gene"]), list(shown["information"]))
    title = "What tells the components apart"
    return [table], [titled(picture, title, "Against the mean of all cells.")]
