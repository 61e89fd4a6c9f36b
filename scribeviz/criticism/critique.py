"""What a finished fit is judged by, computed once and kept beside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz._storage import has_array, read_array, read_arrays, write_arrays
from scribeviz.criticism.assignments import Assignments, assignments
from scribeviz.criticism.calibration import Calibration, Reliability
from scribeviz.criticism.draws import NaturalDraws, natural_draws
from scribeviz.criticism.integrated import integrated_log_likelihood
from scribeviz.criticism.library import (
    LibraryCheck,
    library_check,
    library_edges,
    library_histogram,
)
from scribeviz.criticism.loo import CellScores, loo
from scribeviz.criticism.misfit import gene_table
from scribeviz.criticism.partition import gene_information
from scribeviz.criticism.predictive import GeneCheck, check_gene
from scribeviz.criticism.replicates import ReplicateBands, check_replicates
from scribeviz.data.counts import Counts
from scribeviz.models.builder import CountModel
from scribeviz.models.parameterizations import Values

# An assignment costs a pass over the non-zeros per draw, and its average settles quickly.
_ASSIGNMENT_DRAWS = 50
# With gates and capture, or odds of every gene's own, many passes over the non-zeros score a draw.
_COSTLY_DRAWS = 100
_FEWEST_DRAWS = 30  # fewer have no tail that could be smoothed
_FORMAT = 2
_NATURAL = "natural/"
_CALIBRATED = "calibrated/"
_OF_CELLS = ("probabilities", "margin")
_SHARES = ("weights", "groups", "group_of_cell")
_BANDS = ("width", "bands", "cumulative", "expected", "zeros", "mean", "library")


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Critique:
    """Posterior draws, the table of genes, and for mixtures the assignments.

    Attributes
    ----------
    draws
        Posterior draws of the likelihood's parameters; of a user's own model bands over replicates.
    genes
        From :func:`scribeviz.criticism.misfit.gene_table`, for mixtures with the columns of
        :func:`scribeviz.criticism.partition.gene_information`.
    scores
        How well unseen cells are predicted, by leaving one out; None of a model that can only be
        simulated.
    probabilities
        Of each cell's assignment, shape ``(cells, components)``; one column unless a mixture.
    agreement
        Share of the posterior draws that agree with each cell's assignment; None where there is
        nothing to assign.
    notes
        What can and what cannot be read from the fit, in sentences.
    of_all_cells
        Whether genes are checked on all cells, as in the table, or on chosen ones.
    calibration
        Of a mixture of counts: how sure assignments may be.
    """

    draws: NaturalDraws | ReplicateBands
    genes: pd.DataFrame
    probabilities: Float[np.ndarray, "cells components"]
    notes: Sequence[str] = ()
    scores: CellScores | None = None
    agreement: Float[np.ndarray, " cells"] | None = None
    of_all_cells: bool = True
    calibration: Calibration | None = None

    @property
    def calibrated(self) -> Float[np.ndarray, "cells components"]:
        """Probabilities that claim what they hold, where that is known; else the model's own."""
        return self.probabilities if self.calibration is None else self.calibration.probabilities

    def check(
        self,
        counts: Int[np.ndarray, " cells"],
        gene: int,
        edges: Int[np.ndarray, " bars+1"] | None = None,
    ) -> GeneCheck:
        """Compare the counts of one gene with replicated data sets.

        ``edges`` are those of the bars; a model that can only be simulated has its own.
        """
        if isinstance(self.draws, ReplicateBands):
            return self.draws.check(counts, gene, str(self.genes["problem"].iloc[gene]))
        problem = str(self.genes["problem"].iloc[gene]) if self.of_all_cells else None
        return check_gene(counts, self.draws, gene, edges=edges, problem=problem)

    @property
    def can_choose_cells(self) -> bool:
        """Whether the model can be checked on some of the cells.

        Not if it is only simulated, or each cell has means of its own.
        """
        return isinstance(self.draws, NaturalDraws) and self.draws.can_choose_cells

    @property
    def natural(self) -> NaturalDraws:
        """The draws of a model whose probabilities are known."""
        if not isinstance(self.draws, NaturalDraws):
            raise TypeError("a model that is only simulated has no draws of known parameters.")
        return self.draws

    def of_cells(self, chosen: Int[np.ndarray, " chosen"] | Sequence[int]) -> "Critique":
        """The same fit, checked on the cells at these positions.

        ``genes`` and ``scores`` stay those of all cells.

        A mask with an entry per cell will do as well.

        Raises
        ------
        TypeError
            If the model can only be simulated: replicates are not kept cell by cell.
        ValueError
            If no cell is chosen, or one that does not exist.
        """
        cells = np.asarray(chosen)
        if cells.dtype == bool:
            if cells.shape != (len(self.probabilities),):
                raise ValueError(
                    f"a mask of cells needs {len(self.probabilities):,} entries; got "
                    f"{cells.size:,}."
                )
            cells = np.flatnonzero(cells)
        if cells.size == 0:
            raise ValueError("no cell is chosen; choose at least one.")
        if not (cells.min() >= 0 and cells.max() < len(self.probabilities)):
            raise ValueError(
                f"cells are numbered 0 to {len(self.probabilities) - 1:,}; got {cells.min():,} to "
                f"{cells.max():,}."
            )
        draws = self.natural.of_cells(cells, self.probabilities)
        of_these = None if self.calibration is None else self.calibration.of_cells(cells)
        return replace(
            self,
            draws=draws,
            probabilities=self.probabilities[cells],
            calibration=of_these,
            of_all_cells=False,
        )

    def library(self, counts: Counts) -> LibraryCheck:
        """Compare total counts of cells with replicated data sets."""
        if not isinstance(self.draws, ReplicateBands):
            return library_check(counts, self.draws)
        edges = library_edges(counts)
        observed = library_histogram(counts.cell_totals, edges)
        return LibraryCheck(edges, observed, self.draws.library.astype(float))

    def save(self, path: Path) -> None:
        """Write to one HDF5 file."""
        meta: dict[str, Any] = {
            "format": _FORMAT,
            "columns": list(self.genes),
            "notes": list(self.notes),
        }
        arrays = {f"genes/{name}": self.genes[name].to_numpy() for name in self.genes}
        arrays["probabilities"] = self.probabilities
        if self.agreement is not None:
            arrays["agreement"] = self.agreement
        if (calibration := self.calibration) is not None:
            arrays |= {f"{_CALIBRATED}{n}": getattr(calibration, n) for n in _OF_CELLS}
            arrays |= {f"{_CALIBRATED}{n}": v for n, v in calibration.reliability._asdict().items()}
            meta["temperature"] = calibration.temperature
            meta["halves_agree"] = calibration.halves_agree
        if self.scores is not None:
            scored, about = self.scores.as_file()
            arrays, meta = arrays | scored, meta | about
        if isinstance(self.draws, ReplicateBands):
            arrays |= {name: getattr(self.draws, name) for name in _BANDS}
            meta["n_draws"] = self.draws.n_draws
        else:
            arrays |= {f"{_NATURAL}{name}": value for name, value in self.draws.natural.items()}
            arrays |= {name: getattr(self.draws, name) for name in _SHARES}
            optional = {"totals": self.draws.totals, "spread": self.draws.spread}
            arrays |= {name: value for name, value in optional.items() if value is not None}
            meta["likelihood"] = self.draws.likelihood_key
        write_arrays(path, arrays, meta)

    @classmethod
    def load(cls, path: Path) -> "Critique":
        """Read what :meth:`save` wrote."""
        arrays, meta = read_arrays(path)
        if meta.get("format", 1) != _FORMAT:
            raise ValueError(
                "this run was judged by another version of scribeviz; fit it again to explore it."
            )
        draws: NaturalDraws | ReplicateBands
        if "likelihood" not in meta:
            draws = ReplicateBands(
                **{name: arrays[name] for name in _BANDS}, n_draws=meta["n_draws"]
            )
        else:
            draws = NaturalDraws(
                likelihood_key=meta["likelihood"],
                natural={
                    name.removeprefix(_NATURAL): value
                    for name, value in arrays.items()
                    if name.startswith(_NATURAL)
                },
                **{name: arrays[name] for name in _SHARES},
                totals=arrays.get("totals"),
                spread=arrays.get("spread"),
            )
        genes = pd.DataFrame({name: arrays[f"genes/{name}"] for name in meta["columns"]})
        return cls(
            draws=draws,
            genes=genes,
            probabilities=arrays["probabilities"],
            notes=meta["notes"],
            agreement=arrays.get("agreement"),
            calibration=_calibration_from(arrays, meta),
            scores=CellScores.from_file(arrays, meta) if "elpd" in arrays else None,
        )


