"""From counts and a :class:`ModelSpec` to a fit: exact, variational or sampled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Array

from scribeviz._cards import shown_by_fields
from scribeviz.criticism.critique import Critique, criticise_draws
from scribeviz.criticism.draws import natural_draws
from scribeviz.data.component_tables import CellsByDepth
from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.gene_tables import constant_of
from scribeviz.fitting.plan import Fit, batch_size_of
from scribeviz.inference.component_quadrature import ComponentRegion
from scribeviz.inference.exact import (
    ExactCheckpoint,
    ExactConfig,
    exact_checkpoints,
    learn_from_some,
    learn_priors,
    tables_of,
)
from scribeviz.inference.exact import settling as exact_settling
from scribeviz.inference.known_labels import KnownLabels
from scribeviz.inference.mixture_starts import best_start
from scribeviz.inference.nuts import NUTSCheckpoint, NUTSConfig, nuts_checkpoints
from scribeviz.inference.shared_priors import Learned, learned_of, shared_priors_of
from scribeviz.inference.svi import Checkpoint, SVIConfig, SVIMethod, settling, svi_checkpoints
from scribeviz.inference.weighted_em import (
    FIRST_BETWEEN,
    EMCheckpoint,
    EMConfig,
    Mixture,
    em_checkpoints,
)
from scribeviz.models.builder import build
from scribeviz.models.component_priors import ComponentPriors
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.initial import initial_params
from scribeviz.models.parameterizations import Values
from scribeviz.models.spec import ModelSpec
from scribeviz.results.exact_results import ExactResults
from scribeviz.results.mixture_results import MixtureResults
from scribeviz.results.sampled import ScribeMCMCResults, by_chain
from scribeviz.results.variational import ScribeSVIResults

# Of every start of a mixture so many steps are done before the best goes on.
_TRIAL_STEPS = 200

_JUDGED_STEPS = 50


@shown_by_fields
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

    def progress(self, checkpoint: Checkpoint) -> float:
        """About how much of the fit is done, by the rule that ends it."""
        return settling(checkpoint, self.config)

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
            gene_ids=self.counts.gene_ids,
            left_out_genes=self.left_out_genes,
            settled=checkpoint.settled,
            depth=self.model.depth_of(self.counts),
            gene_priors=self.model.gene_priors,
        )

    def preview(self, checkpoint: Checkpoint) -> Critique:
        """Every gene judged by the means of the posterior so far.

        That is quick, and too sure of itself: what a fit is judged by in the end also knows how far
        its posterior scatters.
        """
        results = self.results(checkpoint)
        point = results.get_map(use_mean=True, canonical=False, verbose=False)
        # Twice: what is said of how draws differ needs two, and these do not.
        means = {name: np.stack([value, value]) for name, value in point.items()}
        return criticise_draws(self.counts, natural_draws(results.model, means))

    def _start(self, *, chosen: bool) -> dict[str, Array]:
        """Start values; the best of several where several are asked for."""
        seeds = range(self.config.seed, self.config.seed + self.config.n_starts)
        if len(seeds) == 1 or not chosen or not self.model.spec.is_mixture:
            return initial_params(self.model, self.counts, self.config.seed)
        trial = replace(self.config, n_steps=_TRIAL_STEPS, tolerance=0.0, n_starts=1)
        best, start = np.inf, {}
        for seed in seeds:
            half = seed != self.config.seed  # the same clustering again would be no other start
            first = initial_params(self.model, self.counts, seed, half=half)
            *_, last = self._stream(trial, first, None)
            loss = float(last.losses[-_JUDGED_STEPS:].mean())
            if loss < best:
                best, start = loss, first
        return start

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


@shown_by_fields
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
            gene_ids=self.counts.gene_ids,
            left_out_genes=self.left_out_genes,
            obs=self.counts.obs,
            prior_params=prior_params(self.model.spec),
            depth=self.model.depth_of(self.counts),
            gene_priors=self.model.gene_priors,
            settled=checkpoint.settled,
        )

    def problem(self, results: ScribeMCMCResults) -> str:
        """Whether the chains moved at all."""
        return results.diagnostics.problem


@shown_by_fields
@dataclass(frozen=True, slots=True)
class EMFit(Fit[EMCheckpoint]):
    """A fit of a mixture by variational EM on weighted tables."""

    config: EMConfig
    mixture: Mixture
    priors: ComponentPriors
    labels: KnownLabels | None

    @property
    def n_steps(self) -> int:
        """The most sweeps that will be done."""
        return self.config.n_steps

    def checkpoints(self, start: EMCheckpoint | None = None) -> Iterator[EMCheckpoint]:
        """Sweep over genes and cells, a checkpoint at a time; go on from ``start`` when given."""
        priors, first = self.priors, None
        if start is None:
            k = self.model.spec.n_components
            best = best_start(self.mixture, self.counts, k, priors, self.config, self.labels)
            priors, first = best.priors, best.responsibilities
        return em_checkpoints(self.mixture, self.config, priors, first, start=start)

    def results(self, checkpoint: EMCheckpoint) -> MixtureResults:
        """The result that ``checkpoint`` stands for."""
        spec = self.model.spec
        shares = checkpoint.responsibilities
        return MixtureResults(
            tables=self.mixture.cells.tables(shares),
            priors=ComponentPriors.from_arrays(checkpoint.priors),
            region=ComponentRegion.from_arrays(checkpoint.region),
            concentrations=self.mixture.concentration + shares.sum(axis=0),
            labels=self.config.labels,
            label_strength=self.config.label_strength,
            label_names=() if self.labels is None else self.labels.names,
            loss_history=checkpoint.losses,
            model_config=spec,
            n_cells=self.counts.n_cells,
            genes=self.counts.genes,
            left_out_genes=self.left_out_genes,
            obs=self.counts.obs,
            depth=self.model.depth_of(self.counts),
            settled=checkpoint.settled,
            gene_ids=self.counts.gene_ids,
        )


@dataclass(frozen=True, slots=True)
class ExactFit(Fit[ExactCheckpoint]):
    """A fit by quadrature: every gene's posterior, and the priors that genes share."""

    config: ExactConfig
    learned: Learned
    constant: float  # what the tables leave out of the log-probability, in nats

    @property
    def n_steps(self) -> int:
        """The most steps that will be done."""
        return self.config.n_steps

    def progress(self, checkpoint: ExactCheckpoint) -> float:
        """About how much of the fit is done, by the rule that ends it."""
        return exact_settling(checkpoint, self.config)

    def checkpoints(self, start: ExactCheckpoint | None = None) -> Iterator[ExactCheckpoint]:
        """Sweep over the genes, a checkpoint at a time; go on from ``start`` when it is given."""
        return exact_checkpoints(
            self.tables,
            self.config,
            self.model.gene_priors,
            self.learned,
            constant=self.constant,
            start=start,
        )

    def results(self, checkpoint: ExactCheckpoint) -> ExactResults:
        """The result that ``checkpoint`` stands for."""
        return ExactResults(
            tables=self.tables,
            gene_priors=GenePriors.from_arrays(checkpoint.priors),
            region=checkpoint.region,
            loss_history=checkpoint.losses,
            model_config=self.model.spec,
            n_cells=self.counts.n_cells,
            genes=self.counts.genes,
            left_out_genes=self.left_out_genes,
            obs=self.counts.obs,
            depth=self.model.depth_of(self.counts),
            settled=checkpoint.settled,
            gene_ids=self.counts.gene_ids,
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
    config: SVIConfig | NUTSConfig | ExactConfig | EMConfig,
    *,
    method: SVIMethod | None = None,
    start_from: ScribeSVIResults | None = None,
) -> SVIFit | NUTSFit | ExactFit | EMFit:
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
        if isinstance(config, SVIConfig):
            _check_same_guide(start_from.model_config, spec)
    left_out = counts.genes[counts.gene_totals == 0]
    if isinstance(config, EMConfig):
        return _em_fit(seen, left_out, spec, config)
    if isinstance(config, ExactConfig):
        return _exact_fit(seen, left_out, spec, config)
    batch_size = batch_size_of(config, seen) if isinstance(config, SVIConfig) else None
    gene_priors = _learned_priors(seen, spec) if spec.learns_priors else None
    model = build(spec, seen.n_cells, seen.n_genes, batch_size, gene_priors=gene_priors)
    tables = model.tables(seen)
    if isinstance(config, SVIConfig):
        params = None if start_from is None else start_from.params
        return SVIFit(seen, left_out, model, tables, config, method or SVIMethod(), params)
    values = None if start_from is None else start_from.model.posterior_means(start_from.params)
    return NUTSFit(seen, left_out, model, tables, config, values)


