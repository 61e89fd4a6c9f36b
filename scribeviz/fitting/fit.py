"""From data and a model to a result: what the command line, the workers and ``fit`` share."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scribeviz.data.counts import Counts
from scribeviz.data.droplets import empty_droplets, knee_of
from scribeviz.data.readers import as_counts
from scribeviz.fitting.kinds import kind_of, model_named
from scribeviz.fitting.plan import run
from scribeviz.results.protocol import Results

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    type Data = Counts | AnnData | str | Path | np.ndarray | sp.sparray | sp.spmatrix | pd.DataFrame


def fit(  # noqa: PLR0913  what one call has to say
    data: "Data",
    model: Any = "nb",
    *,
    n_components: int | None = None,
    priors: Mapping[str, Any] | None = None,
    layer: str | None = None,
    inference_method: str | None = None,
    start_from: Results | None = None,
    networks: Mapping[str, Any] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Results:
    """Fit a model of the counts, on all cells at once, or train a network on them.

    Parameters
    ----------
    data
        Raw counts: an AnnData, a file, a matrix (rows are cells), or :class:`Counts`.
    model
        A key of ``scribeviz.models.likelihoods.LIKELIHOODS`` (``"nb"``, ``"nbvcp"`` …), also
        with ``_mix``; a whole :class:`ModelSpec`; a :class:`CellVAE`; a :class:`CustomModel` or
        :class:`NetworkModel`, or the key of a registered one; or a module of your own, a subclass
        of :class:`VAE` or :class:`ProbabilisticModule`.
    n_components
        Number of components; more than one makes a mixture.
    priors
        Per parameter a family and its numbers, such as ``{"r": ("lognormal", 0, 1)}``.
    layer
        Where the counts are, unless in ``X``: a layer's name, or ``"raw"``.
    inference_method
        ``"exact"`` (quadrature, of ``"nb"`` without components), ``"em"`` (of ``"nb"`` with
        components), ``"svi"`` (variational), ``"mcmc"`` (NUTS) or ``"training"`` (of networks); the
        usual one of the model when left out.
    start_from
        A fit of the same model to the same data to go on from; for ``"mcmc"`` well worth having.
    networks
        Custom networks in a :class:`CellVAE`.
    progress
        Show a progress bar.
    **settings
        The fields of :class:`ExactConfig` (``n_sweeps`` …), of :class:`EMConfig` (``n_starts``,
        ``labels`` …), of :class:`SVIConfig` (``n_steps``, ``learning_rate``, ``tolerance``,
        ``seed`` …), of :class:`NUTSConfig` (``n_warmup``, ``n_samples``, ``n_chains`` …), or of
        :class:`TrainingConfig` (``max_epochs``, ``batch_size``, ``validation_share`` …).

    Returns
    -------
    Results
        :class:`ExactResults`, :class:`MixtureResults`, :class:`ScribeSVIResults`,
        :class:`ScribeMCMCResults`, :class:`CustomResults` or :class:`CellVAEResults`.

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
    chosen = model_named(model, n_components, priors)
    kind = kind_of(chosen)
    config = kind.config(inference_method, settings)
    counts = counts_to_fit(data, layer)
    prepared = kind.prepare(counts, chosen, config, start_from, networks)
    return run(prepared, progress=progress)


def counts_to_fit(data: "Data", layer: str | None = None) -> Counts:
    """Checked counts; the caller of the caller is warned of droplets without a cell."""
    counts = as_counts(data, layer=layer)
    if warning := empty_droplets(counts):
        keep = f"scribeviz.CellFilter(min_counts={knee_of(counts)}).apply(counts)"
        warnings.warn(f"{warning} To leave them out: {keep}.", stacklevel=3)
    return counts
