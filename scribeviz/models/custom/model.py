"""A user's own model: NumPyro functions with the signature of the custom-model tutorial.

A :class:`CustomModel` describes the model for any data set.  :func:`bind` checks it against one
data set, without computing anything heavy, and gives a :class:`BoundModel`, whose ``model`` and
``guide`` are functions of one argument as everywhere else here, and the data to call them with.
The user's functions run under the handlers of :mod:`scribeviz.models.custom.effects`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PRNGKeyArray

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts
from scribeviz.models.custom import arguments as custom_arguments
from scribeviz.models.custom import checks as custom_checks
from scribeviz.models.custom import sites as custom_sites
from scribeviz.models.custom.arguments import CustomModelError
from scribeviz.models.custom.effects import FloatParams, SharedPlates
from scribeviz.models.custom.params import ParamSpec
from scribeviz.models.custom.programs import programs_of

type CustomArgs = Mapping[str, Any] | Callable[[Counts], Mapping[str, Any]]
type Data = Mapping[str, ArrayLike]

DENSE_BUDGET = 4_000_000_000  # bytes: the most that a dense block of counts may take
_BYTES_PER_COUNT = 4  # int32


@shown_by_fields
@dataclass(frozen=True, kw_only=True, eq=False)
class CustomModel:
    """A user's own model, for any data set.

    Attributes
    ----------
    key
        Name in specs and files: letters, digits, ``_`` and ``-``.
    label
        Name on screen; the key when left out.
    use_when
        One sentence for the picker.
    model, guide
        NumPyro functions with the same arguments: ``n_cells``, ``n_genes``, priors, ``counts``,
        custom arguments and ``batch_size`` (the last only for fits in batches).  They are called by
        name.  Without ``counts`` the model predicts: it samples ``counts``.
    param_spec
        For every parameter ``{"type": "global" | "gene-specific" | "cell-specific"}``, and
        ``"component_specific": True`` where it varies by component.
    prior_params
        Values of the arguments of the priors; the functions' defaults where left out.
    custom_args
        Values of the other arguments, or a function that makes them from a
        :class:`~scribeviz.data.counts.Counts`.  Arrays have one entry (row) per cell or gene and
        are known only with data; all else, tuples too, is a setting and is also given when the
        model predicts.
    n_components
        Number of components, where parameters vary by component; given to the functions if they
        have an argument of that name.
    get_distributions_fn
        ``(params, backend="scipy") -> {site: distribution}``.
    get_model_args_fn
        ``results -> arguments`` of a model that predicts.
    custom_log_likelihood_fn
        ``(counts, params) -> log-likelihood``.

    Raises
    ------
    CustomModelError, TypeError
        If the description contradicts itself; what depends on data is found by :func:`check`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpyro
    >>> import numpyro.distributions as dist
    >>> import scribeviz
    >>> def model(n_cells, n_genes, counts=None):
    ...     rate = numpyro.sample("rate", dist.Gamma(1.0, 1.0).expand([n_genes]).to_event(1))
    ...     with numpyro.plate("cells", n_cells):
    ...         numpyro.sample("counts", dist.Poisson(rate).to_event(1), obs=counts)
    >>> def guide(n_cells, n_genes, counts=None):
    ...     alpha = numpyro.param("alpha", jnp.ones(n_genes), constraint=dist.constraints.positive)
    ...     beta = numpyro.param("beta", jnp.ones(n_genes), constraint=dist.constraints.positive)
    ...     numpyro.sample("rate", dist.Gamma(alpha, beta).to_event(1))
    >>> of_gene = {"type": "gene-specific"}
    >>> parameters = {"alpha": of_gene, "beta": of_gene}
    >>> mine = scribeviz.CustomModel(
    ...     key="my-poisson", model=model, guide=guide, param_spec=parameters
    ... )
    >>> mine.details
    'Parameters: alpha (gene-specific), beta (gene-specific)'
    """

    key: str
    label: str = ""
    use_when: str = ""
    model: Callable[..., Any]
    guide: Callable[..., Any]
    param_spec: ParamSpec
    prior_params: Mapping[str, Any] = field(default_factory=dict)
    custom_args: CustomArgs = field(default_factory=dict)
    n_components: int | None = None
    get_distributions_fn: Callable[..., Mapping[str, Any]] | None = None
    get_model_args_fn: Callable[..., Mapping[str, Any]] | None = None
    custom_log_likelihood_fn: Callable[..., Any] | None = None

    @property
    def details(self) -> str:
        """Its parameters, in a line."""
        named = (f"{name} ({entry['type']})" for name, entry in self.param_spec.items())
        return f"Parameters: {', '.join(named)}"

    def __post_init__(self) -> None:
        custom_checks.check_description(self)
        object.__setattr__(self, "label", self.label or self.key)


@shown_by_fields
@dataclass(frozen=True, kw_only=True, eq=False)
class BoundModel:
    """A user's model for a data set of this size; :func:`bind` makes it from data.

    Attributes
    ----------
    custom
        The model's description.
    n_cells, n_genes
        Size of the data.
    batch_size
        Cells per step; ``None`` for all of them.
    settings
        The custom arguments that are no arrays.
    model_args
        What :meth:`with_model_args` was given.
    """

    custom: CustomModel
    n_cells: int
    n_genes: int
    batch_size: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_args: Mapping[str, Any] = field(default_factory=dict)

    def model(self, data: Data | None = None) -> Any:
        """Run the user's model, a NumPyro function.

        Parameters
        ----------
        data
            Arrays by the name of the user's argument, ``"counts"`` among them; what is left out
            has the user's default.  Without ``"counts"`` the model predicts.
        """
        return self._run(self.custom.model, data)

    def guide(self, data: Data | None = None) -> Any:
        """Run the user's guide, a NumPyro function; ``data`` as for :meth:`model`."""
        return self._run(self.custom.guide, data)

    def sample_posterior(
        self, key: PRNGKeyArray, n_draws: int, params: Mapping[str, ArrayLike]
    ) -> dict[str, np.ndarray]:
        """Draw every site from the guide, of all cells; each with a leading axis of draws."""
        arrays = {name: jnp.asarray(value) for name, value in params.items()}
        drawn = programs_of(self).posterior(key, arrays, n_draws=n_draws)
        return {name: np.asarray(value) for name, value in drawn.items()}

    def with_model_args(self, args: Mapping[str, Any]) -> "BoundModel":
        """Predict with these arguments, as ``get_model_args_fn`` gives them, over all others."""
        custom_checks.check_model_args(self.custom, args)
        return replace(self, model_args=dict(args))

    def _run(self, function: Callable[..., Any], data: Data | None) -> Any:
        arguments = self._arguments(function, data or {})
        with SharedPlates(), FloatParams():
            return function(**arguments)

    def _arguments(self, function: Callable[..., Any], data: Data) -> dict[str, Any]:
        # Arrays of JAX: NumPy's cannot be indexed by the cells of a batch.
        given = {name: jnp.asarray(value) for name, value in data.items()}
        predicts = "counts" not in given
        arguments: dict[str, Any] = {
            "n_cells": self.n_cells,
            "n_genes": self.n_genes,
            "counts": None,
        }
        signature = custom_arguments.Signature.of(function)
        if signature.accepts("batch_size"):
            arguments["batch_size"] = None if predicts else self.batch_size
        if signature.accepts("n_components") and self.custom.n_components is not None:
            arguments["n_components"] = self.custom.n_components
        arguments |= {**self.custom.prior_params, **self.settings}
        arguments |= given
        if predicts:
            arguments |= self.model_args
        custom_checks.check_complete(self.custom, function, arguments, predicts=predicts)
        return arguments