def _exact_fit(
    counts: Counts, left_out: np.ndarray, spec: ModelSpec, config: ExactConfig
) -> ExactFit:
    tables = tables_of(counts, spec)
    priors, learned = shared_priors_of(spec, tables)
    model = build(spec, counts.n_cells, counts.n_genes, gene_priors=priors)
    depth = Depth.of_cells(counts, spec.depth_column)
    constant = constant_of(counts, np.log(depth.relative))
    return ExactFit(counts, left_out, model, tables, config, learned, constant)


def _em_fit(counts: Counts, left_out: np.ndarray, spec: ModelSpec, config: EMConfig) -> EMFit:
    genes, learned = learn_from_some(counts, spec), learned_of(spec)
    model = build(spec, counts.n_cells, counts.n_genes, gene_priors=genes)
    log_depth = np.log(Depth.of_cells(counts, spec.depth_column).relative)
    (concentration,) = spec.prior(spec.sites[-1]).numbers
    labels, log_odds, k = None, None, spec.n_components
    if config.labels:
        labels = KnownLabels.of_counts(counts, config.labels)
        labels.check(k)
        log_odds = labels.log_odds(k, config.label_strength)
    mixture = Mixture(
        CellsByDepth(counts, log_depth, own_dispersions=spec.component_specific_params),
        concentration,
        learned,
        log_odds=log_odds,
        constant=constant_of(counts, log_depth),
    )
    priors = ComponentPriors(genes, FIRST_BETWEEN)
    if not learned.mean:
        priors = ComponentPriors(genes, genes.spread, has_levels=False)
    return EMFit(counts, left_out, model, mixture.cells, config, mixture, priors, labels)


