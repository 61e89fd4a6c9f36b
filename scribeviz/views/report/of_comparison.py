"""The report of a comparison: who predicts unseen cells best, and for which genes."""

import pandas as pd

from scribeviz.fitting.methods import method_of
from scribeviz.plots.compare import entropies_beside, gene_differences, losses_beside
from scribeviz.plots.ppc import LEGEND, highest, ppc_histogram
from scribeviz.runs.folder import RunFolder
from scribeviz.views.compare.compare_state import CompareState
from scribeviz.views.compare.wording import COLUMNS, HOW_TO_READ, compared_in_words
from scribeviz.views.explore.explored import Explored
from scribeviz.views.report.document import Picture, Report, Section, Table, titled
from scribeviz.views.report.of_run import (
    capitalized,
    data_section,
    digest_table,
    genes_table,
    how_it_ended,
    versions_section,
)
from scribeviz.views.shared.parts import in_words, short

_GENES, _WORST = 20, 5


def comparison_report(state: CompareState) -> Report:
    """What the Compare page says of the runs that are compared."""
    named = {name: (one, run_of(one)) for name, one in state.explored.items()}
    first, run = next(iter(named.values()))
    parts = [
        _verdict_section(state),
        _genes_section(state),
        _losses_section(state),
        _settings_section(state),
        _trust_section(state),
        data_section(first, run),
        *(_fit_section(i, name, *one) for i, (name, one) in enumerate(named.items())),
        Section(
            key="python",
            title="Python",
            sentences=["This fits the models again and makes the same table."],
            code=state.code(),
        ),
        versions_section(run),
    ]
    return Report(
        title=f"{' against '.join(state.table.index)} on {first.counts.name}",
        lead=f"Runs {', '.join(run.id for _, run in named.values())}.",
        figures={
            "models": f"{len(named)}",
            "cells": f"{first.counts.n_cells:,}",
            "genes": f"{first.counts.n_genes:,}",
        },
        sections=[part for part in parts if part is not None],
    )


def run_of(explored: Explored) -> RunFolder:
    """The folder of a run that is compared."""
    if explored.path is None:
        raise ValueError(f"{explored.name} is no run: only runs are compared.")
    return RunFolder(explored.path)


def _verdict_section(state: CompareState) -> Section:
    table = compared_in_words(state.table)
    shown = Table(
        columns=[f"{head}{_UNITS.get(name, '')}" for name, head in COLUMNS.items()],
        rows=table[list(COLUMNS)].to_numpy().tolist(),
        texts=("Model", "In words", "State", "Scored by"),
    )
    scored = bool(state.table["elpd_loo"].notna().any())
    return Section(
        key="verdict",
        title="Which model",
        warnings=[state.warning] if state.warning else [],
        sentences=[
            state.verdict if scored else "None of these models has scores of unseen cells.",
            HOW_TO_READ,
        ],
        tables=[shown],
    )


_UNITS = {"elpd_loo": " (nats)", "difference": " (nats)", "loss": " (nats)"}


def _genes_section(state: CompareState) -> Section | None:
    """The first two models gene by gene; None where no gene has a score."""
    first, second = state.pair
    if not first:
        return None
    genes = state.gene_differences()
    heads = ("Gene", "Mean (UMIs)", "Difference (nats)", f"Under {first}", f"Under {second}")
    rows = [
        (
            str(gene["gene"]),
            short(gene["mean"]),
            f"{gene['difference']:+,.1f}",
            str(gene["first_problem"]),
            str(gene["second_problem"]),
        )
        for gene in genes.head(_GENES).to_dict("records")
    ]
    wins = int((genes["difference"] > 0).sum())
    given = [name for name in state.pair if state.explored[name].has_latent_space]
    note = (
        f"{' and '.join(given)} knows each cell's place and total here, and was trained on most "
        "of these cells: genes can be ranked, but their sum does not say who predicts unseen cells "
        "best."
        if given
        else state.gene_note
    )
    return Section(
        key="genes",
        title="Gene by gene",
        sentences=[note],
        facts={
            f"genes for {first}": f"{wins:,}",
            f"genes for {second}": f"{len(genes) - wins:,}",
            "differences, summed (nats)": f"{genes['difference'].sum():+,.0f}",
        },
        tables=[
            Table(
                columns=heads,
                rows=rows,
                texts=(heads[0], *heads[3:]),
                caption=f"Where the models differ most: above 0, {first} predicts better.",
            )
        ],
        pictures=[
            titled(
                gene_differences(genes, first, second),
                "Who predicts which gene",
                f"Each point is a gene; in favour of {first} above the middle.",
            ),
            *_one_gene(state),
        ],
    )


