"""``run_scribe`` and ``rerun_scribe``: the first SCRIBE's way to say :func:`scribeviz.fit`.

Its arguments become those of the library, which fits.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.readers import as_counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.fitting.custom_models import prepare_custom
from scribeviz.fitting.kinds import COUNTS_MODEL
from scribeviz.fitting.methods import METHODS
from scribeviz.fitting.plan import run
from scribeviz.inference.nuts import NUTSConfig
from scribeviz.inference.svi import SVIConfig, SVIMethod
from scribeviz.models.capture import ORGANISMS
from scribeviz.models.custom.model import CustomModel
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import ModelSpec
from scribeviz.reference.autoencoder import check_for_autoencoder, run_autoencoder
from scribeviz.reference.better import improvement
from scribeviz.reference.prior_numbers import priors_of
from scribeviz.results.count_results import CountResults
from scribeviz.results.custom_results import CustomResults
from scribeviz.results.variational import ScribeSVIResults

if TYPE_CHECKING:
    from scribeviz.results.network_results import CellVAEResults

_LOG = logging.getLogger(__name__)
_MOST_STEPS = 100_000
# The reference's models by its flags.
_FLAGS = {
    "nbdm": {"zero_inflated": False, "variable_capture": False},
    "zinb": {"zero_inflated": True, "variable_capture": False},
    "nbvcp": {"zero_inflated": False, "variable_capture": True},
    "zinbvcp": {"zero_inflated": True, "variable_capture": True},
}
_VAE = "vae"
# Where a settled fit stopped, and where others go on.
_RATE_WHEN_SETTLED, _RATE_OTHERWISE = 0.002, 0.01


def run_scribe(
    counts: Any,
    *,
    model_type: str | None = None,
    zero_inflated: bool | None = None,
    variable_capture: bool | None = None,
    mixture_model: bool | None = None,
    n_components: int | None = None,
    component_specific_params: bool = False,
    parameterization: str = "standard",
    unconstrained: bool = False,
    guide_rank: int | None = None,
    cells_axis: int = 0,
    layer: str | None = None,
    inference_method: str = "svi",
    optimizer: Any = None,
    loss: Any = None,
    stable_update: bool = True,
    n_steps: int | None = None,
    batch_size: int | None = None,
    n_samples: int = 2_000,
    n_warmup: int = 1_000,
    n_chains: int = 1,
    start_from: ScribeSVIResults | None = None,
    seed: int = 42,
    rng_key: Any = None,
    p_prior: Any = None,
    r_prior: Any = None,
    mu_prior: Any = None,
    phi_prior: Any = None,
    gate_prior: Any = None,
    p_capture_prior: Any = None,
    phi_capture_prior: Any = None,
    mixing_prior: Any = None,
    organism: str | None = None,
    total_mrna: float | None = None,
    prior_params: Mapping[str, Any] | None = None,
    custom_model: Callable | None = None,
    custom_guide: Callable | None = None,
    custom_args: Mapping[str, Any] | None = None,
    param_spec: Mapping[str, Mapping[str, Any]] | None = None,
    get_distributions_fn: Callable | None = None,
    get_model_args_fn: Callable | None = None,
    custom_log_likelihood_fn: Callable | None = None,
    progress: bool = True,
) -> "CountResults | CustomResults | CellVAEResults":
    """Fit a model of the SCRIBE family, or a model of your own.

    Parameters
    ----------
    counts
        Raw counts: an AnnData, a file, a dense or sparse matrix.
    model_type
        ``"nbdm"``, ``"zinb"``, ``"nbvcp"``, ``"zinbvcp"``, each also with ``_mix``: another way to
        say the next three.
    zero_inflated, variable_capture, mixture_model
        Whether genes drop out, cells differ in capture, and cells come in groups.
    n_components
        Number of groups of a mixture; 2 when left out.
    component_specific_params
        Whether each group has its own p (or phi).
    parameterization
        ``"standard"``, ``"linked"`` or ``"odds_ratio"``.
    unconstrained
        Normal priors and posteriors on log and log-odds scales.
    guide_rank
        Rank of a low-rank guide for r (or mu); mean field when left out.
    cells_axis
        0 if rows of a matrix are cells, 1 if columns are.
    layer
        Layer of an AnnData that holds the counts.
    inference_method
        ``"svi"``, ``"mcmc"``, or ``"vae"`` for a :class:`scribeviz.CellVAE`.
    optimizer, loss, stable_update
        Of NumPyro or optax, and an ELBO of NumPyro, in place of Adam in stages; then steps whose
        gradient is not finite are left out where ``stable_update`` says so.
    n_steps
        Exactly so many steps.  When left out, until the loss has settled, 100,000 at most.
    batch_size
        Cells per step; all of them when left out.
    n_samples, n_warmup, n_chains
        For ``"mcmc"``.
    start_from
        A variational fit of the same model to the same data to start from.
    seed, rng_key
        The same seed gives the same result; ``rng_key`` (older notebooks) is read as one.
    p_prior, r_prior, mu_prior, phi_prior, gate_prior, p_capture_prior, phi_capture_prior, \
