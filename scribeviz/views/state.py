"""What one browser session knows.  Plain ``param``: it runs in a test without a server."""

import os
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import param

from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.examples import demo
from scribeviz.data.folder import DataFile, list_files, resolve
from scribeviz.data.readers import OpenFile
from scribeviz.data.uploads import save_upload
from scribeviz.inference.nuts import NUTSConfig
from scribeviz.inference.svi import SVIConfig
from scribeviz.methods import METHODS
from scribeviz.models.custom_registry import CUSTOM_MODELS, CustomSpec, OwnModel
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import PARAMETERIZATIONS, Site
from scribeviz.models.priors import PRIOR_FAMILIES, Prior
from scribeviz.models.spec import ModelSpec
from scribeviz.networks.spec import CELLVAE, CellVAE
from scribeviz.runs.choices import ChosenModel, kind_of
from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.runs.store import RunStore
from scribeviz.views.explore_state import ExploreState
from scribeviz.views.forms import Form, form_for

PLACES = ("Data", "Model", "Fit", "Explore", "Compare")
EXAMPLE = "example"
_MOST_COMPONENTS = 20


@dataclass(frozen=True, slots=True)
class OpenedData:
    """A data set as it was opened: its counts, and what else the file holds.

    Attributes
    ----------
    source
        ``"example"``, or the file's name in the data folder: what a link may say.
    file
        To take another layer from; None for the example.
    sources
        Per place that may hold counts ("X", "raw", layers), why it does not; empty if it does.
    layer
        The place that the counts are from.
    counts
        The counts; None if that place does not hold any.
    problem, use_layer
        Why not, and which other place does.
    """

    source: str
    file: OpenFile | None
    sources: dict[str, str]
    layer: str
    counts: Counts | None
    problem: str = ""
    use_layer: str | None = None


@lru_cache(maxsize=1)
def open_example() -> OpenedData:
    """Open the built-in example."""
    return OpenedData(EXAMPLE, None, {"X": ""}, "X", demo())


def open_data(folder: Path, name: str) -> OpenedData:
    """Open a file of the data folder.

    Raises
    ------
    CountsError
        If it is not there, or no file of counts at all.
    """
    if name == EXAMPLE:
        return open_example()
    return take_layer(name, OpenFile(resolve(folder, name)), "X")


def take_layer(source: str, file: OpenFile, layer: str) -> OpenedData:
    """Take the counts from one place of an opened file, or say why there are none."""
    try:
        # Relative to the data folder: no path of the server is told.
        chosen = "" if layer == "X" else f", layer={layer!r}"
        counts = replace(file.counts(layer), read_by=f"scribeviz.read({source!r}{chosen})")
    except CountsError as problem:
        return OpenedData(source, file, file.sources, layer, None, str(problem), problem.use_layer)
    return OpenedData(source, file, file.sources, layer, counts)


class DataState(param.Parameterized):
    """Which data set is open."""

    folder = param.ClassSelector(class_=Path, constant=True, doc="The data folder.")
    opened = param.ClassSelector(class_=OpenedData, doc="What was opened last.")
    problem = param.String("", doc="Why nothing could be opened.")
    busy = param.String("", doc="What is going on, in words.")
    counts = param.ClassSelector(class_=Counts, doc="The counts that a model will see.")

    upload_limit_bytes = 500_000_000

    def files(self) -> list[DataFile]:
        """What can be opened."""
        return list_files(self.folder)

    def show(self, opened: OpenedData) -> None:
        """Make ``opened`` the data set of this session."""
        self.param.update(opened=opened, problem="", counts=opened.counts)

    def refuse(self, problem: str) -> None:
        """Say why a file could not be opened; what was open stays open."""
        self.problem = problem

    def receive(self, filename: str, content: bytes) -> str:
        """Keep an upload in the data folder; gives its name there."""
        path = save_upload(self.folder, filename, content, self.upload_limit_bytes)
        return path.relative_to(self.folder).as_posix()


class PriorState(param.Parameterized):
    """The prior of one parameter, as chosen."""

    prior = param.ClassSelector(class_=Prior, doc="A family and its numbers.")

    def __init__(self, site: Site) -> None:
        super().__init__(prior=site.prior)
        self.site = site

    def choose_family(self, key: str) -> None:
        """Change the family, with its own first numbers."""
        if key == self.prior.family:
            return
        defaults = tuple(p.default for p in PRIOR_FAMILIES[key].parameters)
        is_own = key == self.site.prior.family
        self.prior = self.site.prior if is_own else Prior(key, defaults)