def _one_gene(state: CompareState) -> list[Picture]:
    """The gene that is shown on the page, under both models and on the same axes."""
    checks = state.checks()
    top = max(highest(check.observed, check.bands) for check in checks.values())
    return [
        titled(
            ppc_histogram(check.edges, check.observed, check.bands, log=False, top=top),
            f"{state.gene} under {name}",
            check.verdict,
            legend=LEGEND,
        )
        for name, check in checks.items()
    ]


def _losses_section(state: CompareState) -> Section:
    losses = {name: values for name, values in state.losses().items() if values.size > 1}
    pictures = []
    if losses:
        pictures.append(titled(losses_beside(losses), "Losses", "Smoothed, by steps."))
    both = state.entropies()
    if both is not None:
        pictures.append(
            titled(
                entropies_beside(both, state.pair),
                "How sure both are of each cell",
                "Each point is a cell; 0 is certain.",
            )
        )
    return Section(key="losses", title="Losses and certainty", pictures=pictures)


def _settings_section(state: CompareState) -> Section:
    settings = state.differing_settings()
    if settings.empty:
        same = ["Nothing: the runs have the same settings."]
        return Section(key="settings", title="What differs", sentences=same)
    heads = ("Setting", *map(str, settings.columns))
    rows = [(str(name), *map(str, values)) for name, *values in settings.itertuples()]
    table = Table(columns=heads, rows=rows, texts=heads)
    return Section(key="settings", title="What differs", tables=[table])


def _trust_section(state: CompareState) -> Section | None:
    if state.trusted is None:
        return None
    name, table = state.trusted
    heads = ("Parameter", "Spread", "In nine of ten", "Shift", "Worst R-hat", "Verdict")
    rows = [
        (
            str(row["parameter"]),
            f"{row['spread']:.2f}",
            f"{row['spread_low']:.2f} to {row['spread_high']:.2f}",
            f"{row['shift']:.2f}",
            "-" if pd.isna(row["worst_r_hat"]) else f"{row['worst_r_hat']:.3f}",
            str(row["verdict"]),
        )
        for row in table.reset_index(names="parameter").to_dict("records")
    ]
    return Section(
        key="trust",
        title="Can the intervals be trusted?",
        sentences=[
            (
                f"{name} was fitted and sampled. The spread is the standard deviation of the fit "
                "over that of the sampler: 1 is right, less is too sure. The shift is how far "
                "apart their means are, in the sampler's standard deviations."
            )
        ],
        tables=[Table(columns=heads, rows=rows, texts=("Parameter", "Verdict"))],
    )


def _fit_section(number: int, name: str, explored: Explored, run: RunFolder) -> Section:
    """One of the models in short: how its fit ended, and what it gets wrong."""
    status, method = run.status, method_of(run.spec.config)
    genes = explored.critique.genes
    worst = genes.nlargest(_WORST, "misfit")
    return Section(
        key=f"model-{number + 1}",
        title=name,
        sentences=[
            capitalized(f"{run.spec.described}."),
            how_it_ended(status, method.settled, method.finished, method.unit),
        ],
        facts={"run": run.id, "method": method.label, "time": in_words(status.seconds)},
        tables=[digest_table(genes, explored.counts.n_cells), genes_table(worst)],
    )
