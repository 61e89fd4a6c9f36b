"""The No-U-Turn sampler as a stream of complete checkpoints.

Chains are sampled one after the other.  What happens depends on the number of transitions done and
never on the clock: the same seed gives the same draws, stopped and resumed in between or not.

The sampler computes in float64, whatever the rest of the process does.  It steers by differences of
a few nats between energies of millions, which float32 knows to a quarter of a nat at best.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32, PRNGKeyArray, PyTree
from numpyro.handlers import seed as seed_handler
from numpyro.handlers import trace
from numpyro.infer import NUTS
from numpyro.infer.util import constrain_fn, unconstrain_fn

from scribeviz._cards import shown_by_fields
from scribeviz._settings import check_settings, document_settings, setting
from scribeviz.inference.programs import Programs, by_content, layout_of

type Samples = Mapping[str, Any]

_CHECKPOINT_SECONDS = 0.2
_MOST_AT_ONCE = 256  # transitions: what a chunk can hold
_JITTER = 0.05  # of the chains' starts, on the unconstrained scale
_BUDGET_BYTES = 4_000_000_000


@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class NUTSConfig:
    """How to sample; every number is a control of the app.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.NUTSConfig(n_warmup=200, n_samples=300, n_chains=4).n_steps
    2000
    """

    n_warmup: int = setting(
        500,
        label="Warm-up",
        doc="Transitions per chain that tune the sampler and are then thrown away.",
        unit="transitions",
        bounds=(1, 100_000),
    )
    n_samples: int = setting(
        500,
        label="Draws",
        doc="Transitions per chain after the warm-up.",
        unit="transitions",
        bounds=(1, 100_000),
    )
    n_chains: int = setting(
        2, label="Chains", doc="Two or more show whether they agree (R-hat).", bounds=(1, 16)
    )
    thinning: int = setting(
        1,
        label="Thinning",
        doc="Keep every so-many-th draw: less memory, hardly less information.",
        bounds=(1, 1_000),
    )
    target_accept: float = setting(
        0.8,
        label="Target acceptance",
        doc="Higher takes smaller steps: the cure when there are divergences.",
        bounds=(0.5, 0.999),
    )
    max_tree_depth: int = setting(
        10,
        label="Largest tree depth",
        doc="A transition takes at most 2 to this power steps.",
        bounds=(1, 15),
    )
    seed: int = setting(
        0, label="Seed", doc="The same seed gives the same draws.", bounds=(0, 2**31 - 1)
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.thinning > self.n_samples:
            raise ValueError(
                f"thinning={self.thinning} keeps none of n_samples={self.n_samples} draws."
            )

    @property
    def per_chain(self) -> int:
        """Transitions of one chain."""
        return self.n_warmup + self.n_samples

    @property
    def n_steps(self) -> int:
        """Transitions of all chains."""
        return self.n_chains * self.per_chain

    @property
    def n_kept(self) -> int:
        """Draws kept of one chain."""
        return self.n_samples // self.thinning


@shown_by_fields
@dataclass(frozen=True, slots=True)
class NUTSCheckpoint:
    """Sampling so far, complete in itself.  The last one of a stream is the fit.

    Attributes
    ----------
    step, n_steps
        Transitions done, of all chains, and how many there will be.
    losses
        Negative log joint density after every transition so far, chain after chain, in nats.
    samples
        Kept draws of every site, chain after chain: a leading axis of draws.
    diverging
        Whether the transition to each kept draw diverged.
    leapfrogs
        Gradients that each kept draw took.
    settled
        Whether all is done.
    steps_per_second
        Speed since the checkpoint before.
    state
        What the stream needs to go on from here.
    """

    step: int
    n_steps: int
    losses: Float32[np.ndarray, " transitions"]
    samples: Mapping[str, np.ndarray]
    diverging: Bool[np.ndarray, " draws"]
    leapfrogs: Int32[np.ndarray, " draws"]
    settled: bool
    steps_per_second: float
    state: tuple[np.ndarray, ...]

    @property
    def fraction(self) -> float:
        """Share of the work that is done."""
        return self.step / self.n_steps


class NoStartError(ValueError):
    """A chain has no finite density where it should start; the message names a cure."""


def nuts_checkpoints(
    model: Callable,
    data: PyTree,
    config: NUTSConfig,
    *,
    initial: Samples | None = None,
    start: NUTSCheckpoint | None = None,
) -> Iterator[NUTSCheckpoint]:
    """Sample the posterior of ``model(data)``, yielding a checkpoint about five times a second.

    To stop early, stop iterating.

    Parameters
    ----------
    model
        A NumPyro function of ``data``.
    data
        Arrays; they are arguments of the compiled program, not constants in it.
    config
        Warm-up, draws, chains, thinning, target acceptance, tree depth, seed.
    initial
        Values of the sites to start near; each chain a little apart.  NumPyro's uniform starts
        where left out.
    start
        Go on from this checkpoint instead of from the beginning.

    Raises
    ------
    NoStartError
        If the density is not finite where a chain starts.
    ValueError
        If the draws would not fit the memory.
    """
    data, initial = in_double((data, initial))
    begin, advance, shapes = _kept_program(model, config, data, initial)
    _check_budget(shapes, config)
    keys = jax.random.split(jax.random.PRNGKey(config.seed), config.n_chains)
    # Tracing also tells the kernel its model, which a resumed run needs as well.
    layout = jax.tree.structure(_shapes_of(begin, keys[0], data, initial))
    room = _room(shapes)
    parts = _Parts.of(start, shapes)
    state = None
    if start is not None and start.step % config.per_chain:
        state = jax.tree.unflatten(layout, in_double(start.state))
    pace = 1
    while parts.step < config.n_steps:
        began, before = time.perf_counter(), parts.step
        chain, done = divmod(before, config.per_chain)
        if done == 0 or state is None:
            state = begin(keys[chain], data, initial)
            _check_start(state)
        length = min(pace, room, config.per_chain - done)
        state, buffers = advance(state, data, jnp.int32(length))
        parts.add(jax.tree.map(lambda leaf: np.asarray(leaf)[:length], buffers), done, config)  # noqa: B023
        speed = length / (time.perf_counter() - began)
        yield parts.checkpoint(config, speed, state)
        pace = int(np.clip(speed * _CHECKPOINT_SECONDS, 1, room))


type _Program = tuple[Callable, Callable, Mapping[str, jax.ShapeDtypeStruct]]

# Compiling takes seconds.  A program holds its model but no data.
_PROGRAMS: Programs[_Program] = Programs(most=8)


def _kept_program(
    model: Callable, config: NUTSConfig, data: PyTree, initial: Samples | None
) -> _Program:
    settings = config.n_warmup, config.target_accept, config.max_tree_depth, _MOST_AT_ONCE
    key = by_content(model), settings, layout_of((data, initial))
    return _PROGRAMS.get(key, lambda: _program(model, config, data))


def _program(model: Callable, config: NUTSConfig, data: PyTree) -> _Program:
    """How to begin, how to go on, and the shapes of the sites.

    Of ``config`` the warm-up, the target acceptance and the tree depth enter; of ``data`` the
    shapes.
    """
    kernel = NUTS(
        model, target_accept_prob=config.target_accept, max_tree_depth=config.max_tree_depth
    )
    n_warmup = config.n_warmup
    shapes = _site_shapes(model, data)
    room = _room(shapes)

    @_doubly
    @jax.jit
    def begin(key: PRNGKeyArray, data: PyTree, initial: Samples | None) -> PyTree:
        position, inner = jax.random.split(key)
        free = None
        if initial is not None:
            values = {name: initial[name] for name in shapes}
            free = unconstrain_fn(model, (data,), {}, values)
            free = _jittered(position, free)
        return kernel.init(inner, n_warmup, free, (data,), {})

    # A loop with a length known only at run time: one compiled program for chunks of any size.
    @_doubly
    @jax.jit
    def advance(state: PyTree, data: PyTree, length: Array) -> tuple[PyTree, dict[str, Any]]:
        def constrained(state: PyTree) -> dict[str, Array]:
            values = constrain_fn(model, (data,), {}, state.z)
            return {name: values[name] for name in shapes}

        def record(state: PyTree) -> dict[str, Any]:
            kept = {
                "values": constrained(state),
                "loss": state.potential_energy,
                "diverging": state.diverging,
                "leapfrogs": state.num_steps,
            }
            return jax.tree.map(lambda leaf: leaf.astype(_kept_type(leaf.dtype)), kept)

        def body(i: Array, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            state, buffers = carry
            state = kernel.sample(state, (data,), {})
            kept = jax.tree.map(lambda buffer, new: buffer.at[i].set(new), buffers, record(state))
            return state, kept

        one = jax.eval_shape(record, state)
        buffers = jax.tree.map(lambda leaf: jnp.zeros((room, *leaf.shape), leaf.dtype), one)
        return jax.lax.fori_loop(0, length, body, (state, buffers))

    return begin, advance, shapes


class _Parts:
    """What has been drawn so far, growing."""

    def __init__(self, step: int, losses: Any, kept: dict[str, Any]) -> None:
        self.step, self.losses, self.kept = step, losses, kept

    @classmethod
    def of(cls, start: NUTSCheckpoint | None, shapes: Mapping[str, Any]) -> "_Parts":
        if start is not None:
            kept = dict(start.samples) | {
                _DIVERGING: start.diverging,
                _LEAPFROGS: start.leapfrogs,
            }
            return cls(start.step, [start.losses], {name: [v] for name, v in kept.items()})
        kept = {name: np.zeros((0, *s.shape), s.dtype) for name, s in shapes.items()}
        kept |= {_DIVERGING: np.zeros(0, bool), _LEAPFROGS: np.zeros(0, np.int32)}
        losses = [np.zeros(0, np.float32)]
        return cls(0, losses, {name: [v] for name, v in kept.items()})

    def add(self, new: dict[str, Any], done: int, config: NUTSConfig) -> None:
        number = done + np.arange(new["loss"].size) - config.n_warmup  # of the draw, from 0
        keep = (number >= 0) & ((number + 1) % config.thinning == 0)
        self.step += new["loss"].size
        self.losses.append(new["loss"])
        columns = new["values"] | {_DIVERGING: new["diverging"], _LEAPFROGS: new["leapfrogs"]}
        for name, value in columns.items():
            if keep.any():
                self.kept[name].append(value[keep])

    def checkpoint(self, config: NUTSConfig, speed: float, state: PyTree) -> NUTSCheckpoint:
        self.losses = [np.concatenate(self.losses)]
        samples = {name: np.concatenate(v) for name, v in self.kept.items()}
        self.kept = {name: [value] for name, value in samples.items()}
        return NUTSCheckpoint(
            step=self.step,
            n_steps=config.n_steps,
            losses=self.losses[0],
            diverging=samples.pop(_DIVERGING),
            leapfrogs=samples.pop(_LEAPFROGS),
            samples=samples,
            settled=self.step == config.n_steps,
            steps_per_second=speed,
            state=tuple(np.asarray(leaf) for leaf in jax.tree.leaves(state)),
        )


# Names that no site of NumPyro has.
_DIVERGING, _LEAPFROGS = "/diverging", "/leapfrogs"


# Only the sampler needs float64: what it draws is kept as everything else computes.
_KEPT_TYPES = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}


def _kept_type(dtype: Any) -> Any:
    return _KEPT_TYPES.get(dtype, dtype)


def _doubly[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Have JAX know float64 while ``function`` runs.

    Around single calls, never around a ``yield``: who iterates must not find it switched on.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return called


@_doubly
def in_double(tree: PyTree) -> PyTree:
    """The arrays on the device, their floating numbers in float64."""
    arrays = jax.tree.map(jnp.asarray, tree)
    return jax.tree.map(
        lambda a: a.astype(float) if jnp.issubdtype(a.dtype, jnp.floating) else a, arrays
    )


_shapes_of = _doubly(jax.eval_shape)


def _site_shapes(model: Callable, data: PyTree) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the values that are sampled, as they are kept."""

    def values(data: PyTree) -> dict[str, Array]:
        sites = trace(seed_handler(model, jax.random.PRNGKey(0))).get_trace(data)
        return {
            name: site["value"]
            for name, site in sites.items()
            if site["type"] == "sample" and not site["is_observed"]
        }

    return {
        name: jax.ShapeDtypeStruct(value.shape, _kept_type(value.dtype))
        for name, value in _shapes_of(values, data).items()
    }


