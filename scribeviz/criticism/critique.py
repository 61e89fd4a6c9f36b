"""What a finished fit is judged by, computed once and kept beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from scribeviz._storage import read_arrays, write_arrays
from scribeviz.criticism.assignments import assignment_probabilities
from scribeviz.criticism.draws import NaturalDraws, affordable_draws, natural_draws
from scribeviz.criticism.predictive import gene_table
from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellRows, SurvivalTable
from scribeviz.models.builder import CountModel

# An assignment costs a pass over the non-zeros per draw, and its average settles quickly.
_ASSIGNMENT_DRAWS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Critique:
    """Posterior draws, the table of genes, and for mixtures the assignments.

    Attributes
    ----------
    draws
        Posterior draws of the likelihood's parameters.
    genes
        From :func:`scribeviz.criticism.predictive.gene_table`.
    probabilities
        Of each cell's assignment, shape ``(cells, components)``; one column unless a mixture.
    """

    draws: NaturalDraws
    genes: pd.DataFrame
    probabilities: Float[np.ndarray, "cells components"]

    def save(self, path: Path) -> None:
        """Write to one HDF5 file."""
        arrays = {f"natural/{name}": value for name, value in self.draws.natural.items()}
        arrays |= {f"genes/{name}": self.genes[name].to_numpy() for name in self.genes}
        arrays |= {"weights": self.draws.weights, "probabilities": self.probabilities}
        meta = {"likelihood": self.draws.likelihood_key, "columns": list(self.genes)}
        write_arrays(path, arrays, meta)

    @classmethod
    def load(cls, path: Path) -> "Critique":
        """Read what :meth:`save` wrote."""
        arrays, meta = read_arrays(path)
        prefix = "natural/"
        draws = NaturalDraws(
            likelihood_key=meta["likelihood"],
            natural={
                name.removeprefix(prefix): value
                for name, value in arrays.items()
                if name.startswith(prefix)
            },
            weights=arrays["weights"],
        )
        genes = pd.DataFrame({name: arrays[f"genes/{name}"] for name in meta["columns"]})
        return cls(draws=draws, genes=genes, probabilities=arrays["probabilities"])


def criticise(
    model: CountModel,
    counts: Counts,
    tables: SurvivalTable | CellRows,
    params: Mapping[str, np.ndarray],
    seed: int = 0,
) -> Critique:
    """Draw from the posterior and check every gene and every cell.

    Parameters
    ----------
    model, params
        What was fitted, and the guide's parameters.
    counts, tables
        The data that were fitted: genes with counts only.
    seed
        Of the draws.
    """
    values = model.sample_posterior(jax.random.key(seed), affordable_draws(model), params)
    draws = natural_draws(model, values)
    if isinstance(tables, CellRows):
        few = {name: value[:_ASSIGNMENT_DRAWS] for name, value in values.items()}
        probabilities = assignment_probabilities(model, tables, few)
    else:
        probabilities = np.ones((counts.n_cells, 1), np.float32)
    return Critique(draws=draws, genes=gene_table(counts, draws), probabilities=probabilities)