def _learned_priors(counts: Counts, spec: ModelSpec) -> GenePriors:
    """The priors that all genes share, learned as if no cells differed but in depth."""
    tables = tables_of(counts, spec)
    return learn_priors(tables, *shared_priors_of(spec, tables))


def _check_same(results: ScribeSVIResults, spec: ModelSpec, counts: Counts) -> None:
    if not results.can_start_others:
        raise ValueError(
            f"{type(results).__name__} cannot be a start; give a variational fit of the same model."
        )
    before = results.model_config
    if replace(before, priors=(), guides=(), guide_rank=0, total_mrna=0.0) != replace(
        spec, priors=(), guides=(), guide_rank=0, total_mrna=0.0
    ):
        raise ValueError(
            f"a fit of {_parameters(before)} cannot be the start of {_parameters(spec)}; fit the "
            "same model first."
        )
    if results.n_cells != counts.n_cells or not np.array_equal(results.genes, counts.genes):
        raise ValueError(
            f"the fit to start from saw {results.n_cells:,} cells and {results.n_genes:,} genes; "
            f"{counts.name} has {counts.n_cells:,} and {counts.n_genes:,} with counts, or others."
        )


def _parameters(spec: ModelSpec) -> str:
    own = ", own odds per component" if spec.component_specific_params else ""
    return f"{spec.name} with {', '.join(sorted(site.key for site in spec.sites))}{own}"


def _check_same_guide(before: ModelSpec, spec: ModelSpec) -> None:
    families, wanted = ({s.key: each.guide(s) for s in each.sites} for each in (before, spec))
    if families != wanted or before.guide_rank != spec.guide_rank:
        raise ValueError(
            "the fit to start from has another posterior "
            f"({_posterior(families, before.guide_rank)}) than is asked for "
            f"({_posterior(wanted, spec.guide_rank)}); fit one of the same families first."
        )


def _posterior(families: Mapping[str, str], rank: int) -> str:
    said = ", ".join(f"{key}: {family}" for key, family in families.items())
    return f"{said}, rank {rank}" if rank else said
