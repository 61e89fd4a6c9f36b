"""From data and a network to a result."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import nnx

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts, CountsError
from scribeviz.fitting.plan import Fit
from scribeviz.models.custom.network_model import NetworkModel
from scribeviz.networks.batches import CountBatches, Split, split_cells
from scribeviz.networks.building import build_cellvae, check_module
from scribeviz.networks.cellvae import CellVAE, TrainingConfig
from scribeviz.networks.covariate import Covariate
from scribeviz.networks.importance import LogNormal
from scribeviz.networks.layers import moments_of
from scribeviz.networks.training import TrainingCheckpoint, restore, training_checkpoints
from scribeviz.networks.vae import Amortized
from scribeviz.results.network_results import CellVAEResults

type AnyNetwork = CellVAE | NetworkModel | Amortized | type[Amortized]

_FEWEST_CELLS = 2


@shown_by_fields
@dataclass(frozen=True, slots=True)
class NetworkFit(Fit[TrainingCheckpoint]):
    """A network about to be trained; ``model`` is the module, ``tables`` its minibatches."""

    config: TrainingConfig
    spec: CellVAE | None
    name: str
    split: Split
    covariate: Covariate | None
    total: LogNormal

    @property
    def n_steps(self) -> int:
        """The most steps that will be done."""
        per_epoch = max(self.split.train.size // self.config.batch_size, 1)
        return self.config.max_epochs * per_epoch

    def checkpoints(self, start: TrainingCheckpoint | None = None) -> Iterator[TrainingCheckpoint]:
        """Train, an epoch at a time; go on from ``start`` when it is given."""
        data = CountBatches(
            self.tables.matrix,
            self.split,
            self.config.batch_size,
            self.config.seed,
            covariate=self.tables.covariate,
            first_epoch=0 if start is None else start.epoch,
        )
        return training_checkpoints(self.model, data, self.config, start=start)

    def results(self, checkpoint: TrainingCheckpoint) -> CellVAEResults:
        """The result that ``checkpoint`` stands for: the weights of the best epoch."""
        module = nnx.clone(self.model)
        restore(module, checkpoint)
        return CellVAEResults(
            module=module,
            spec=self.spec,
            model_type=self.name,
            genes=self.counts.genes,
            gene_ids=self.counts.gene_ids,
            left_out_genes=self.left_out_genes,
            n_cells=self.counts.n_cells,
            split=self.split,
            loss_history=self.losses(checkpoint),
            validation_history=self.validation(checkpoint)[1],
            history=checkpoint.history,
            best_epoch=checkpoint.best_epoch,
            total=self.total,
            covariate=self.covariate,
            settled=checkpoint.settled,
            trained_on=self.counts.depths_fingerprint,
            obs=self.counts.obs,
        )

    def losses(self, checkpoint: TrainingCheckpoint) -> np.ndarray:
        """The negative ELBO of all cells as the minibatch of each step tells it, in nats."""
        return checkpoint.losses * np.float32(self.counts.n_cells)

    def validation(self, checkpoint: TrainingCheckpoint) -> tuple[np.ndarray, np.ndarray]:
        """The same from the validation cells, and after which steps."""
        losses = checkpoint.validation * np.float32(self.counts.n_cells)
        per_epoch = checkpoint.step // checkpoint.epoch
        return np.arange(1, losses.size + 1) * per_epoch, losses


def prepare_network(
    counts: Counts,
    model: AnyNetwork,
    config: TrainingConfig,
    *,
    networks: Mapping[str, nnx.Module] | None = None,
) -> NetworkFit:
    """Split the cells, build the network and try it, before anything is trained.

    Parameters
    ----------
    counts
        The data.
    model
        A :class:`CellVAE`; a subclass of ``VAE`` or ``ProbabilisticModule``, which is called with
        ``n_genes`` and ``rngs``; a registered :class:`NetworkModel`; or a module, which is then
        trained on all genes of ``counts``.
    config
        How to train.
    networks
        Custom networks in a CellVAE
        (:func:`scribeviz.networks.building.build_cellvae`).

    Raises
    ------
    CountsError
        If there is nothing to train on, or the batch covariate is not there.
    NetworkShapeError, ModuleError
        If a network gives another shape than is needed; the message has both.
    """
    kept = counts if isinstance(model, Amortized) else counts.seen_genes()
    if kept.n_genes == 0 or kept.n_cells < _FEWEST_CELLS:
        raise CountsError(
            f"{counts.name} has {kept.n_cells:,} cells and {kept.n_genes:,} genes with counts: "
            "there is nothing to train on."
        )
    if networks and not isinstance(model, CellVAE):
        raise ValueError("networks are parts of a CellVAE; a module of your own brings its own.")
    split = split_cells(kept.n_cells, validation=config.validation_share, seed=config.seed)
    spec = model if isinstance(model, CellVAE) else None
    covariate = None
    if spec is not None and spec.covariate:
        covariate = Covariate.of(spec.covariate, kept.obs)
    codes = None if covariate is None else covariate.codes(kept.obs)
    total = _log_totals(kept.cell_totals[split.train])
    if isinstance(model, CellVAE):
        module: Amortized = build_cellvae(
            model,
            kept.n_genes,
            n_levels=0 if covariate is None else len(covariate.levels),
            log_totals=(total.mean, total.spread**2),
            networks=networks,
            start=moments_of(kept.matrix[split.train]),
            seed=config.seed,
        )
    else:
        module = _own(model, kept.n_genes, config.seed)
    check_module(module, kept.n_genes, 0 if covariate is None else len(covariate.levels))
    module.kl_warmup, module.n_cells = config.kl_warmup, split.train.size
    return NetworkFit(
        counts=kept,
        left_out_genes=counts.genes[counts.gene_totals == 0] if kept is not counts else _NONE,
        model=module,
        tables=CountBatches(kept.matrix, split, config.batch_size, covariate=codes),
        config=config,
        spec=spec,
        name=model.name if isinstance(model, CellVAE | NetworkModel) else type(module).__name__,
        split=split,
        covariate=covariate,
        total=total,
    )


_NONE = np.zeros(0, object)


def _own(model: NetworkModel | Amortized | type[Amortized], n_genes: int, seed: int) -> Amortized:
    if isinstance(model, Amortized):
        return nnx.clone(model)
    make: Callable[..., Any] = model.make if isinstance(model, NetworkModel) else model
    return make(n_genes, rngs=nnx.Rngs(seed))


def _log_totals(totals: np.ndarray) -> LogNormal:
    logs = np.log(np.maximum(totals, 1))
    return LogNormal(float(logs.mean()), max(float(logs.std()), 0.05))
