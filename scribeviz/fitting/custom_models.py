"""From counts and a user's own model to a fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts
from scribeviz.fitting.plan import Fit, batch_size_of
from scribeviz.inference.svi import Checkpoint, SVIConfig, SVIMethod, settling, svi_checkpoints
from scribeviz.models.custom.model import CustomModel, bind
from scribeviz.models.custom.sites import check_prediction
from scribeviz.results.custom_results import CustomResults


@shown_by_fields
@dataclass(frozen=True, slots=True)
class CustomFit(Fit[Checkpoint]):
    """A fit of a user's own model."""

    config: SVIConfig
    method: SVIMethod
    initial: Mapping[str, Any] | None = None

    @property
    def n_steps(self) -> int:
        """The most steps that will be done."""
        return self.config.n_steps

    def progress(self, checkpoint: Checkpoint) -> float:
        """About how much of the fit is done, by the rule that ends it."""
        return settling(checkpoint, self.config)

    def checkpoints(self, start: Checkpoint | None = None) -> Iterator[Checkpoint]:
        """Fit, a checkpoint at a time; go on from ``start`` when it is given."""
        return svi_checkpoints(
            self.model.model,
            self.model.guide,
            self.tables,
            self.config,
            initial=self.initial,
            start=start,
            method=self.method,
        )

    def results(self, checkpoint: Checkpoint) -> CustomResults:
        """The result that ``checkpoint`` stands for."""
        return CustomResults(
            params=checkpoint.params,
            loss_history=checkpoint.losses,
            bound=replace(self.model, batch_size=None),
            genes=self.counts.genes,
            gene_ids=self.counts.gene_ids,
            obs=self.counts.obs,
            settled=checkpoint.settled,
        )


def prepare_custom(
    counts: Counts,
    custom: CustomModel,
    config: SVIConfig,
    *,
    method: SVIMethod | None = None,
    start_from: CustomResults | None = None,
) -> CustomFit:
    """Check a user's own model against the data; every gene takes part.

    Raises
    ------
    CustomModelError
        If the model does not fit the data; the message says where.
    ValueError
        If ``start_from`` is a fit of another model, or of other cells or genes.
    """
    if start_from is not None:
        _check_same(start_from, custom, counts)
    bound, data = bind(custom, counts, batch_size=batch_size_of(config, counts))
    if custom.get_model_args_fn is None:  # else what predicts is known only after the fit
        check_prediction(bound)
    initial = None if start_from is None else start_from.params
    none_left_out = counts.genes[:0]
    return CustomFit(counts, none_left_out, bound, data, config, method or SVIMethod(), initial)


def _check_same(results: CustomResults, custom: CustomModel, counts: Counts) -> None:
    model = getattr(results, "model_type", type(results).__name__)
    same = isinstance(results, CustomResults) and results.n_cells == counts.n_cells
    if not same or model != custom.key or not np.array_equal(results.genes, counts.genes):
        raise ValueError(
            f"{custom.key} can start from its own fit to the same cells and genes only; this is "
            f"one of {model} to {results.n_cells:,} cells and {results.n_genes:,} genes."
        )
