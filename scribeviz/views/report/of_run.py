"""The report of one fit: what it was made of, how it ended, and what it gets wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scribeviz.criticism.loo import CellScores
from scribeviz.criticism.misfit import AS_EXPECTED, residuals_of_all
from scribeviz.criticism.next_step import digest, next_step
from scribeviz.fitting.kinds import known_kind_of
from scribeviz.fitting.methods import method_of
from scribeviz.models.priors import prior_family
from scribeviz.plots.genes import LEGEND as GENES_LEGEND
from scribeviz.plots.genes import coverage, mean_variance, mean_zeros
from scribeviz.plots.loss import loss_curve, thinned_loss
from scribeviz.plots.matrix import log_histogram
from scribeviz.plots.ppc import LEGEND as PPC_LEGEND
from scribeviz.plots.ppc import library_histogram, ppc_histogram, residual_histogram
from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.runs.script import explore_code
from scribeviz.views.compare.compare_state import settings_of, settings_of_model
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import Explored, fitted_results
from scribeviz.views.model.prior_words import prior_in_words
from scribeviz.views.report.document import Picture, Report, Section, Table, titled
from scribeviz.views.report.of_cells import cells_section, components_section
from scribeviz.views.shared.parts import in_words, short, when

_LISTED, _DRAWN = 20, 6  # of the worst genes
_NAMED = 20  # genes that were left out
_TAIL = 50  # losses that are averaged, of a method whose losses scatter

type Run = RunFolder | None


def run_report(explored: Explored) -> Report:
    """All there is to say of a fit, in the order in which one asks."""
    run = None if explored.path is None else RunFolder(explored.path)
    state = ExploreState()
    state.show(explored)
    parts = [
        data_section(explored, run),
        _model_section(explored),
        _fit_section(explored, run),
        _verdict_section(state, run),
        _worst_section(state),
        cells_section(state),
        components_section(state),
        _settings_section(explored, run),
        *_repeating(explored, run),
    ]
    return Report(
        title=capitalized(f"{_described(explored, run)} on {explored.counts.name}"),
        lead=_lead(run),
        figures=_figures(explored, run),
        sections=[part for part in parts if part is not None],
    )


def _described(explored: Explored, run: Run) -> str:
    return explored.model.described if run is None else run.spec.described


def _lead(run: Run) -> str:
    if run is None:
        return "A fit that was made in Python and handed over as it is."
    return f"Run {run.id}, started {when(run.spec.created)}."


def _figures(explored: Explored, run: Run) -> dict[str, str]:
    genes, counts = explored.critique.genes, explored.counts
    good = float((genes["problem"] == AS_EXPECTED).mean())
    figures = {
        "cells": f"{counts.n_cells:,}",
        "genes": f"{counts.n_genes:,}",
        "genes as expected": f"{good:.1%}",
    }
    if explored.model.is_mixture:
        figures["components"] = f"{explored.model.n_components:,}"
    if run is not None:
        figures["time of the fit"] = in_words(run.status.seconds)
    return figures


def data_section(explored: Explored, run: Run) -> Section:
    """The counts that were fitted."""
    counts = explored.counts
    low, middle, high = np.percentile(counts.cell_totals, (5, 50, 95))
    left_out = explored.left_out_genes
    facts = {
        "name": counts.name,
        "cells": f"{counts.n_cells:,}",
        "genes that were fitted": f"{counts.n_genes:,}",
        "counts in all (UMIs)": f"{counts.cell_totals.sum():,.0f}",
        "counts per cell (UMIs)": f"{middle:,.0f} (median); nine in ten cells have {low:,.0f} to "
        f"{high:,.0f}",
        "entries that are zero": f"{counts.sparsity:.1%}",
    }
    if left_out.size:
        more = f" and {left_out.size - _NAMED:,} more" if left_out.size > _NAMED else ""
        named = ", ".join(map(str, left_out[:_NAMED]))
        facts["without counts, left out"] = f"{left_out.size:,}: {named}{more}"
    if run is not None:
        facts["kept for the fit"] = settings_of(run)["cells and genes"]
    facts["fingerprint of the data"] = explored.fingerprint
    picture = log_histogram(counts.cell_totals, xlabel="counts of the cell (UMIs)")
    return Section(
        key="data",
        title="Data",
        sentences=list(counts.notes),
        facts=facts,
        pictures=[titled(picture, "Depth of the cells", "Cells by their total counts.")],
    )


def _model_section(explored: Explored) -> Section:
    model: Any = explored.model
    if not explored.has_priors:
        return Section(
            key="model",
            title="Model",
            sentences=[
                capitalized(f"{model.described}."),
                (
                    "Its parameters carry no priors that scribeviz knows; what was set is listed "
                    "under Settings."
                ),
            ],
        )
    rows = []
    for site in model.sites:
        prior = model.prior(site)
        family = prior_family(prior.family)
        numbers = ", ".join(f"{number:g}" for number in prior.numbers)
        rows.append(
            (
                site.label,
                site.key,
                family.label if prior.is_learned else f"{family.label} ({numbers})",
                prior_in_words(site, prior, model.n_components),
            )
        )
    heads = ("Parameter", "Name in code", "Prior", "What it says")
    table = Table(columns=heads, rows=rows, texts=heads, caption="Parameters and their priors.")
    return Section(
        key="model", title="Model", sentences=[capitalized(f"{model.described}.")], tables=[table]
    )


def _fit_section(explored: Explored, run: Run) -> Section:
    """How the fit went, whether it had settled, and what can be read from it."""
    notes = explored.critique.notes
    if run is None:
        results: Any = fitted_results(explored)
        losses = np.asarray(results.loss_history, dtype=float)
        ended = "The fit settled." if results.settled else "The fit ended before it had settled."
        facts = {"losses": f"{losses.size:,}"} | _last(losses, 1)
        curve = thinned_loss(losses)
        return _about_the_fit([ended, *notes], facts, curve, losses, "steps", "")
    status, method = run.status, method_of(run.spec.config)
    losses, validation = run.traces
    facts = {
        "method": method.label,
        method.unit: f"{status.step:,}",
        "time": in_words(status.seconds),
    } | _last(losses, _TAIL if method.is_noisy else 1)
    if status.device:
        facts["device"] = status.device
    if validation[0].size:
        facts["lowest loss of cells not trained on (nats)"] = f"{float(validation[1].min()):,.1f}"
    curve = thinned_loss(losses, validation=validation if validation[0].size else None)
    ended = how_it_ended(status, method.settled, method.finished, method.unit)
    return _about_the_fit([ended, *notes], facts, curve, losses, method.unit, method.trace_doc)


def _last(losses: np.ndarray, n_averaged: int) -> dict[str, str]:
    if not losses.size:
        return {}
    last = losses[-n_averaged:]
    name = "last loss (nats)" if last.size == 1 else f"loss, mean of the last {last.size} (nats)"
    return {name: f"{float(last.mean()):,.1f}"}


def _about_the_fit(
    sentences: Sequence[str],
    facts: Mapping[str, str],
    curve: dict[str, np.ndarray],
    losses: np.ndarray,
    unit: str,
    caption: str,
) -> Section:
    pictures = [titled(loss_curve(curve, unit=unit), "Loss", caption)] if losses.size > 1 else []
    return Section(
        key="fit", title="Convergence", sentences=sentences, facts=facts, pictures=pictures
    )


def how_it_ended(status: RunStatus, settled: str, finished: str, unit: str) -> str:
    """Whether a run settled, ran out of steps or was stopped, in a sentence."""
    took = f"{status.step:,} {unit}"
    if status.state is not RunState.DONE:
        return f"The fit was {status.state.value} after {took}: what follows is of its last state."
    return capitalized((settled if status.settled else finished).format(took=took)) + "."


def _small(share: float) -> str:
    """A share of which it matters how far it is below one in twenty."""
    if pd.isna(share):
        return "-"
    return "< 0.001" if share < 0.001 else f"{share:.3f}"


def capitalized(sentence: str) -> str:
    """The sentence as it begins a line."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def _verdict_section(state: ExploreState, run: Run) -> Section:
    """What is off over all genes, how cells are predicted, and what to try next."""
    explored = state.explored
    critique, counts = explored.critique, explored.counts
    genes, library = critique.genes, state.library()
    pictures = [
        titled(
            mean_variance(genes)[1],
            "Scatter and mean",
            "Each point is a gene; the line is what the model expects of genes with that mean.",
            legend=GENES_LEGEND,
        ),
        titled(
            mean_zeros(genes)[1],
            "Zeros and mean",
            "The share of cells without the gene, observed and expected.",
            legend=GENES_LEGEND,
        ),
        titled(
            residual_histogram(residuals_of_all(genes), 0),
            "Residuals of all genes",
            "Where each count lies within its prediction: flat is right, high ends mean that "
            "counts vary more than predicted.",
        ),
        titled(
            coverage(genes),
            "Nominal and true coverage",
            "How many counts lie within the central intervals of their prediction: on average over "
            "genes (line), and in nine of ten genes (band). Dashed is right.",
        ),
        titled(
            library_histogram(library.edges, library.observed, library.bands),
            "Total counts of cells",
            "Whether the model knows how deep cells are.",
            legend=PPC_LEGEND,
        ),
    ]
    return Section(
        key="verdict",
        title="What the model gets wrong",
        sentences=[*_next_step(explored), *_about_scores(explored, run)],
        facts=_score_facts(critique.scores, run),
        tables=[digest_table(genes, counts.n_cells)],
        pictures=pictures,
    )


