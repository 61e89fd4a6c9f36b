"""Two checks that cost another fit: cells that were held out, and the posterior's own shape."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import logsumexp

from scribeviz._offered import NotOfferedError
from scribeviz.criticism.integrated import integrated_log_likelihood
from scribeviz.criticism.loo import HELD_OUT, CellScores
from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.readers import as_counts
from scribeviz.fitting.fit import fit
from scribeviz.fitting.kinds import kind_of, model_named
from scribeviz.fitting.methods import METHODS
from scribeviz.results.sampled import ScribeMCMCResults
from scribeviz.results.variational import ScribeSVIResults

# Spreads within these bounds are called right, and means within half a standard deviation.
_NARROW, _WIDE, _OFF = 0.8, 1.25, 0.5
_FEWEST_FOLDS = 2
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
        ``elpd`` of the held-out cells in nats, their own capture integrated out over its prior;
        ``pareto_k`` is 0 and ``p_loo`` NaN.

    Raises
    ------
    CountsError
        If no cell, or none but test cells, would be left.
    ValueError
        If ``test_share`` is not between 0 and 1.
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
    spec = _scorable(model_named(model, n_components, priors))
    elpd = _unseen(counts, chosen, spec, n_samples, {"seed": seed} | settings)
    return _scores(elpd, counts.select_cells(chosen), HELD_OUT)


def cross_validate(
    data: Any,
    models: Iterable[Any] | Mapping[str, Any],
    *,
    folds: int = 5,
    n_samples: int = 200,
    layer: str | None = None,
    **settings: Any,
) -> dict[str, CellScores]:
    """Score every cell by fits that have not seen it, of several models on the same folds.

    Slower than leave-one-out, and right where that is not to be relied on: of mixtures above all.

    Parameters
    ----------
    data, layer
        As for :func:`scribeviz.fit`.
    models
        Models as for :func:`scribeviz.fit`, by name or in a list.
    folds
        Parts of the cells, each left out in turn; which cells go together follows from the data.
    n_samples
        Posterior draws of each fit.
    **settings
        Of the fits, as for :func:`scribeviz.fit`.

    Returns
    -------
    dict
        By model the :class:`CellScores` of all cells, as :func:`scribeviz.compare` takes them:
        ``elpd`` in nats.

    Raises
    ------
    CountsError
        If there are fewer cells than folds.
    ValueError
        If there are fewer than two folds, or two models of one name.
    """
    if folds < _FEWEST_FOLDS:
        raise ValueError(f"folds={folds} should be {_FEWEST_FOLDS} at least.")
    counts = as_counts(data, layer=layer)
    if counts.n_cells < folds:
        raise CountsError(
            f"{counts.name} has {counts.n_cells:,} cells, too few for {folds} folds of them."
        )
    named = models if isinstance(models, Mapping) else _by_name(models)
    specs = {name: _scorable(model_named(one)) for name, one in named.items()}
    rng = np.random.default_rng(int(counts.fingerprint[:8], 16))
    parts = [np.sort(part) for part in np.array_split(rng.permutation(counts.n_cells), folds)]
    elpd = {name: np.zeros(counts.n_cells) for name in specs}
    for name, spec in specs.items():
        for part in parts:
            elpd[name][part] = _unseen(counts, part, spec, n_samples, settings)
    return {name: _scores(scores, counts, f"{folds} folds") for name, scores in elpd.items()}


def _scores(elpd: Float[np.ndarray, " cells"], scored: Counts, method: str) -> CellScores:
    return CellScores(
        elpd=elpd,
        pareto_k=np.zeros(elpd.size),
        p_loo=float("nan"),
        scored=scored.depths_fingerprint,
        method=method,
    )


def _by_name(models: Iterable[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for model in models:
        name = model if isinstance(model, str) else str(model.name)
        if name in named:
            raise ValueError(f"two of the models are called {name}; give a mapping from names.")
        named[name] = model
    return named


def _scorable(spec: Any) -> Any:
    kind = kind_of(spec)
    if not kind.has_priors:
        raise NotOfferedError(
            f"{kind.plural} are not scored on cells held out here; results.loo(counts) scores them."
        )
    return spec


def _unseen(
    counts: Counts,
    chosen: Int[np.ndarray, " chosen"],
    spec: Any,
    n_samples: int,
    settings: Mapping[str, Any],
) -> Float[np.ndarray, " chosen"]:
    """Log predictive density of some cells, by a fit of all others."""
    train = counts.select_cells(np.setdiff1d(np.arange(counts.n_cells), chosen))
    results = cast("ScribeSVIResults", fit(train, spec, progress=False, **settings))
    test = _of_genes(counts.select_cells(chosen), train)
    drawn = results.get_posterior_samples(n_samples=n_samples, store_samples=False)
    values = {site.key: drawn[site.key] for site in spec.sites if "cells" not in site.axes}
    logs = integrated_log_likelihood(results.model, values, test).astype(np.float64)
    return np.asarray(logsumexp(logs, axis=0) - np.log(len(logs)))


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

    Raises
    ------
    ValueError
        If they are not of the same model and genes.
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


def _of_genes(counts: Counts, fitted: Counts) -> Counts:
    """The genes that were fitted: those that the training cells show."""
    return counts.select_genes(np.flatnonzero(fitted.gene_totals > 0))
