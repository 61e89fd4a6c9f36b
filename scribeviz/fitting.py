"""From data and a model to a result: what the command line, the workers and ``fit`` share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array

from scribeviz.custom import CustomResults
from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.readers import as_counts
from scribeviz.fits import AnyCheckpoint, Fit
from scribeviz.inference.nuts import NUTSCheckpoint, NUTSConfig, nuts_checkpoints
from scribeviz.inference.svi import Checkpoint, SVIConfig, SVIMethod, svi_checkpoints
from scribeviz.mcmc import ScribeMCMCResults, by_chain
from scribeviz.methods import method_for_counts
from scribeviz.models.builder import build
from scribeviz.models.custom import CustomModel, bind
from scribeviz.models.initial import initial_params
from scribeviz.models.parameterizations import Values
from scribeviz.models.spec import ModelSpec, model_spec
from scribeviz.networks.spec import TrainingConfig
from scribeviz.svi import ScribeSVIResults

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    from scribeviz.network_fits import AnyNetwork

    type Data = Counts | AnnData | str | Path | np.ndarray | sp.sparray | sp.spmatrix | pd.DataFrame

# Of every start of a mixture so many steps are done before the best goes on.
_TRIAL_STEPS = 200
_JUDGED_STEPS = 50


@dataclass(frozen=True, slots=True)
class SVIFit(Fit[Checkpoint]):
    """A fit by variational inference."""

    config: SVIConfig
    method: SVIMethod
    initial: Mapping[str, Any] | None = None  # parameters to start from instead of the data's

    @property
    def n_steps(self) -> int:
        """The most steps that will be done."""
        return self.config.n_steps

    def checkpoints(self, start: Checkpoint | None = None) -> Iterator[Checkpoint]:
        """Fit, a checkpoint at a time; go on from ``start`` when it is given."""
        # A resumed fit replaces these values, but needs their shapes all the same.
        first = self.initial or self._start(chosen=start is None)
        return self._stream(self.config, first, start)

    def results(self, checkpoint: Checkpoint) -> ScribeSVIResults:
        """The result that ``checkpoint`` stands for."""
        spec = self.model.spec
        return ScribeSVIResults(
            params=checkpoint.params,
            loss_history=checkpoint.losses,
            n_cells=self.counts.n_cells,
            n_genes=self.counts.n_genes,
            model_type=spec.name,
            model_config=spec,
            prior_params=prior_params(spec),
            obs=self.counts.obs,
            genes=self.counts.genes,
            left_out_genes=self.left_out_genes,
            settled=checkpoint.settled,
        )

    def _start(self, *, chosen: bool) -> dict[str, Array]:
        """Start values; the best of several where several are asked for."""
        seeds = range(self.config.seed, self.config.seed + self.config.n_starts)
        if len(seeds) == 1 or not chosen or not self.model.spec.is_mixture:
            return initial_params(self.model, self.counts, self.config.seed)
        trial = replace(self.config, n_steps=_TRIAL_STEPS, tolerance=0.0, n_starts=1)
        best, found = np.inf, {}
        for seed in seeds:
            first = initial_params(self.model, self.counts, seed)
            *_, last = self._stream(trial, first, None)
            loss = float(last.losses[-_JUDGED_STEPS:].mean())
            if loss < best:
                best, found = loss, first
        return found

    def _stream(
        self, config: SVIConfig, first: Mapping[str, Any], start: Checkpoint | None
    ) -> Iterator[Checkpoint]:
        return svi_checkpoints(
            self.model.model,
            self.model.guide,
            self.tables,
            config,
            initial=first,
            refine=self.model.refine,
            start=start,
            method=self.method,
        )


@dataclass(frozen=True, slots=True)
class NUTSFit(Fit[NUTSCheckpoint]):
    """A fit by sampling."""

    config: NUTSConfig
    initial: Values | None = None  # values of the sites to start from instead of the data's

    @property
    def n_steps(self) -> int:
        """The most steps that will be done."""
        return self.config.n_steps

    def checkpoints(self, start: NUTSCheckpoint | None = None) -> Iterator[NUTSCheckpoint]:
        """Sample, a checkpoint at a time; go on from ``start`` when it is given."""
        first = self.initial
        if first is None:
            moments = initial_params(self.model, self.counts, self.config.seed)
            first = self.model.posterior_means(moments)
        return nuts_checkpoints(
            self.model.model, self.tables, self.config, initial=first, start=start
        )

    def results(self, checkpoint: NUTSCheckpoint) -> ScribeMCMCResults:
        """The result that ``checkpoint`` stands for; of complete chains where there are any."""
        samples, diverging = by_chain(checkpoint, self.config)
        return ScribeMCMCResults(
            samples=samples,
            diverging=diverging,
            loss_history=checkpoint.losses,
            model_config=self.model.spec,
            n_cells=self.counts.n_cells,
            genes=self.counts.genes,
            left_out_genes=self.left_out_genes,
            obs=self.counts.obs,
            prior_params=prior_params(self.model.spec),
        )


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
            obs=self.counts.obs,
            settled=checkpoint.settled,
        )


def prior_params(spec: ModelSpec) -> dict[str, tuple[float, ...]]:
    """The numbers of every prior, by the reference's names (``r_prior``, ``mixing_prior``)."""
    return {
        f"{site.quantity.removesuffix('_weights')}_prior": spec.prior(site).numbers
        for site in spec.sites
    }


