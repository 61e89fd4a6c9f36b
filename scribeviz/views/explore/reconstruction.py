"""Cells beside what an autoencoder makes of them; usable alone in a notebook."""

import numpy as np
import pandas as pd
import panel as pn
import param
from bokeh.models.widgets.tables import NumberFormatter
from panel import ui
from panel.viewable import Viewable

from scribeviz.plots.reconstructions import error_heatmaps, error_map
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import TABLE_LOOK, card, heading, row, words

_TITLES = {
    "cell": "Cell",
    "kind": "Kind",
    "error": "Error",
    "gene": "Most missed",
    "by": "By",
}
_MOST_LABELS = 60


class AbnormalityView(pn.viewable.Viewer):
    """Input, reconstruction and error as linked heat maps; the cells with the largest error.

    Parameters
    ----------
    x, reconstruction
        What the network was given and what it made of it, ``(cells, genes)``.
    genes
        Their names.
    obs
        What is known of the cells, with their names as index; categorical columns order them.
    places
        Where an embedding puts the cells, ``(cells, 2)``; None when there is no embedding.
    axes
        Names of its axes.

    Examples
    --------
    In a notebook, after ``pn.extension()``::

        AbnormalityView(
            x=adata.layers["X_norm"],
            reconstruction=abnormality.reconstruct(adata),
            genes=list(adata.var_names),
            obs=adata.obs,
            places=adata.obsm["X_umap"],
        )
    """

    x = param.Array(constant=True)
    reconstruction = param.Array(constant=True)
    genes = param.List(item_type=str, constant=True)
    obs = param.DataFrame(constant=True)
    places = param.Array(constant=True, allow_None=True)
    axes = param.Tuple(default=("UMAP 1", "UMAP 2"), length=2, constant=True)
    label = param.Selector(objects=[], label="Order cells by", doc="Cells of one kind together.")
    n_marked = param.Integer(10, bounds=(1, 200), label="Cells to mark", doc="Of largest error.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._error = pd.Series(
            np.square(self.x - self.reconstruction).mean(axis=1), self.obs.index.astype(str)
        )
        offered = [name for name in self.obs if _is_label(self.obs[name])]
        self.param["label"].objects = offered
        if self.label is None and offered:
            self.label = offered[0]

    def __panel__(self) -> Viewable:
        order = ui.Select.from_param(self.param.label, width=260, margin=(4, 0, 8, 0))
        marked = ui.IntInput.from_param(self.param.n_marked, width=160, margin=(4, 0, 8, 0))
        return card(
            "Abnormality",
            words(
                "What the network was given, what it made of it, and what it missed: red where a "
                "cell has more than the network expects of it, blue where it has less.",
                faint=True,
            ),
            order,
            pn.panel(pn.bind(self._heatmaps, self.param.label)),
            heading("Cells with the largest error"),
            marked,
            pn.panel(pn.bind(self._largest, self.param.n_marked, self.param.label)),
        )

    def _labels(self, name: str | None) -> pd.Series:
        index = self.obs.index.astype(str)
        if name is None:
            return pd.Series(pd.Categorical([""] * len(index)), index)
        return pd.Series(pd.Categorical(self.obs[name]), index)

    def _heatmaps(self, label: str | None) -> Viewable:
        picture = error_heatmaps(
            self.x, self.reconstruction, genes=self.genes, labels=self._labels(label)
        )
        return figure(picture, "reconstruction", linked_axes=False)

    def _largest(self, n_marked: int, label: str | None) -> Viewable:
        most = np.argsort(-self._error.to_numpy())[:n_marked]
        missed = self.x[most] - self.reconstruction[most]
        worst = np.abs(missed).argmax(axis=1)
        columns = {"cell": self._error.index[most]}
        if label is not None:
            # Not by its own name, which Tabulator would take for HTML.
            columns["kind"] = self.obs[label].iloc[most].astype(str).to_numpy(object)
        table = pd.DataFrame(
            columns
            | {
                "error": self._error.iloc[most].to_numpy(),
                "gene": np.asarray(self.genes, dtype=object)[worst],
                "by": missed[np.arange(most.size), worst],
            }
        )
        shown = ui.Tabulator(
            table,
            show_index=False,
            disabled=True,
            selectable=False,
            stylesheets=[TABLE_LOOK],
            layout="fit_columns",
            titles=_TITLES,
            formatters={
                "error": NumberFormatter(format="0.0000"),
                "by": NumberFormatter(format="+0.00"),
            },
            text_align={"error": "right", "by": "right"},
            header_align={"error": "right", "by": "right"},
            widths={"cell": 165, "error": 80, "by": 70},
            sizing_mode="stretch_width",
            height=430,
            margin=0,
        )
        if self.places is None:
            return shown
        picture = error_map(self.places, self._error, self.axes, n_marked=n_marked)
        return row(figure(picture, "largest errors", height=430), shown)


def _is_label(column: pd.Series) -> bool:
    if not isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype | np.dtypes.ObjectDType):
        return False
    return 1 <= column.nunique() <= _MOST_LABELS
