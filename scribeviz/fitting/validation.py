"""Two checks that cost another fit: cells that were held out, and the posterior's own shape."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd

from scribeviz.criticism.loo import CellScores
from scribeviz.data.counts import CountsError
from scribeviz.data.readers import as_counts
from scribeviz.fitting.fit import fit
from scribeviz.fitting.folds import FOLDS, cross_validation
from scribeviz.fitting.kinds import kind_of, model_named, name_of
from scribeviz.fitting.methods import METHODS
from scribeviz.results.protocol import Results
from scribeviz.results.sampled import ScribeMCMCResults
from scribeviz.results.variational import ScribeSVIResults

# Spreads within these bounds are called right, and means within half a standard deviation.
_NARROW, _WIDE, _OFF = 0.8, 1.25, 0.5
_CONVERGED = 1.05  # R-hat above it: chains that still disagree can judge nothing
_STUCK = "not known: the sampler has not converged; draw more"


def held_out(  # noqa: PLR0913  what one call has to say
    data: Any,
    model: Any = "nb",
    *,
    test_share: float = 0.1,
    n_samples: int = 200,
    n_components: int | None = None,
    priors: Mapping[str, Any] | None = None,
    layer: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> CellScores:
    """Fit some cells, and score how well the fit predicts the others.

    The plain alternative to leave-one-out (:meth:`ScribeSVIResults.loo`): no importance sampling,
    so nothing to be unreliable, but another fit, and an answer from a part of the cells.

    Parameters
    ----------
    data, model, n_components, priors, layer
        As for :func:`scribeviz.fit`.
    test_share
        Share of the cells that is held out, above 0 and below 1.
    n_samples
        Posterior draws.
    seed
        Of the split and of the fit.  Models with the same seed are scored on the same cells, and
        :func:`scribeviz.compare` sets them side by side.
    **settings
        Of the fit, as for :func:`scribeviz.fit`.

    Returns
    -------
    CellScores
        ``elpd`` of the held-out cells in nats, what belongs to single cells integrated out.

    Raises
    ------
    CountsError
        If no cell, or none but test cells, would be left.
    ValueError
        If ``test_share`` is not between 0 and 1.

    Examples
    --------
    ::

        scores = {model: scribeviz.held_out(counts, model) for model in ("nb", "nbvcp")}
        scribeviz.compare(scores)
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share={test_share} should lie between 0 and 1.")
    counts = as_counts(data, layer=layer)
    n_test = round(test_share * counts.n_cells)
    if not 0 < n_test < counts.n_cells:
        raise CountsError(
            f"{counts.name} has {counts.n_cells:,} cells: {test_share:.0%} of them are {n_test:,}; "
            "choose another test_share."
        )
    order = np.random.default_rng(seed).permutation(counts.n_cells)
    chosen = np.sort(order[:n_test])
    train = counts.select_cells(np.sort(order[n_test:]))
    seen = np.flatnonzero(train.gene_totals > 0)
    spec = model_named(model, n_components, priors)
    results: Any = fit(train.select_genes(seen), spec, progress=False, **{"seed": seed} | settings)
    test = counts.select_cells(chosen)
    scores = results.score_unseen(test.select_genes(seen), n_samples)
    return replace(scores, scored=test.depths_fingerprint)


def cross_validate(
    data: Any,
    models: Iterable[Any] | Mapping[str, Any],
    *,
    folds: int = FOLDS,
    start_from: Mapping[str, Results] | None = None,
    n_samples: int = 200,
    layer: str | None = None,
    inference_method: str | None = None,
    **settings: Any,
) -> dict[str, CellScores]:
    """Score every cell by fits that have not seen it, of several models on the same folds.

    Slower than leave-one-out, and right where that is not to be relied on: of mixtures, networks
    and custom models.

    Parameters
    ----------
    data, layer
        As for :func:`scribeviz.fit`.
    models
        Models as for :func:`scribeviz.fit`, by name or in a list.
    folds
        Parts of the cells, each left out in turn; which cells go together follows from the data.
    start_from
        By name a fit of the model to all of these data, from which those of the folds start: they
        are then shorter.  Networks are trained anew all the same.
    n_samples
        Posterior draws of each fit.
    inference_method, **settings
        Of the fits, as for :func:`scribeviz.fit`.

    Returns
    -------
    dict
        By model the :class:`CellScores` of all cells, as :func:`scribeviz.compare` takes them:
        ``elpd`` in nats, of the genes that are seen whichever fold is left out.

    Raises
    ------
    CountsError
        If there are fewer cells than folds.
    NotOfferedError
        If cells of a custom model have parameters of their own, which nothing is known of.
    ValueError
        If there are fewer than two folds, or two models of one name.

    Examples
    --------
    ::

        scores = scribeviz.cross_validate(counts, ["nb", "nbvcp"], folds=5)
        scribeviz.compare(scores)
    """
    counts = as_counts(data, layer=layer)
    named = models if isinstance(models, Mapping) else _by_name(models)
    scores = {}
    for name, given in named.items():
        model = model_named(given)
        config = kind_of(model).config(inference_method, settings)
        whole = (start_from or {}).get(name)
        jobs = cross_validation(counts, model, config, folds, whole=whole, n_samples=n_samples)
        *_, last = jobs
        scores[name] = last.scores
    return scores