def _bytes_per_draw(shapes: Mapping[str, jax.ShapeDtypeStruct]) -> int:
    return sum(int(np.prod(s.shape)) * s.dtype.itemsize for s in shapes.values())


def _room(shapes: Mapping[str, jax.ShapeDtypeStruct]) -> int:
    """Transitions that a chunk may hold: a hundred megabytes at most."""
    return int(np.clip(100_000_000 // _bytes_per_draw(shapes), 1, _MOST_AT_ONCE))


def _check_budget(shapes: Mapping[str, jax.ShapeDtypeStruct], config: NUTSConfig) -> None:
    needed = config.n_chains * config.n_kept * _bytes_per_draw(shapes)
    if needed > _BUDGET_BYTES:
        raise ValueError(
            f"{config.n_chains} chains of {config.n_kept:,} draws take {needed / 1e9:.1f} GB, and "
            f"{_BUDGET_BYTES / 1e9:.0f} GB are allowed; keep fewer with thinning="
            f"{-(-needed // _BUDGET_BYTES) * config.thinning}, draw fewer, or take fewer genes."
        )


def _jittered(key: PRNGKeyArray, free: Mapping[str, Array]) -> dict[str, Array]:
    keys = jax.random.split(key, len(free))
    return {
        name: value + _JITTER * jax.random.normal(key_of, jnp.shape(value))
        for key_of, (name, value) in zip(keys, free.items(), strict=True)
    }


def _check_start(state: PyTree) -> None:
    if not np.isfinite(state.potential_energy):
        raise NoStartError(
            "the posterior has no finite density where a chain should start; fit by variational "
            "inference first and start from it, or choose priors that allow the data."
        )
