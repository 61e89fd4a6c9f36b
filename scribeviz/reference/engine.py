"""The first SCRIBE's names for how a variational fit is made and put together."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.infer import TraceMeanField_ELBO
from numpyro.infer.svi import SVIRunResult

from scribeviz.data.readers import as_counts
from scribeviz.inference.programs import keep_on_disk
from scribeviz.inference.svi import SVIConfig, SVIMethod, svi_checkpoints
from scribeviz.models.builder import build
from scribeviz.models.initial import initial_params
from scribeviz.models.spec import ModelSpec
from scribeviz.reference.prior_numbers import prior_numbers
from scribeviz.results.count_results import depth_in
from scribeviz.results.variational import ScribeSVIResults

if TYPE_CHECKING:
    from anndata import AnnData

# One of each, by which a compiled program is found again.
_ADAM, _ELBO = numpyro.optim.Adam(1e-3), TraceMeanField_ELBO()


class SVIInferenceEngine:
    """The reference's name for a fit by variational inference.

    Examples
    --------
    ::

        config = scribe.ModelConfig("nbdm")
        fitted = scribe.svi.SVIInferenceEngine.run_inference(config, matrix, *matrix.shape)
    """

    @staticmethod
    def run_inference(
        model_config: ModelSpec,
        count_data: Any,
        n_cells: int,
        n_genes: int,
        optimizer: Any = None,
        loss: Any = None,
        n_steps: int = 100_000,
        batch_size: int | None = None,
        seed: int = 42,
        stable_update: bool = True,
    ) -> SVIRunResult:
        """Do exactly ``n_steps`` steps on the exact engine.

        Parameters
        ----------
        model_config
            The model.
        count_data
            Counts, shape ``(n_cells, n_genes)``, dense or sparse.
        n_cells, n_genes
            Its shape.
        optimizer, loss
            ``Adam(1e-3)`` and ``TraceMeanField_ELBO()`` when left out.
        n_steps, batch_size, seed, stable_update
            As for :func:`scribeviz.run_scribe`.

        Raises
        ------
        ValueError
            If the shape is not the one given.
        """
        counts = as_counts(count_data)
        if (counts.n_cells, counts.n_genes) != (n_cells, n_genes):
            raise ValueError(
                f"count_data has shape ({counts.n_cells}, {counts.n_genes}); n_cells and n_genes "
                f"say ({n_cells}, {n_genes})."
            )
        model = build(model_config, n_cells, n_genes, batch_size)
        config = SVIConfig(n_steps=n_steps, tolerance=0.0, seed=seed)
        method = SVIMethod(
            optimizer=optimizer or _ADAM,
            loss=loss or _ELBO,
            stable_update=stable_update,
        )
        # Genes without counts have no moments to start from: the guide's own first values do.
        seen = (counts.gene_totals > 0).all()
        first = initial_params(model, counts, seed) if seen else None
        stream = svi_checkpoints(
            model.model,
            model.guide,
            model.tables(counts),
            config,
            initial=first,
            refine=model.refine,
            method=method,
        )
        keep_on_disk()
        *_, last = stream
        params = {name: jnp.asarray(value) for name, value in last.params.items()}
        return SVIRunResult(params, last.state, jnp.asarray(last.losses))


class SVIResultsFactory:
    """The reference's name for putting a fit's results together.

    Examples
    --------
    ::

        scribe.svi.SVIResultsFactory.create_results(
            fitted, config, None, matrix, *matrix.shape, "nbdm", None, {}
        )
    """

    @staticmethod
    def create_results(
        svi_results: Any,
        model_config: ModelSpec,
        adata: "AnnData | None",
        count_data: Any,
        n_cells: int,
        n_genes: int,
        model_type: str,
        n_components: int | None,
        prior_params: Mapping[str, Any],
    ) -> ScribeSVIResults:
        """Make :class:`ScribeSVIResults` from what NumPyro or the engine returned.

        ``count_data`` are needed where the model takes the depth of cells as given, and only there.
        """
        params = {name: np.asarray(value) for name, value in svi_results.params.items()}
        common: dict[str, Any] = {
            "n_cells": n_cells,
            "n_genes": n_genes,
            "model_type": model_type,
            "n_components": n_components,
            "depth": depth_in(count_data, model_config),
            "prior_params": {
                name: prior_numbers(prior) or prior for name, prior in prior_params.items()
            },
        }
        losses = np.asarray(svi_results.losses)
        if adata is not None:
            return ScribeSVIResults.from_anndata(adata, params, losses, model_config, **common)
        return ScribeSVIResults(
            params=params, loss_history=losses, model_config=model_config, **common
        )