def dense_data(counts: Counts) -> dict[str, Array]:
    """Counts as a dense ``int32`` block, for a model that needs one.

    Raises
    ------
    CustomModelError
        If the block would take more than ``DENSE_BUDGET``; nothing was allocated then.
    """
    check_dense_size(counts)
    return {"counts": jnp.asarray(counts.matrix.toarray())}


def check_dense_size(counts: Counts) -> None:
    """Raise ``CustomModelError`` if ``counts`` as a dense block would exceed ``DENSE_BUDGET``."""
    needed = counts.n_cells * counts.n_genes * _BYTES_PER_COUNT
    if needed > DENSE_BUDGET:
        affordable = DENSE_BUDGET // _BYTES_PER_COUNT
        raise CustomModelError(
            f"{counts.name} as a dense matrix takes {needed / 1e9:.4g} GB ({counts.n_cells:,} "
            f"cells by {counts.n_genes:,} genes, {_BYTES_PER_COUNT} bytes each), and a custom "
            f"model may have {DENSE_BUDGET / 1e9:g} GB.  Choose at most "
            f"{affordable // counts.n_cells:,} genes, or at most {affordable // counts.n_genes:,} "
            "cells; the built-in models need no dense matrix."
        )


def bind(
    custom: CustomModel, counts: Counts, *, batch_size: int | None = None
) -> tuple[BoundModel, dict[str, Array]]:
    """Make ``custom`` a model of ``counts``: everything is checked before the first step.

    Parameters
    ----------
    custom
        The model.
    counts
        Data; they become dense.
    batch_size
        Cells per step; ``None``, 0 and the number of cells mean all of them.

    Returns
    -------
    bound
        Its ``model`` and ``guide`` are functions of ``data``.
    data
        The dense counts and the custom arguments that are arrays.

    Raises
    ------
    CustomModelError, TypeError
        If the model does not fit the data, or the data do not fit the memory budget; the message
        says where and what to do.
    """
    bound, arrays = _checked(custom, counts, batch_size)
    return bound, dense_data(counts) | arrays


def check(custom: CustomModel, counts: Counts, *, batch_size: int | None = None) -> None:
    """Raise what :func:`bind` would raise, without making anything dense."""
    _checked(custom, counts, batch_size)


def _checked(
    custom: CustomModel, counts: Counts, batch_size: int | None
) -> tuple[BoundModel, dict[str, Array]]:
    check_dense_size(counts)
    arrays, settings = custom_arguments.split(custom, counts)
    bound = BoundModel(
        custom=custom,
        n_cells=counts.n_cells,
        n_genes=counts.n_genes,
        batch_size=custom_checks.checked_batch_size(custom, counts.n_cells, batch_size),
        settings=settings,
    )
    shape = (counts.n_cells, counts.n_genes)
    shapes = {"counts": jax.ShapeDtypeStruct(shape, jnp.int32)}
    shapes |= {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in arrays.items()}
    custom_sites.check_sites(bound, shapes)
    return bound, arrays