mixing_prior
        Numbers of the parameter's own prior family (a tuple, a list or an array), such as
        ``(0, 1)`` for a log-normal r, or a family with its numbers, such as ``("gamma", 2, 0.1)``.
    organism, total_mrna
        What a cell holds (``"human"``, ``"mouse"``, ``"yeast"``, ``"ecoli"``, or a number of
        molecules), so that capture and expression can be told apart.
    prior_params
        Priors by name (``{"r_prior": (0, 1)}``), and for a custom model its arguments.
    custom_model, custom_guide, custom_args, param_spec, get_distributions_fn, get_model_args_fn, \
custom_log_likelihood_fn
        A model of your own; see :class:`scribeviz.models.custom.model.CustomModel`.
    progress
        Show a progress bar.

    Returns
    -------
    ScribeSVIResults, ScribeMCMCResults, CustomResults or CellVAEResults

    Raises
    ------
    ValueError
        If arguments contradict each other; the message names both.
    CountsError
        If ``counts`` are not raw counts.

    Examples
    --------
    >>> import scribeviz as scribe
    >>> counts, _ = scribe.simulate("zinb", n_cells=40, n_genes=5)
    >>> results = scribe.run_scribe(counts, zero_inflated=True, n_steps=200, progress=False)
    >>> results.model_type
    'zinb'
    """
    _check_method(inference_method)
    data = as_counts(_cells_in_rows(counts, cells_axis), layer=layer)
    if rng_key is not None:
        seed = _seed_of(rng_key)
    svi = _svi_config(n_steps, batch_size, seed)
    method = _svi_method(optimizer, loss, stable_update=stable_update)
    if custom_model is not None or custom_guide is not None:
        if custom_model is None or custom_guide is None or param_spec is None:
            raise ValueError("a model of your own needs custom_model, custom_guide and param_spec.")
        if inference_method != "svi":
            raise ValueError(
                "a model of your own is fitted with its guide: inference_method='svi'."
            )
        custom = CustomModel(
            key=getattr(custom_model, "__name__", "custom").strip("<>"),
            model=custom_model,
            guide=custom_guide,
            param_spec=param_spec,
            prior_params=prior_params or {},
            custom_args=custom_args or {},
            n_components=n_components,
            get_distributions_fn=get_distributions_fn,
            get_model_args_fn=get_model_args_fn,
            custom_log_likelihood_fn=custom_log_likelihood_fn,
        )
        fitted: Any = run(prepare_custom(data, custom, svi, method=method), progress=progress)
        return fitted
    priors = {
        "p": p_prior,
        "r": r_prior,
        "mu": mu_prior,
        "phi": phi_prior,
        "gate": gate_prior,
        "p_capture": p_capture_prior,
        "phi_capture": phi_capture_prior,
        "mixing": mixing_prior,
    }
    for name, prior in (prior_params or {}).items():
        quantity = name.removesuffix("_prior")
        if priors.get(quantity) is not None:
            raise ValueError(f"{name} is given twice, by itself and in prior_params; give it once.")
        priors[quantity] = prior
    likelihood, k = _model_of(
        model_type, zero_inflated, variable_capture, mixture_model, n_components
    )
    if inference_method == _VAE:
        check_for_autoencoder(
            {
                "model_type": None if model_type in {None, "nbdm", "zinb"} else model_type,
                "variable_capture": variable_capture,
                "mixture_model": mixture_model,
                "n_components": n_components if k > 1 else None,
                "component_specific_params": component_specific_params,
                "parameterization": None if parameterization == "standard" else parameterization,
                "unconstrained": unconstrained,
                "guide_rank": guide_rank,
                "optimizer": optimizer,
                "loss": loss,
                "start_from": start_from,
                "organism": organism,
                "total_mrna": total_mrna,
            }
            | {f"{name}_prior": prior for name, prior in priors.items()}
        )
        return run_autoencoder(
            data,
            zero_inflated=likelihood == "zinb",
            n_steps=n_steps,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    spec = ModelSpec(
        likelihood=likelihood,
        n_components=k,
        parameterization=parameterization,
        unconstrained=unconstrained,
        component_specific_params=component_specific_params,
        guide_rank=guide_rank or 0,
        total_mrna=_total_mrna(organism, total_mrna),
    )
    spec = replace(spec, priors=priors_of(spec, priors))
    config: SVIConfig | NUTSConfig = svi
    if METHODS[inference_method].config is NUTSConfig:
        config = NUTSConfig(n_samples=n_samples, n_warmup=n_warmup, n_chains=n_chains, seed=seed)
    prepared = prepare_fit(data, spec, config, method=method, start_from=start_from)
    results: Any = run(prepared, progress=progress)
    return results


def rerun_scribe(
    results: ScribeSVIResults | CustomResults,
    counts: Any,
    *,
    n_steps: int = 10_000,
    batch_size: int | None = None,
    cells_axis: int = 0,
    layer: str | None = None,
    optimizer: Any = None,
    loss: Any = None,
    stable_update: bool = True,
    seed: int = 42,
    rng_key: Any = None,
    custom_args: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> ScribeSVIResults | CustomResults:
    """Go on training from ``results`` for ``n_steps``, and append the losses.

    What it returns is never worse than ``results``: where these steps have not lowered the loss,
    by the same draws for both, it returns the parameters that it was given, and logs that.

    Parameters
    ----------
    results
        From :func:`run_scribe` or :func:`scribeviz.fit`, of variational inference.
    counts
        The same data.
    n_steps, batch_size, cells_axis, layer, optimizer, loss, stable_update, seed, rng_key, progress
        As for :func:`run_scribe`; the steps are smaller than at the start of a first fit, and those
        of a settled fit as small as at its end.
    custom_args
        Of a model of your own: these values in place of those that it was fitted with.

    Raises
    ------
    TypeError
        If ``results`` are not of variational inference.
    ValueError
        If ``counts`` have other genes or another number of cells, or a built-in model is given
        ``custom_args``.

    Examples
    --------
    >>> import scribeviz as scribe
    >>> counts, _ = scribe.simulate("zinb", n_cells=40, n_genes=5)
    >>> results = scribe.run_scribe(counts, zero_inflated=True, n_steps=200, progress=False)
    >>> scribe.rerun_scribe(results, counts, n_steps=100, progress=False).loss_history.size
    300
    """
    if not isinstance(results, ScribeSVIResults | CustomResults):
        raise TypeError(
            f"rerun_scribe goes on with a variational fit; {type(results).__name__} is none. Give "
            "run_scribe more n_samples, or more n_steps, instead."
        )
    data = as_counts(_cells_in_rows(counts, cells_axis), layer=layer)
    if rng_key is not None:
        seed = _seed_of(rng_key)
    rate = _RATE_WHEN_SETTLED if results.settled else _RATE_OTHERWISE
    config = replace(_svi_config(n_steps, batch_size, seed), learning_rate=rate)
    method = _svi_method(optimizer, loss, stable_update=stable_update)
    prepared: Any
    if isinstance(results, CustomResults):
        custom = _with_args(results.custom_model, custom_args, data)
        prepared = prepare_custom(data, custom, config, method=method, start_from=results)
    elif custom_args:
        raise ValueError(
            f"custom_args={sorted(custom_args)} are of a model of your own; {results.model_type} "
            "is built in."
        )
    else:
        prepared = prepare_fit(
            data, results.model_config, config, method=method, start_from=results
        )
    further: Any = run(prepared, progress=progress)
    fall, error = improvement(prepared, results.params, further.params, seed)
    improved = fall >= 2 * error
    if not improved:  # also where the loss is no number
        _LOG.warning(
            "%d further steps changed the loss by %.3g nats (standard error %.2g), which is no "
            "improvement: the parameters before these steps are returned",
            n_steps,
            -fall,
            error,
        )
        further = replace(further, params=results.params, settled=results.settled)
    losses = np.concatenate([results.loss_history, further.loss_history])
    return replace(further, loss_history=losses)


def ModelConfig(  # noqa: N802  the reference's own name
    base_model: str = "nbdm",
    *,
    parameterization: str = "standard",
    unconstrained: bool = False,
    n_components: int | None = None,
    inference_method: str = "svi",
    component_specific_params: bool = False,
    guide_rank: int | None = None,
    **site_priors: Any,
) -> ModelSpec:
    """The reference's name for a :class:`ModelSpec`.

    Parameters
    ----------
    base_model
        Name of the model, ``_mix`` included.
    parameterization, unconstrained, n_components, component_specific_params, guide_rank
        As for :func:`run_scribe`.
    inference_method
        Accepted and checked; how to fit is said where the fit is started.
    **site_priors
        ``<site>_param_prior``: numbers, or a family with its numbers.

    Raises
    ------
    ValueError
        If something is not known, or not possible together.

    Examples
    --------
    >>> ModelConfig("nbdm_mix", n_components=3, r_param_prior=(0, 1)).described
    'negative binomial, 3 components'
    """
    _check_method(inference_method)
    unknown = [name for name in site_priors if not name.endswith("_param_prior")]
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is not known; priors are called <site>_param_prior, and guides follow "
            "from the priors."
        )
    likelihood, k = _model_of(base_model, None, None, None, n_components)
    spec = ModelSpec(
        likelihood=likelihood,
        n_components=k,
        parameterization=parameterization,
        unconstrained=unconstrained,
        component_specific_params=component_specific_params,
        guide_rank=guide_rank or 0,
    )
    priors = {name.removesuffix("_param_prior"): prior for name, prior in site_priors.items()}
    return replace(spec, priors=priors_of(spec, priors))


def _check_method(inference_method: str) -> None:
    ways = [*COUNTS_MODEL.methods, _VAE]
    if inference_method not in ways:
        raise ValueError(
            f"inference_method={inference_method!r} is not known; choose one of "
            f"{', '.join(map(repr, ways))}."
        )


def _cells_in_rows(counts: Any, cells_axis: int) -> Any:
    if cells_axis not in {0, 1}:
        raise ValueError(f"cells_axis={cells_axis} is neither 0 (rows) nor 1 (columns).")
    if cells_axis == 0:
        return counts
    if not hasattr(counts, "T"):
        raise CountsError(
            "cells_axis=1 transposes a matrix or an AnnData; a file is read as its format says."
        )
    return counts.T


def _with_args(
    custom: CustomModel, custom_args: Mapping[str, Any] | None, data: Counts
) -> CustomModel:
    """The model with some of its arguments replaced."""
    if not custom_args:
        return custom
    before = custom.custom_args
    fitted_with = before(data) if callable(before) else before
    return replace(custom, custom_args={**fitted_with, **custom_args})


def _seed_of(rng_key: Any) -> int:
    words = np.asarray(jax.random.key_data(rng_key)).ravel()
    return int(words[-1]) % 2**31


def _svi_config(n_steps: int | None, batch_size: int | None, seed: int) -> SVIConfig:
    if n_steps is None:
        return SVIConfig(n_steps=_MOST_STEPS, batch_size=batch_size or 0, seed=seed)
    return SVIConfig(n_steps=n_steps, tolerance=0.0, batch_size=batch_size or 0, seed=seed)


def _svi_method(optimizer: Any, loss: Any, *, stable_update: bool) -> SVIMethod:
    given = optimizer is not None or loss is not None
    return SVIMethod(optimizer=optimizer, loss=loss, stable_update=given and stable_update)


def _model_of(
    model_type: str | None,
    zero_inflated: bool | None,
    variable_capture: bool | None,
    mixture_model: bool | None,
    n_components: int | None,
) -> tuple[str, int]:
    """The likelihood's key and the number of components."""
    flags = {"zero_inflated": zero_inflated, "variable_capture": variable_capture}
    if model_type is not None:
        likelihood = model_type.removesuffix("_mix")
        if likelihood not in LIKELIHOODS:
            allowed = ", ".join(map(repr, LIKELIHOODS))
            raise ValueError(
                f"model_type={model_type!r} is not known; choose {allowed}, or one of them with "
                "_mix."
            )
        said = dict(_FLAGS.get(likelihood, {}))
        said["mixture_model"] = model_type.endswith("_mix")
        for name, flag in (flags | {"mixture_model": mixture_model}).items():
            if flag is not None and flag != said.get(name, False):
                raise ValueError(f"model_type={model_type!r} contradicts {name}={flag}; give one.")
        mixture = said["mixture_model"]
    else:
        wanted = {name: bool(flag) for name, flag in flags.items()}
        likelihood = next(key for key, has in _FLAGS.items() if has == wanted)
        mixture = n_components is not None and n_components > 1
        if mixture_model is not None:
            if mixture and not mixture_model:
                raise ValueError(f"mixture_model=False contradicts n_components={n_components}.")
            mixture = mixture_model
    if mixture and n_components == 1:
        raise ValueError("a mixture needs n_components of 2 or more; n_components=1 was given.")
    if not mixture and n_components is not None and n_components > 1:
        raise ValueError(f"model_type={model_type!r} contradicts n_components={n_components}.")
    return likelihood, (n_components or 2) if mixture else 1


def _total_mrna(organism: str | None, total_mrna: float | None) -> float:
    if organism is None:
        return total_mrna or 0.0
    if total_mrna is not None:
        raise ValueError("organism and total_mrna say the same thing; give one of them.")
    if organism not in ORGANISMS:
        allowed = ", ".join(map(repr, ORGANISMS))
        raise ValueError(
            f"organism={organism!r} is not known; choose {allowed}, or give total_mrna."
        )
    return ORGANISMS[organism].mrna_per_cell
