"""``run_scribe(inference_method="vae")``: a :class:`~scribeviz.networks.cellvae.CellVAE`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scribeviz.data.counts import Counts
from scribeviz.fitting.plan import run
from scribeviz.networks.cellvae import CellVAE, TrainingConfig

if TYPE_CHECKING:
    from scribeviz.results.network_results import CellVAEResults


def check_for_autoencoder(said: Mapping[str, Any]) -> None:
    """Raise unless nothing is said that a CellVAE does not have.

    Parameters
    ----------
    said
        What describes a model of counts or its fit, by the name of its argument; None or False
        where nothing is said.

    Raises
    ------
    ValueError
        The message names all that contradicts it.
    """
    named = [name for name, value in said.items() if value is not None and value is not False]
    if named:
        raise ValueError(
            f"inference_method='vae' trains a CellVAE, which contradicts {', '.join(named)}; leave "
            "that out, or choose 'svi' or 'mcmc'. It takes zero_inflated, n_steps, batch_size and "
            "seed; scribeviz.fit(counts, scribeviz.CellVAE(n_latent=…)) takes all that a CellVAE "
            "has."
        )


def run_autoencoder(
    data: Counts,
    *,
    zero_inflated: bool,
    n_steps: int | None,
    batch_size: int | None,
    seed: int,
    progress: bool,
) -> "CellVAEResults":
    """Train a CellVAE, for about ``n_steps`` at most where they are given."""
    from scribeviz.fitting.network_fits import prepare_network  # flax takes a second to import

    config = TrainingConfig(seed=seed, **({} if batch_size is None else {"batch_size": batch_size}))
    spec = CellVAE(likelihood="zinb" if zero_inflated else "nb")
    prepared = prepare_network(data, spec, config)
    if n_steps is not None:
        steps_per_epoch = prepared.n_steps // config.max_epochs
        epochs = max(round(n_steps / steps_per_epoch), 1)
        prepared = replace(prepared, config=replace(config, max_epochs=epochs))
    results: Any = run(prepared, progress=progress)
    return results
