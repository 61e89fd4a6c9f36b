"""What a result says of itself in a notebook or at a prompt."""

from typing import Any

import numpy as np

from scribeviz._cards import Card

_LAST_LOSSES = 50  # a noisy loss is averaged over these


def result_card(results: Any) -> Card:
    """Model, size, how the fit ended, and what to do next; nothing is computed for it."""
    losses = np.asarray(results.loss_history)
    model = getattr(results, "model_config", None)
    facts = {
        "model": results.model_type if model is None else f"{model.described} ({model.name})",
        "fit": "settled" if results.settled else "ended before it had settled",
    }
    if losses.size:
        facts["losses"] = f"{losses.size:,}, {losses[-_LAST_LOSSES:].mean():,.1f} nats at the end"
    n_left_out = len(results.left_out_genes)
    if n_left_out:
        facts["left out"] = f"{n_left_out:,} genes without counts"
    return Card(
        title=type(results).__name__,
        summary=f"{results.model_type}, {results.n_cells:,} cells x {results.n_genes:,} genes",
        facts=facts,
        next_step='.gene_table(counts).nlargest(10, "misfit")  # what it gets wrong',
    )
