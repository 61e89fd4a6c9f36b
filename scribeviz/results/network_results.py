"""What training a variational autoencoder of counts returns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from flax import nnx
from jaxtyping import Float, Int

from scribeviz._cards import shown_as
from scribeviz._offered import NotOfferedError
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.criticism.budget import check_budget
from scribeviz.criticism.critique import Critique, criticise_draws, criticise_replicates
from scribeviz.criticism.library import library_edges
from scribeviz.criticism.loo import HELD_OUT, CellScores
from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.readers import as_counts
from scribeviz.models.custom.network_model import NetworkModel
from scribeviz.networks import evaluation, importance
from scribeviz.networks.batches import Blocks, CountBatch, CountBatches, Split
from scribeviz.networks.building import build_cellvae
from scribeviz.networks.cellvae import CellVAE
from scribeviz.networks.covariate import Covariate
from scribeviz.networks.decoded import DecodedCounts
from scribeviz.networks.entry_draws import (
    affordable_place_draws,
    entry_draws,
    replicates,
    residuals,
    shown_cells,
)
from scribeviz.networks.importance import LogNormal
from scribeviz.networks.vae import Amortized
from scribeviz.networks.weights import fill, weights
from scribeviz.results.card import result_card
from scribeviz.results.fitted_counts import fitted_counts
from scribeviz.results.gene_index import GeneIndex, gene_columns, ids_arrays
from scribeviz.results.shown import Shown
from scribeviz.results.stored import check_format, frame_arrays, frame_from, group, grouped

if TYPE_CHECKING:
    import xarray as xr
    from anndata import AnnData

_FORMAT = 1
_SCORED_DRAWS = 200
_REPLICATES = 50
_LATENT = "latent"


@shown_as(result_card)
@dataclass(frozen=True, kw_only=True, eq=False)
class CellVAEResults(Shown):
    """A trained variational autoencoder of counts, built in or custom.

    Attributes
    ----------
    module
        The trained module, in evaluating mode.
    spec
        What it was built from; None for a custom module.
    model_type
        Its name.
    genes
        Names of the genes, shape ``(n_genes,)``.
    left_out_genes
        Genes without counts, which were not trained on.
    split
        Positions of the cells that were trained on and validated.
    loss_history
        Negative ELBO of all cells, estimated from the minibatch of every step, in nats.
    validation_history
        The same from the validation cells, after every epoch.
    history
        Every metric after every epoch, per cell; those of the validation cells as ``val_…``.
    best_epoch
        The epoch whose weights were kept, from 1.
    total
        What was known of cells' total counts: log-normal, from the training cells.
    covariate
        The batch covariate; None if there is none.
    settled
        Whether training ended because the validation loss no longer fell.
    trained_on
        What tells the cells from others (:attr:`Counts.depths_fingerprint`).
    obs
        Cell-level metadata, where there were any.
    gene_ids
        A second name of each gene, where there were any.

    Examples
    --------
    ::

        vae = scribeviz.fit(counts, scribeviz.CellVAE(n_latent=10))
        vae.get_latent_representation(counts)  # (cells, 10)
        vae.get_normalized_expression(counts, ["CD3D", "LYZ"], library_size=1e4)
    """

    module: Amortized
    spec: CellVAE | None
    model_type: str
    genes: np.ndarray
    left_out_genes: np.ndarray
    n_cells: int
    split: Split
    loss_history: np.ndarray
    validation_history: np.ndarray
    history: Mapping[str, np.ndarray]
    best_epoch: int
    total: LogNormal
    covariate: Covariate | None = None
    settled: bool = True
    trained_on: str = ""
    obs: pd.DataFrame | None = None
    gene_ids: np.ndarray | None = None

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.genes)

    @property
    def can_start_others(self) -> bool:
        """Networks are trained anew."""
        return False

    @property
    def notes(self) -> list[str]:
        """What can and what cannot be read from this model, in sentences."""
        scored = (
            f"Scores are of the {self.split.validation.size:,} cells that the network was not "
            "trained on; a cell's total counts are predicted as well, from those of the others."
        )
        notes = [scored]
        if self.spec is not None and self.spec.library == "observed":
            notes.append(
                "Checks of genes take each cell's total counts as given: only how they are shared "
                "out among genes is predicted."
            )
        return notes

    def get_latent_representation(
        self, counts: Any, *, give_spread: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Where each cell lies: the mean of its variational posterior.

        Parameters
        ----------
        counts
            Cells with the genes that were trained on, in any form that ``fit`` takes.
        give_spread
            Give the standard deviations as well.

        Returns
        -------
        numpy.ndarray
            Shape ``(n_cells, n_latent)``.
        """
        mean, spread = evaluation.places(self.module, self._batches(counts))
        return (mean, spread) if give_spread else mean

    def get_normalized_expression(
        self,
        counts: Any,
        genes: GeneIndex | None = None,
        *,
        library_size: float | str = 1,
        n_samples: int = 1,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Expression of each cell as the decoder sees it.

        Parameters
        ----------
        counts
            The cells.
        genes
            Which genes; all when left out.
        library_size
            Expected total counts of every cell, ``1`` for shares, or ``"latent"``: each cell's own.
        n_samples
            Draws of each cell's place to average over; 1 takes the middle of its posterior (a
            learned total is drawn all the same).
        seed
            Of the draws.

        Returns
        -------
        pandas.DataFrame
            Cells x genes.
        """
        if isinstance(library_size, str) and library_size != _LATENT:
            raise ValueError(
                f"library_size={library_size!r} is not known; give a number or {_LATENT!r}."
            )
        counts = self._counts(counts)
        columns = slice(None) if genes is None else gene_columns(self.genes, genes, self.gene_ids)
        names = self.genes[columns]
        check_budget(
            "the expression",
            (counts.n_cells, len(names)),
            np.float32,
            instead="fewer genes or cells",
        )
        run = evaluation.compiled(self.module, partial(_expression, library_size, n_samples))
        key = jax.random.key(seed)
        blocks = [
            np.asarray(run(batch, jax.random.fold_in(key, i)))[:, columns]
            for i, batch in enumerate(self._batches(counts))
        ]
        return pd.DataFrame(np.concatenate(blocks), index=counts.cells, columns=names)

    def posterior_predictive_sample(
        self, counts: Any, n_samples: int = 1, genes: GeneIndex | None = None, *, seed: int = 0
    ) -> Int[np.ndarray, "samples cells genes"]:
        """Draw the counts of cells like these: places from their posterior, then counts.

        Raises
        ------
        MemoryBudgetError
            If it would not fit the memory budget.
        """
        counts = self._counts(counts)
        columns = slice(None) if genes is None else gene_columns(self.genes, genes, self.gene_ids)
        check_budget(
            "the predictive samples",
            (n_samples, counts.n_cells, len(self.genes[columns])),
            np.int32,
            instead="fewer genes or samples",
        )
        drawn = replicates(self.module, self._batches(counts), n_samples, seed)
        return np.stack([one[:, columns] for one in drawn])

    def get_elbo(self, counts: Any, n_samples: int = 1, *, seed: int = 0) -> float:
        """Evidence lower bound, in nats per cell: the mean over cells."""
        terms = self._terms(counts, n_samples, seed)
        return -float((terms["reconstruction"] + terms["kl"]).mean())

    def get_reconstruction_error(self, counts: Any, n_samples: int = 1, *, seed: int = 0) -> float:
        """Negative log-likelihood of the counts at drawn places, in nats per cell."""
        return float(self._terms(counts, n_samples, seed)["reconstruction"].mean())

    def get_marginal_ll(
        self,
        counts: Any,
        n_samples: int = 1_000,
        *,
        integrate_total: bool = False,
        seed: int = 0,
    ) -> float:
        """Log-likelihood of cells with their places integrated out, in nats: the mean over cells.

        Parameters
        ----------
        counts
            The cells; best ones that were not trained on (``results.validation(counts)``).
        n_samples
            Draws per cell for importance sampling.
        integrate_total
            Integrate over each cell's expected total as well instead of taking what was counted;
            always done where the library is learned.
        seed
            Of the draws.
        """
        given = self._weights(counts, n_samples, seed, integrate_total=integrate_total)
        return float(importance.log_marginal(given).mean())

    def validation(self, counts: Any) -> Counts:
        """The cells of the training data that were not trained on."""
        counts = self._counts(counts)
        if counts.depths_fingerprint != self.trained_on:
            raise CountsError(
                f"the network was trained on {self.n_cells:,} cells, and these {counts.n_cells:,} "
                "are others, or in another order; give the same data again."
            )
        return counts.select_cells(self.split.validation)

    def residuals(
        self, counts: Any, *, n_draws: int = 20, seed: int = 0
    ) -> Float[np.ndarray, "cells genes"]:
        """Randomised quantile residuals of every count: uniform where the prediction is right.

        The share of them between 0.05 and 0.95 is the coverage of 90 % intervals.
        """
        counts = self._counts(counts)
        shape = (counts.n_cells, counts.n_genes)
        check_budget("the residuals", shape, np.float64, instead="fewer cells")
        if not self._is_decoded(next(iter(self._batches(counts)))):
            raise TypeError(
                "residuals need the distribution function of the counts, which is known of those "
                "in scribeviz.networks.decoded; give your model one of these."
            )
        return residuals(self.module, self._batches(counts), n_draws=n_draws, seed=seed)

    def loo(self, counts: Any, n_samples: int = _SCORED_DRAWS, *, seed: int = 0) -> CellScores:
        """Score how well the cells that were not trained on are predicted.

        Returns
        -------
        CellScores
            Log-likelihood of each validation cell, its place and its expected total integrated out,
            in nats; ``pareto_k`` is that of the importance sampling.  To be compared with the
            leave-one-out scores of other models of the same cells.
        """
        counts = self._counts(counts)
        scores = self.score_unseen(self.validation(counts), n_samples, seed=seed)
        return replace(scores, scored=counts.depths_fingerprint, cells=self.split.validation)

    def score_unseen(
        self, counts: Any, n_samples: int = _SCORED_DRAWS, *, seed: int = 0
    ) -> CellScores:
        """How well cells are predicted that the network was neither trained nor validated on.

        Returns
        -------
        CellScores
            Log-likelihood of each cell, its place and its expected total integrated out, in nats;
            ``pareto_k`` is that of the importance sampling.
        """
        cells = self._counts(counts)
        given = self._weights(cells, n_samples, seed, integrate_total=True)
        return CellScores(
            elpd=importance.log_marginal(given),
            pareto_k=importance.pareto_k(given),
            p_loo=float("nan"),
            scored=cells.depths_fingerprint,
            method=HELD_OUT,
        )

    def start_for(self, cells: np.ndarray, genes: np.ndarray) -> None:
        """None: weights that have seen a cell remember it."""
        del cells, genes

    def critique(self, counts: Any, seed: int = 0) -> Critique:
        """Judge every gene and score the validation cells; what the dashboard shows."""
        *_, complete = self.judged(counts, seed)
        return complete

    def judged(self, counts: Any, seed: int = 0) -> Iterator[Critique]:
        """The same in two parts: every gene, which can be looked at already; then with scores."""
        counts = self._counts(counts)
        shown = shown_cells(counts.n_cells, counts.n_genes, seed)
        some = self._batches(counts.select_cells(shown))
        if self._is_decoded(next(iter(some))):
            draws = entry_draws(
                self.module,
                some,
                counts.n_cells,
                library_edges(counts),
                n_draws=affordable_place_draws(shown.size, counts.n_genes),
                seed=seed,
            )
            critique = criticise_draws(counts, draws)
        else:
            drawn = replicates(self.module, self._batches(counts), _REPLICATES, seed)
            critique = criticise_replicates(counts, drawn)
        is_scored = self.module.knows_only_places(next(iter(some)))
        notes = self.notes if is_scored else [*self.notes[1:], _NOT_SCORED]
        critique = replace(critique, notes=notes)
        yield critique
        scores = self.loo(counts, seed=seed) if is_scored and self.split.validation.size else None
        yield replace(critique, scores=scores)

    def gene_table(self, counts: Any, seed: int = 0) -> pd.DataFrame:
        """All genes, observed beside predicted (:func:`scribeviz.criticism.misfit.gene_table`)."""
        return self.critique(counts, seed).genes

    def to_anndata(
        self,
        adata: "AnnData",
        key_added: str = "scribeviz",
        *,
        misfit: bool = False,
        layer: str | None = None,
    ) -> None:
        """Write where cells lie to ``obsm[key_latent]``, and about the model to ``uns[key]``.

        Also ``obs[key_trained]``: whether a cell was trained on; and with ``misfit`` how the model
        fits every gene: ``var[key_misfit]``, ``var[key_p_value]`` and ``var[key_problem]``.
        """
        from scribeviz.results.writing import write_gene_table

        counts = as_counts(adata, layer=layer)
        place = self.get_latent_representation(counts)
        genes = self.gene_table(counts) if misfit else None
        if self._counts(counts).depths_fingerprint == self.trained_on:
            trained = np.zeros(self.n_cells, bool)
            trained[self.split.train] = True
            adata.obs[f"{key_added}_trained"] = trained
        adata.obsm[f"{key_added}_{_LATENT}"] = place
        adata.uns[key_added] = {
            "model": self.model_type,
            "best_epoch": self.best_epoch,
            "n_steps": self.loss_history.size,
            "notes": self.notes,
            **({} if self.spec is None else self.spec.as_dict()[self.spec.name]),
        }
        if genes is not None:
            write_gene_table(genes, adata, key_added)

    def to_datatree(self, n_samples: int = 500) -> "xr.DataTree":  # noqa: ARG002
        """Refused: a network has weights, and no posterior of parameters."""
        raise NotOfferedError(
            "a network has no posterior of parameters for ArviZ; get_latent_representation(counts, "
            "give_spread=True) has that of the cells' places."
        )

    def __getitem__(self, index: GeneIndex) -> "CellVAEResults":
        """Refused: the genes of a network hang together."""
        raise NotOfferedError(
            "a network predicts all its genes together; name genes in "
            "get_normalized_expression(counts, genes) instead."
        )

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file, without pickle; :meth:`load` reads it back."""
        arrays: dict[str, Any] = grouped("weights", weights(self.module))
        arrays |= grouped("history", self.history) | frame_arrays("obs", self.obs)
        arrays |= {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {"train": self.split.train, "validation": self.split.validation}
        arrays |= ids_arrays(self.gene_ids)
        meta = {
            "format": _FORMAT,
            "spec": None if self.spec is None else self.spec.as_dict(),
            "covariate": None
            if self.covariate is None
            else {"column": self.covariate.column, "levels": list(self.covariate.levels)},
            "total": list(self.total),
            **{name: getattr(self, name) for name in _PLAIN},
        }
        write_arrays(Path(path), arrays, meta)

    @classmethod
    def load(cls, path: str | Path, module: Any = None) -> "CellVAEResults":
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path
            The file.
        module
            For a custom module, or custom networks: one that is built like the one that was saved
            (its weights are replaced), or the :class:`NetworkModel` that makes it.

        Raises
        ------
        ValueError
            If the file is of a newer version, or the module is built in another way.
        """
        arrays, meta = read_arrays(Path(path))
        check_format(meta, _FORMAT, path)
        spec = None if meta["spec"] is None else CellVAE(**meta["spec"]["cellvae"])
        covariate = None
        if meta["covariate"] is not None:
            stored = meta["covariate"]
            covariate = Covariate(column=stored["column"], levels=tuple(stored["levels"]))
        total = LogNormal(*meta["total"])
        if module is None:
            if spec is None:
                raise ValueError(
                    f"{path} holds a module of your own ({meta['model_type']!r}); give one that is "
                    "built like it as module=…"
                )
            module = build_cellvae(
                spec,
                len(arrays["genes"]),
                n_levels=0 if covariate is None else len(covariate.levels),
                log_totals=(total.mean, total.spread**2),
            )
        if isinstance(module, NetworkModel):
            module = module.make(len(arrays["genes"]), rngs=nnx.Rngs(0))
        module.eval()
        module.n_cells = len(arrays["train"])
        fill(module, group(arrays, "weights"))
        no_cells = np.zeros(0, int)
        return cls(
            module=module,
            spec=spec,
            split=Split(arrays["train"], arrays["validation"], no_cells),
            history=group(arrays, "history"),
            total=total,
            covariate=covariate,
            obs=frame_from(arrays, "obs"),
            gene_ids=arrays.get("gene_ids"),
            **{name: arrays[name] for name in _ARRAYS} | {name: meta[name] for name in _PLAIN},
        )

    def _counts(self, data: Any) -> Counts:
        """Data with the genes that were trained on, in their order."""
        return fitted_counts(data, self.genes)

    def _batches(self, data: Any) -> Blocks:
        counts = self._counts(data)
        codes = None if self.covariate is None else self.covariate.codes(counts.obs)
        nobody = Split(*(np.zeros(0, int) for _ in range(3)))
        made = CountBatches(counts.matrix, nobody, 1, covariate=codes)
        return made.all_cells()

    def _terms(self, counts: Any, n_samples: int, seed: int) -> dict[str, np.ndarray]:
        batches, key = self._batches(counts), jax.random.key(seed)
        return evaluation.negative_elbo(self.module, batches, key, n_samples)

    def _weights(
        self, counts: Any, n_samples: int, seed: int, *, integrate_total: bool
    ) -> np.ndarray:
        batches, key = self._batches(counts), jax.random.key(seed)
        if not self.module.knows_only_places(next(iter(batches))):
            raise ValueError(_NOT_SCORED)
        learned = self.spec is not None and self.spec.library == "learned"
        total = self.total if integrate_total or learned else None
        return importance.log_weights(self.module, batches, key, n_samples, total)

    def _is_decoded(self, batch: CountBatch) -> bool:
        place = self.module.encode(batch)
        return isinstance(self.module.decode(batch, place.loc), DecodedCounts)


_NOT_SCORED = (
    "The model has other unknowns than the places of cells, which would have to be integrated out: "
    "it is checked, and not scored."
)
_ARRAYS = ("genes", "left_out_genes", "loss_history", "validation_history")
_PLAIN = ("model_type", "n_cells", "best_epoch", "settled", "trained_on")


def _expression(
    library_size: float | str, n_samples: int, module: Amortized, batch: CountBatch, key: jax.Array
) -> jax.Array:
    """Mean counts at these totals, averaged over draws of the place."""
    place = module.encode(batch)
    keys = jax.random.split(key, n_samples)

    def at(z: jax.Array, key: jax.Array) -> jax.Array:
        if library_size == _LATENT:
            library = module.expected_library(batch, key)
        else:
            library = jax.numpy.full_like(batch.library, float(library_size))
        return module.decode(batch.with_library(library), z).mean

    if n_samples == 1:
        return at(place.loc, keys[0])
    return jax.lax.map(lambda one: at(place.sample(one), one), keys).mean(axis=0)