def calibrated_in(path: Path) -> Float[np.ndarray, "cells components"]:
    """:attr:`Critique.calibrated` of a file, without the rest of it."""
    name = f"{_CALIBRATED}probabilities"
    return read_array(path, name if has_array(path, name) else "probabilities")


def _calibration_from(
    arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> Calibration | None:
    if "temperature" not in meta:
        return None
    return Calibration(
        temperature=meta["temperature"],
        probabilities=arrays[f"{_CALIBRATED}probabilities"],
        margin=arrays[f"{_CALIBRATED}margin"],
        halves_agree=meta["halves_agree"],
        reliability=Reliability(*(arrays[f"{_CALIBRATED}{name}"] for name in Reliability._fields)),
    )


def criticise(
    model: CountModel, counts: Counts, values: Values, assigned: Assignments | None = None
) -> Critique:
    """Check every gene, and assign every cell; nothing is scored.

    Parameters
    ----------
    model
        What was fitted.
    counts
        The data that were fitted: genes with counts only.
    values
        Posterior draws by site, with a leading axis of draws
        (:func:`scribeviz.criticism.draws.affordable_draws` says how many are welcome).
    assigned
        Where cells belong; found from the draws when left out.
    """
    draws = natural_draws(model, values)
    genes = gene_table(counts, draws)
    probabilities = np.ones((counts.n_cells, 1), np.float32)
    agreement = None
    if model.spec.is_mixture:
        genes = genes.join(gene_information(counts, draws))
        if assigned is None:
            few = {name: value[:_ASSIGNMENT_DRAWS] for name, value in values.items()}
            assigned = assignments(model, model.rows(counts), few)
        probabilities, agreement = assigned.probabilities, assigned.agreement
    return Critique(draws=draws, genes=genes, probabilities=probabilities, agreement=agreement)


def scores_from_draws(model: CountModel, counts: Counts, values: Values) -> CellScores | None:
    """Leave one cell out at a time by PSIS; None where there are too few draws for that."""
    costly = model.likelihood.zeros_differ or model.likelihood.own_odds
    affordable = max(_COSTLY_DRAWS // model.spec.n_components, _FEWEST_DRAWS)
    kept = {name: value[: affordable if costly else None] for name, value in values.items()}
    if len(next(iter(kept.values()))) < _FEWEST_DRAWS:
        return None
    scores = loo(integrated_log_likelihood(model, kept, counts))
    return replace(scores, scored=counts.depths_fingerprint)


def criticise_draws(counts: Counts, draws: NaturalDraws) -> Critique:
    """Check every gene of a model whose cells belong to no components."""
    one = np.ones((counts.n_cells, 1), np.float32)
    return Critique(draws=draws, genes=gene_table(counts, draws), probabilities=one)


def criticise_replicates(counts: Counts, replicates: Iterable[np.ndarray]) -> Critique:
    """Check every gene of a model that can only be simulated.

    Parameters
    ----------
    counts
        The data that were fitted.
    replicates
        Data sets drawn from the fitted model, ``(n_cells, n_genes)`` each.
    """
    bands, genes = check_replicates(counts, replicates)
    one = np.ones((counts.n_cells, 1), np.float32)
    return Critique(draws=bands, genes=genes, probabilities=one)
