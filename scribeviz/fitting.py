"""From data and a model to a result: what the command line, the workers and ``fit`` share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.readers import as_counts
from scribeviz.data.tables import CellRows, SurvivalTable
from scribeviz.inference.svi import Checkpoint, SVIConfig, svi_checkpoints
from scribeviz.models.builder import CountModel, build
from scribeviz.models.initial import initial_params
from scribeviz.models.spec import ModelSpec, model_spec
from scribeviz.svi import ScribeSVIResults

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    type Data = Counts | AnnData | str | Path | np.ndarray | sp.sparray | sp.spmatrix | pd.DataFrame


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit about to be done: the counts that take part, their model and their tables."""

    counts: Counts
    left_out_genes: np.ndarray
    model: CountModel
    tables: SurvivalTable | CellRows
    config: SVIConfig

    def checkpoints(self, start: Checkpoint | None = None) -> Iterator[Checkpoint]:
        """Fit, a checkpoint at a time; go on from ``start`` when it is given."""
        return svi_checkpoints(
            self.model.model,
            self.model.guide,
            self.tables,
            self.config,
            initial=initial_params(self.model, self.counts, self.config.seed),
            refine=self.model.refine,
            start=start,
        )

    def results(self, checkpoint: Checkpoint) -> ScribeSVIResults:
        """The result that ``checkpoint`` stands for."""
        return ScribeSVIResults(
            params=checkpoint.params,
            loss_history=checkpoint.losses,
            model_config=self.model.spec,
            n_cells=self.counts.n_cells,
            genes=self.counts.genes,
            left_out_genes=self.left_out_genes,
            settled=checkpoint.settled,
        )


def prepare_fit(counts: Counts, spec: ModelSpec, config: SVIConfig) -> Fit:
    """Leave out genes without counts, build the model and reduce the counts to its tables.

    Raises
    ------
    CountsError
        If there is nothing to fit, or fewer cells than components.
    """
    seen = counts.seen_genes()
    if seen.n_genes == 0:
        raise CountsError(f"{counts.name} holds no counts at all: there is nothing to fit.")
    if counts.n_cells < spec.n_components:
        raise CountsError(
            f"{spec.n_components} components need at least as many cells; "
            f"{counts.name} has {counts.n_cells}."
        )
    model = build(spec, seen.n_cells, seen.n_genes)
    return Fit(
        counts=seen,
        left_out_genes=counts.genes[counts.gene_totals == 0],
        model=model,
        tables=model.tables(seen),
        config=config,
    )


def fit(
    data: "Data",
    model: str | ModelSpec = "nbdm",
    *,
    n_components: int | None = None,
    priors: Mapping[str, Any] | None = None,
    layer: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> ScribeSVIResults:
    """Fit a model of the counts by variational inference on all cells at once.

    Parameters
    ----------
    data
        Raw counts: an AnnData, a file, a matrix (rows are cells), or :class:`Counts`.
    model
        ``"nbdm"``, ``"nbdm_mix"``, or a whole :class:`ModelSpec`.
    n_components
        Number of components; more than one makes a mixture.
    priors
        Per parameter a family and its numbers, such as ``{"r": ("lognormal", 0, 1)}``.
    layer
        Where the counts are, unless in ``X``: a layer's name, or ``"raw"``.
    progress
        Show a progress bar.
    **settings
        The fields of :class:`SVIConfig`: ``n_steps``, ``learning_rate``, ``tolerance``, ``seed`` …

    Returns
    -------
    ScribeSVIResults

    Raises
    ------
    CountsError
        If ``data`` are not raw counts; the message says what they are.
    ValueError
        If a model, a prior or a setting is not known or out of range.
    LossNotFiniteError
        If the loss became infinite or NaN.

    Examples
    --------
    >>> import scribeviz
    >>> counts, truth = scribeviz.simulate("nbdm", n_cells=50, n_genes=5)
    >>> results = scribeviz.fit(counts, "nbdm", n_steps=300, progress=False)
    >>> results.get_posterior_samples(n_samples=10)["r"].shape
    (10, 5)
    """
    if isinstance(model, ModelSpec):
        if n_components is not None or priors is not None:
            raise ValueError("a ModelSpec already says n_components and priors; give only one.")
        spec = model
    else:
        spec = model_spec(model, n_components=n_components, priors=priors or {})
    prepared = prepare_fit(as_counts(data, layer=layer), spec, SVIConfig(**settings))
    last = None
    with progress_bar(prepared.config.n_steps, shown=progress) as report:
        for checkpoint in prepared.checkpoints():
            report(checkpoint)
            last = checkpoint
    assert last is not None  # noqa: S101  n_steps is at least 1
    return prepared.results(last)


@contextmanager
def progress_bar(n_steps: int, *, shown: bool = True) -> Iterator[Callable[[Checkpoint], None]]:
    """A progress bar on the terminal or in a notebook; gives what to call with each checkpoint."""
    from tqdm.auto import tqdm

    with tqdm(total=n_steps, unit="step", disable=not shown) as bar:

        def report(checkpoint: Checkpoint) -> None:
            if checkpoint.settled:
                bar.total = checkpoint.step  # settled early: that is the whole of it
            bar.set_postfix_str(f"loss {checkpoint.losses[-50:].mean():,.1f}", refresh=False)
            bar.update(checkpoint.step - bar.n)

        yield report