def prior_numbers(state: PriorState) -> param.Parameterized:
    """The numbers of the chosen family as a form, which writes them back."""
    family = PRIOR_FAMILIES[state.prior.family]
    entries = {
        parameter.name: param.Number(number, bounds=parameter.bounds, label=parameter.label)
        for parameter, number in zip(family.parameters, state.prior.numbers, strict=True)
    }
    form = param.parameterized_class(f"{family.key}_numbers", entries)()

    def write(*_: param.parameterized.Event) -> None:
        state.prior = Prior(family.key, tuple(float(getattr(form, name)) for name in entries))

    form.param.watch(write, list(entries))
    return form


class ModelState(param.Parameterized):
    """Which model is chosen."""

    likelihood = param.Selector(objects=list(LIKELIHOODS), doc="Key of it, or of a custom model.")
    parameterization = param.Selector(objects=list(PARAMETERIZATIONS), doc="Key of it.")
    n_components = param.Integer(
        1,
        bounds=(1, _MOST_COMPONENTS),
        label="Number of components",
        doc="Groups of cells, each with its own profile; 1 means no mixture.",
    )
    component_specific_params = param.Boolean(
        False, label="Each component has its own p", doc="Or its own odds φ; else one for all."
    )
    unconstrained = param.Boolean(
        False, label="Unconstrained", doc="Normal priors on log and log-odds scales."
    )
    guide_rank = param.Integer(
        0,
        bounds=(0, 50),
        label="Directions in which genes vary together",
        doc="0: every parameter varies by itself. A few: slower, with more honest intervals.",
    )
    total_mrna = param.Number(
        0.0,
        bounds=(0.0, 1e8),
        label="mRNA molecules in a cell",
        doc="Typical number, to tell capture from expression; 0 leaves their level open.",
    )
    priors = param.Dict({}, doc="PriorState of every parameter of the chosen model, by its key.")
    network = param.ClassSelector(class_=Form, constant=True, doc="The settings of a CellVAE.")

    def __init__(self, **params: Any) -> None:
        super().__init__(network=form_for(CellVAE), **params)
        self.param.likelihood.objects = [*LIKELIHOODS, CELLVAE, *CUSTOM_MODELS]
        self._known: dict[tuple[str, str], PriorState] = {}
        self._offer_priors()

    @property
    def custom(self) -> OwnModel | None:
        """The chosen model, where it is a user's own."""
        return CUSTOM_MODELS.get(self.likelihood)

    @property
    def is_of_counts(self) -> bool:
        """Whether the chosen model is a built-in one with parameters that carry priors."""
        return self.likelihood in LIKELIHOODS

    @property
    def is_cellvae(self) -> bool:
        """Whether the chosen model is the built-in network."""
        return self.likelihood == CELLVAE

    @property
    def has_capture(self) -> bool:
        """Whether the chosen model gives each cell a capture probability."""
        return self.is_of_counts and LIKELIHOODS[self.likelihood].has_capture

    @property
    def is_mixture(self) -> bool:
        """Whether the chosen model has several components."""
        return self.is_of_counts and self.n_components > 1

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the ways to fit the chosen model, the usual one first."""
        return kind_of(self.spec()).methods

    @param.depends("likelihood", "parameterization", "n_components", "unconstrained", watch=True)
    def _offer_priors(self) -> None:
        sites = self._without_priors().sites if self.is_of_counts else ()
        for site in sites:
            key = (self.parameterization, site.key)
            if key not in self._known:  # a choice is kept while others change
                self._known[key] = PriorState(site)
        priors = {site.key: self._known[self.parameterization, site.key] for site in sites}
        if list(priors) != list(self.priors):
            self.priors = priors

    def spec(self) -> ChosenModel:
        """The model as chosen."""
        if self.custom is not None:
            return CustomSpec(self.likelihood)
        if self.is_cellvae:
            return self.network.value()
        plain = self._without_priors()
        own = {site.key: site.prior for site in plain.sites}
        chosen = {key: state.prior for key, state in self.priors.items()}
        changed = tuple((key, prior) for key, prior in chosen.items() if prior != own[key])
        return replace(plain, priors=changed)

    def show(self, spec: ChosenModel) -> None:
        """Choose what ``spec`` says."""
        if isinstance(spec, CustomSpec):
            self.likelihood = spec.key
            return
        if isinstance(spec, CellVAE):
            self.likelihood = CELLVAE
            self.network.param.update(**{f.name: getattr(spec, f.name) for f in fields(spec)})
            return
        settings = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name != "priors"}
        self.param.update(**settings)
        for site in spec.sites:
            self.priors[site.key].prior = spec.prior(site)

    def _without_priors(self) -> ModelSpec:
        # What does not apply to the chosen model is kept for later, and left out.
        return ModelSpec(
            likelihood=self.likelihood,
            parameterization=self.parameterization,
            n_components=self.n_components,
            unconstrained=self.unconstrained,
            component_specific_params=self.component_specific_params and self.is_mixture,
            guide_rank=self.guide_rank,
            total_mrna=self.total_mrna if self.has_capture else 0.0,
        )


class FitState(param.Parameterized):
    """The run that is looked at, and how far it is."""

    store = param.ClassSelector(class_=RunStore, constant=True, doc="All runs.")
    method = param.Selector(objects=list(METHODS), doc="Key of the way to find a posterior.")
    configs = param.Dict(constant=True, doc="Per method the form of its settings.")
    run = param.ClassSelector(class_=RunFolder, doc="The run that is looked at.")
    status = param.ClassSelector(class_=RunStatus, doc="How far it is.")
    losses = param.Array(np.zeros(0), doc="Its losses so far, in nats.")
    validation = param.Tuple(
        (np.zeros(0, int), np.zeros(0)),
        doc="Steps after which cells that are not trained on were scored, and their loss.",
    )
    history = param.List([], doc="All runs with their status, newest first.")

    def __init__(self, **params: Any) -> None:
        configs = {key: form_for(method.config) for key, method in METHODS.items()}
        super().__init__(configs=configs, **params)

    @property
    def config(self) -> Form:
        """The settings of the chosen method."""
        return self.configs[self.method]

    def start(self, counts: Counts, spec: ChosenModel) -> RunFolder:
        """Queue a fit and look at it."""
        before = self.start_of(counts, spec)
        config = self.config.value()
        start_from = "" if before is None else before.id
        run = self.store.submit(counts, spec, config, start_from)
        self.look_at(run)
        return run

    def start_of(self, counts: Counts, spec: ChosenModel) -> RunFolder | None:
        """The newest variational fit of the same model and data, for a sampler to start from."""
        if METHODS[self.method].config is not NUTSConfig:
            return None
        for run, status in self.history:
            same = run.spec.model == spec and run.spec.fingerprint == counts.fingerprint
            usable = status.state is RunState.DONE and isinstance(run.spec.config, SVIConfig)
            if same and usable:
                return run
        return None

    def stop(self) -> None:
        """End the run at its next checkpoint."""
        if self.run is not None:
            self.store.stop(self.run)
            self.refresh()

    def resume(self) -> None:
        """Go on with the run from its last checkpoint."""
        if self.run is not None:
            self.store.resume(self.run)
            self.refresh()

    def look_at(self, run: RunFolder) -> None:
        """Show ``run`` from now on."""
        losses, validation = run.traces
        self.param.update(run=run, status=run.status, losses=losses, validation=validation)
        self.refresh()

    def refresh(self) -> None:
        """Copy the news from disk into this session; the page calls it on a timer."""
        history = self.store.statuses()
        # Progress alone does not count: the list would be drawn anew all the time.
        if [(run.id, now.state) for run, now in history] != [
            (run.id, before.state) for run, before in self.history
        ]:
            self.history = history
        if self.run is None:
            return
        status = self.run.status
        if status != self.status:
            grown: dict[str, Any] = {}
            if status.step != self.losses.size:
                losses, validation = self.run.traces
                grown = {"losses": losses, "validation": validation}
            self.param.update(status=status, **grown)

    @property
    def can_stop(self) -> bool:
        """Whether there is something to stop."""
        return self.status is not None and not self.status.state.is_over

    @property
    def can_resume(self) -> bool:
        """Whether the run ended before it was done and can go on."""
        if self.run is None or self.status is None or not self.run.has_checkpoint:
            return False
        unfinished = {RunState.STOPPED, RunState.FAILED, RunState.INTERRUPTED}
        return self.status.state in unfinished


class Session(param.Parameterized):
    """One browser session: where it is, and the state of every place."""

    place = param.Selector(default="Data", objects=list(PLACES), doc="Where the user is.")

    def __init__(self, store: RunStore, folder: Path) -> None:
        super().__init__()
        self.data = DataState(folder=folder)
        self.model = ModelState()
        self.fit = FitState(store=store)
        self.explore = ExploreState()

    @property
    def _is_ready(self) -> bool:
        return self.fit.run is not None and self.fit.run.has_results

    def is_open(self, place: str) -> bool:
        """Whether the input that a place needs exists."""
        needs = {
            "Data": True,
            "Model": self.data.counts is not None,
            "Fit": self.data.counts is not None or bool(self.fit.history),
            "Explore": self.explore.explored is not None or self._is_ready,
            "Compare": self.data.counts is not None or bool(self.fit.history),
        }
        return needs[place]


def default_folder() -> Path:
    """Where data are opened from: ``SCRIBEVIZ_DATA``, or the current folder."""
    return Path(os.environ.get("SCRIBEVIZ_DATA", ".")).resolve()