def _by_name(models: Iterable[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for model in models:
        name = model if isinstance(model, str) else name_of(model)
        if name in named:
            raise ValueError(f"two of the models are called {name}; give a mapping from names.")
        named[name] = model
    return named


def check_posterior(  # noqa: PLR0913
    data: Any,
    model: Any = "nb",
    *,
    n_warmup: int = 300,
    n_samples: int = 300,
    n_components: int | None = None,
    priors: Mapping[str, Any] | None = None,
    layer: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> pd.DataFrame:
    """Hold a variational fit against a short run of NUTS on the same data.

    Parameters
    ----------
    data, model, n_components, priors, layer
        As for :func:`scribeviz.fit`.
    n_warmup, n_samples
        Of the sampler, which starts from the variational fit.
    seed
        Of both.
    **settings
        Of the variational fit, as for :func:`scribeviz.fit`.

    Returns
    -------
    pandas.DataFrame
        One row per parameter block (``p``, ``r`` …): ``spread``, the median ratio of variational
        to sampled standard deviations, and ``spread_low``, ``spread_high``, between which nine of
        ten lie; ``shift``, the median distance of the means in sampled standard deviations;
        ``worst_r_hat`` of the sampler; ``verdict`` in words.

    Examples
    --------
    ::

        scribeviz.check_posterior(counts, "nbdm")[["spread", "shift", "verdict"]]
    """
    spec = model_named(model, n_components, priors)
    kind_of(spec).check_method(METHODS["mcmc"])
    counts = as_counts(data, layer=layer)
    variational = {"inference_method": "svi"} | settings
    ours = cast("ScribeSVIResults", fit(counts, spec, seed=seed, progress=False, **variational))
    sampled = fit(
        counts,
        spec,
        inference_method="mcmc",
        start_from=ours,
        progress=False,
        seed=seed,
        n_warmup=n_warmup,
        n_samples=n_samples,
        n_chains=2,
    )
    return compare_posteriors(ours, cast("ScribeMCMCResults", sampled))


def compare_posteriors(ours: ScribeSVIResults, sampled: ScribeMCMCResults) -> pd.DataFrame:
    """What :func:`check_posterior` says, of two fits of the same model that are there already.

    Parameters
    ----------
    ours
        A variational fit.
    sampled
        A sampled one, of the same model and genes.

    Returns
    -------
    pandas.DataFrame
        As of :func:`check_posterior`.

    Raises
    ------
    ValueError
        If they are not of the same model and genes.

    Examples
    --------
    ::

        ours = scribeviz.fit(counts, "nbdm")
        sampled = scribeviz.fit(counts, "nbdm", inference_method="mcmc", start_from=ours)
        scribeviz.compare_posteriors(ours, sampled)
    """
    if ours.model_config != sampled.model_config or not np.array_equal(ours.genes, sampled.genes):
        raise ValueError(
            f"{ours.model_type} and {sampled.model_type} are fits of different models or genes; "
            "a posterior is held against a sampled one of the same model."
        )
    theirs = sampled.get_samples()
    n_draws = sampled.diverging.size
    mine = ours.get_posterior_samples(n_samples=max(n_draws, 500), store_samples=False)
    r_hat = sampled.diagnostics.r_hat
    rows = {}
    for name, draws in theirs.items():
        spread = draws.std(axis=0)
        moved = spread > 0  # a chain that never moved tells no spread
        unit = np.where(moved, spread, np.nan)
        apart = np.abs(mine[name].mean(axis=0) - draws.mean(axis=0)) / unit
        shift = float(np.nanmedian(apart)) if moved.any() else np.nan
        ratio = mine[name].std(axis=0) / unit
        low, middle, high = np.nanpercentile(ratio, (5, 50, 95)) if moved.any() else 3 * [np.nan]
        worst = float(np.nanmax(r_hat[name], initial=0))
        rows[name] = {
            "spread": middle,
            "spread_low": low,
            "spread_high": high,
            "shift": shift,
            "worst_r_hat": worst,
            "verdict": _verdict(middle, shift, worst) if moved.all() else _STUCK,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _verdict(spread: float, shift: float, r_hat: float) -> str:
    if r_hat > _CONVERGED:
        return _STUCK
    if shift > _OFF:
        return "centred elsewhere"
    if spread < _NARROW:
        return "too sure: intervals are too narrow"
    if spread > _WIDE:
        return "too careful: intervals are too wide"
    return "can be trusted"