def prepare_fit(
    counts: Counts,
    spec: ModelSpec,
    config: SVIConfig | NUTSConfig,
    *,
    method: SVIMethod | None = None,
    start_from: ScribeSVIResults | None = None,
) -> SVIFit | NUTSFit:
    """Leave out genes without counts, build the model and reduce the counts to its tables.

    Parameters
    ----------
    counts, spec, config
        What to fit and how.
    method
        An optimizer and a loss of the caller's own (variational inference only).
    start_from
        A fit of the same model to the same data, to go on from.

    Raises
    ------
    CountsError
        If there is nothing to fit, or fewer cells than components.
    ValueError
        If ``start_from`` is of another model or of other genes.
    """
    seen = counts.seen_genes()
    if seen.n_genes == 0:
        raise CountsError(f"{counts.name} holds no counts at all: there is nothing to fit.")
    if counts.n_cells < spec.n_components:
        raise CountsError(
            f"{spec.n_components} components need at least as many cells; "
            f"{counts.name} has {counts.n_cells}."
        )
    if start_from is not None:
        _check_same(start_from, spec, seen)
    batch_size = _batch_size(config, seen) if isinstance(config, SVIConfig) else None
    model = build(spec, seen.n_cells, seen.n_genes, batch_size)
    left_out = counts.genes[counts.gene_totals == 0]
    tables = model.tables(seen)
    if isinstance(config, SVIConfig):
        params = None if start_from is None else start_from.params
        return SVIFit(seen, left_out, model, tables, config, method or SVIMethod(), params)
    values = None if start_from is None else model.posterior_means(start_from.params)
    return NUTSFit(seen, left_out, model, tables, config, values)


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
    """
    bound, data = bind(custom, counts, batch_size=_batch_size(config, counts))
    initial = None if start_from is None else start_from.params
    none_left_out = counts.genes[:0]
    return CustomFit(counts, none_left_out, bound, data, config, method or SVIMethod(), initial)


def _batch_size(config: SVIConfig, counts: Counts) -> int | None:
    if config.batch_size > counts.n_cells:
        raise ValueError(
            f"batch_size={config.batch_size:,} is more than the {counts.n_cells:,} cells of "
            f"{counts.name}; leave it out to use all of them in every step."
        )
    return config.batch_size if 0 < config.batch_size < counts.n_cells else None


def _check_same(results: ScribeSVIResults, spec: ModelSpec, counts: Counts) -> None:
    sites = {site.key for site in spec.sites}
    known = {site.key for site in results.model_config.sites}
    if sites != known or results.model_config.n_components != spec.n_components:
        raise ValueError(
            f"a fit of {results.model_config.name} with {', '.join(sorted(known))} cannot be the "
            f"start of {spec.name} with {', '.join(sorted(sites))}; fit the same model first."
        )
    if results.n_cells != counts.n_cells or not np.array_equal(results.genes, counts.genes):
        raise ValueError(
            f"the fit to start from saw {results.n_cells:,} cells and {results.n_genes:,} genes; "
            f"{counts.name} has {counts.n_cells:,} and {counts.n_genes:,} with counts, or others."
        )


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
        (:func:`scribeviz.network_fits.prepare_network`).
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
    from scribeviz.network_fits import prepare_network

    prepared = prepare_network(counts, model, TrainingConfig(**settings), networks=networks)
    return run(prepared, progress=progress)


def run(prepared: Fit[Any], *, progress: bool = True) -> Any:
    """Fit to the end."""
    last = None
    with progress_bar(prepared.n_steps, shown=progress) as report:
        for checkpoint in prepared.checkpoints():
            report(checkpoint)
            last = checkpoint
    assert last is not None  # noqa: S101  n_steps is at least 1
    return prepared.results(last)


@contextmanager
def progress_bar(n_steps: int, *, shown: bool = True) -> Iterator[Callable[[AnyCheckpoint], None]]:
    """A progress bar on the terminal or in a notebook; gives what to call with each checkpoint."""
    from tqdm.auto import tqdm

    with tqdm(total=n_steps, unit="step", disable=not shown) as bar:

        def report(checkpoint: AnyCheckpoint) -> None:
            # Settled early: that is the whole of it.
            bar.total = checkpoint.step if checkpoint.settled else checkpoint.n_steps
            bar.set_postfix_str(f"loss {checkpoint.losses[-50:].mean():,.1f}", refresh=False)
            bar.update(checkpoint.step - bar.n)

        yield report
