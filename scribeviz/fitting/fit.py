"""From data and a model to a result: what the command line, the workers and ``fit`` share."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scribeviz.data.counts import Counts
from scribeviz.data.readers import as_counts
from scribeviz.fitting.methods import method_for_counts
from scribeviz.models.spec import ModelSpec, model_spec
from scribeviz.networks.cellvae import TrainingConfig
from scribeviz.results.variational import ScribeSVIResults

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    from scribeviz.fitting.network_fits import AnyNetwork

    type Data = Counts | AnnData | str | Path | np.ndarray | sp.sparray | sp.spmatrix | pd.DataFrame
from scribeviz.fitting.count_models import (
    prepare_fit,
)
from scribeviz.fitting.plan import run


def fit(  # noqa: PLR0913  what one call has to say
    data: "Data",
    model: "str | ModelSpec | AnyNetwork" = "nbdm",
    *,
    n_components: int | None = None,
    priors: Mapping[str, Any] | None = None,
    layer: str | None = None,
    inference_method: str = "svi",
    start_from: ScribeSVIResults | None = None,
    networks: Mapping[str, Any] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Any:
    """Fit a model of the counts, on all cells at once, or train a network on them.

    Parameters
    ----------
    data
        Raw counts: an AnnData, a file, a matrix (rows are cells), or :class:`Counts`.
    model
        ``"nbdm"``, ``"zinb"``, ``"nbvcp"``, ``"zinbvcp"``, each also with ``_mix``; a whole
        :class:`ModelSpec`; a :class:`CellVAE`; or a network of one's own
        (:func:`scribeviz.fitting.network_fits.prepare_network`).
    n_components
        Number of components; more than one makes a mixture.
    priors
        Per parameter a family and its numbers, such as ``{"r": ("lognormal", 0, 1)}``.
    layer
        Where the counts are, unless in ``X``: a layer's name, or ``"raw"``.
    inference_method
        ``"svi"`` (variational) or ``"mcmc"`` (NUTS).
    start_from
        A fit of the same model to the same data to go on from; for ``"mcmc"`` well worth having.
    networks
        Networks of one's own in a :class:`CellVAE`.
    progress
        Show a progress bar.
    **settings
        The fields of :class:`SVIConfig` (``n_steps``, ``learning_rate``, ``tolerance``, ``seed``
        …), of :class:`NUTSConfig` (``n_warmup``, ``n_samples``, ``n_chains`` …), or of
        :class:`TrainingConfig` (``max_epochs``, ``batch_size``, ``validation_share`` …).

    Returns
    -------
    ScribeSVIResults, ScribeMCMCResults or CellVAEResults

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
    if not isinstance(model, str | ModelSpec):
        return _trained(as_counts(data, layer=layer), model, networks, settings, progress=progress)
    if isinstance(model, ModelSpec):
        if n_components is not None or priors is not None:
            raise ValueError("a ModelSpec already says n_components and priors; give only one.")
        spec = model
    else:
        spec = model_spec(model, n_components=n_components, priors=priors or {})
    config: Any = method_for_counts(inference_method).config(**settings)
    prepared = prepare_fit(as_counts(data, layer=layer), spec, config, start_from=start_from)
    return run(prepared, progress=progress)


def _trained(
    counts: Counts,
    model: "AnyNetwork",
    networks: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    *,
    progress: bool,
) -> Any:
    from scribeviz.fitting.network_fits import prepare_network

    prepared = prepare_network(counts, model, TrainingConfig(**settings), networks=networks)
    return run(prepared, progress=progress)
