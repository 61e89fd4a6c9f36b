"""How a mixture sorts the cells, and how sure it is."""

import numpy as np
import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.critique import Critique
from scribeviz.criticism.partition import component_profiles, marking_genes
from scribeviz.plots.mixtures import (
    component_heatmap,
    component_sizes,
    cross_heatmap,
    entropy_histogram,
)
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import (
    card,
    heading,
    notice,
    row,
    while_shown,
    words,
)

MARKING = 6  # genes per component


def how_sure(critique: Critique) -> str:
    """What is meant by certainty, in sentences."""
    calibration = critique.calibration
    if calibration is None:
        return (
            "With hundreds of genes the likelihoods differ so much that probabilities are nearly "
            "always 0 or 1: certainty says that the model sees a difference, not that it is right."
        )
    return (
        f"Two random halves of the genes put {calibration.halves_agree:.1%} of the cells into the "
        "same component. Probabilities and entropies are calibrated so that halves agree as often "
        f"as they claim: log-likelihoods are divided by {calibration.temperature:.3g}. Certainty "
        "says that genes agree, not that a component is a cell type."
    )


class AssignmentView(pn.viewable.Viewer):
    """How sure the mixture is, how large its components are, and what they go along with."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        state = self.state
        k = state.explored.model.n_components
        entropies = state.entropies()
        sure = (entropies < 0.05 * np.log(k)).mean()
        label = ui.Select.from_param(
            state.param.label,
            label="Compare with",
            options=self._labels(),
            width=260,
            margin=(4, 0, 8, 0),
        )
        warning = state.depth_warning()
        return card(
            "Assignments",
            *([notice(warning, "warning")] if warning else []),
            words(
                f"{sure:.1%} of the cells are assigned with near certainty. "
                f"{how_sure(state.explored.critique)}",
                faint=True,
            ),
            row(
                ui.Column(
                    heading("How sure"),
                    figure(entropy_histogram(entropies, k), "entropies", height=280),
                    sizing_mode="stretch_width",
                ),
                ui.Column(
                    heading("Component sizes"),
                    figure(component_sizes(state.sizes()), "component sizes", height=280),
                    sizing_mode="stretch_width",
                ),
            ),
            heading("Against labels"),
            label,
            while_shown(state, self._confusion, state.param.label),
            *self._telling(),
        )

    def _telling(self) -> list[Viewable]:
        """Which genes the components are made of."""
        critique = self.state.explored.critique
        if "information" not in critique.genes:
            return []  # a user's own mixture: its components are not known
        shown = marking_genes(critique.genes, MARKING)
        profiles = component_profiles(critique.natural, shown.index.to_numpy())
        return [
            heading("What tells the components apart"),
            words(
                "Genes whose count in one cell says most about its component, and how much more or "
                "less each component expresses them than cells do on average.",
                faint=True,
            ),
            figure(
                component_heatmap(profiles, list(shown["gene"]), list(shown["information"])),
                "genes of the components",
            ),
        ]

    def _labels(self) -> dict[str, str | None]:
        names = [name for name in self.state.param.label.objects if name is not None]
        return {"nothing": None} | {name: name for name in names}

    def _confusion(self, label: str | None) -> Viewable:
        table = self.state.confusion()
        if label is None or table is None:
            return words("Choose a column of obs, such as a cell type or a batch.", faint=True)
        if len(table) > 60:
            return words(f"{label} has {len(table)} different values: too many to compare.")
        agreement = self.state.agreement()
        message = (
            words("")
            if agreement is None
            else words(
                f"Adjusted Rand index {agreement[0]:.2f} · normalised mutual information "
                f"{agreement[1]:.2f}"
            )
        )
        return ui.Column(
            message,
            figure(cross_heatmap(table), f"components and {label}"),
            sizing_mode="stretch_width",
        )