def digest_table(genes: pd.DataFrame, n_cells: int) -> Table:
    """How many genes are off in which way."""
    rows = [
        (entry.problem, f"{len(entry.genes):,}", f"{len(entry.genes) / len(genes):.1%}")
        for entry in digest(genes, n_cells)
    ]
    return Table(
        columns=("Genes by what is off", "Genes", "Share of the genes"),
        rows=rows,
        texts=("Genes by what is off",),
        caption="A gene is called off where the share of false alarms among genes as unlikely is "
        "below 5%; one whose mean is off is counted a second time for that.",
    )


def _next_step(explored: Explored) -> list[str]:
    if not explored.has_priors:
        return []
    model: Any = explored.model
    step = next_step(model, explored.critique.genes, explored.counts)
    if step is None:
        return ["No other model is called for by what these checks see."]
    return [f"{step.why} To be tried next: {step.model.described}."]


def _about_scores(explored: Explored, run: Run) -> list[str]:
    if explored.critique.scores is None:
        return ["Unseen cells are not scored: this fit gives no log-probabilities of single cells."]
    kind = known_kind_of(explored.model)
    in_folds = run is not None and run.fold_scores is not None
    if in_folds or (kind is not None and not kind.scored_in_folds):
        return []
    return [
        (
            "The score rests on one fit, which for such a model is too hopeful: before it is "
            "compared with others it has to be cross-validated."
        )
    ]


def _score_facts(scores: CellScores | None, run: Run) -> dict[str, str]:
    facts = {} if scores is None else _elpd(scores)
    folds = None if run is None else run.fold_scores
    return facts if folds is None else facts | _elpd(folds)


def _elpd(scores: CellScores) -> dict[str, str]:
    facts = {
        f"elpd of unseen cells, {scores.method} (nats)": f"{scores.total:,.0f} ± "
        f"{scores.standard_error:,.0f}"
    }
    if scores.n_unreliable:
        facts["cells whose score is not to be relied on"] = f"{scores.n_unreliable:,}"
    return facts


def _worst_section(state: ExploreState) -> Section:
    """The genes that the model is most wrong about, as a table and as pictures."""
    worst = state.listed().head(_LISTED)
    return Section(
        key="genes",
        title="Worst genes",
        sentences=[
            (
                "The misfit is the share of cells that would have to show another count for the "
                "gene to look as the model expects, less what chance does. The FDR is the share of "
                "false alarms among genes whose counts are as unlikely."
            )
        ],
        tables=[genes_table(worst)],
        pictures=[_gene_picture(state, str(gene)) for gene in worst["gene"].head(_DRAWN)],
    )


_GENE_COLUMNS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "gene": ("Gene", str),
    "problem": ("Problem", str),
    "misfit": ("Misfit (cells)", "{:.1%}".format),
    "fdr": ("FDR", _small),
    "mean": ("Mean (UMIs)", short),
    "predicted_mean": ("Model mean (UMIs)", short),
    "zeros": ("Zeros (cells)", "{:.1%}".format),
    "predicted_zeros": ("Model zeros (cells)", "{:.1%}".format),
}


def genes_table(genes: pd.DataFrame) -> Table:
    """Genes, observed beside predicted."""
    shown = [[write(value) for value in genes[name]] for name, (_, write) in _GENE_COLUMNS.items()]
    return Table(
        columns=[head for head, _ in _GENE_COLUMNS.values()],
        rows=list(zip(*shown, strict=True)),
        texts=("Gene", "Problem"),
    )


def _gene_picture(state: ExploreState, gene: str) -> Picture:
    check = state.gene_check(gene)
    picture = ppc_histogram(check.edges, check.observed, check.bands, log=False)
    return titled(picture, gene, check.verdict, legend=PPC_LEGEND)


def _settings_section(explored: Explored, run: Run) -> Section:
    settings = settings_of_model(explored.model) if run is None else settings_of(run)
    sentences = (
        ["Those of the model; how it was fitted is not kept with a result in memory."]
        if run is None
        else []
    )
    return Section(key="settings", title="Settings", sentences=sentences, facts=settings)


def _repeating(explored: Explored, run: Run) -> list[Section]:
    """The Python that does it again, and the versions that did it."""
    if run is None:
        reason = "This result was handed over from Python: the code that made it is not known."
        return [Section(key="python", title="Python", sentences=[reason])]
    worst = str(explored.critique.genes.nlargest(1, "misfit")["gene"].iloc[0])
    return [
        Section(
            key="python",
            title="Python",
            sentences=["This repeats the fit and the check of its worst gene."],
            code=explore_code(run, worst),
        ),
        versions_section(run),
    ]


def versions_section(run: RunFolder) -> Section:
    """What the run was made with."""
    return Section(key="versions", title="Versions", facts=dict(run.spec.versions))
