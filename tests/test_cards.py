"""What objects print: two lines, and in a notebook a small card."""

import pkgutil
import re
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module

import numpy as np
import pytest

import scribeviz
from scribeviz._cards import Card, shown_by_fields

_ARRAYS = re.compile(r"ndarray|Float\[|Int\[|Bool\[|DataFrame|csr_array|csc_array|\bArray\b")


def _holds_arrays(annotation):
    return bool(_ARRAYS.search(annotation)) and "Callable" not in annotation


def dataclasses_with_arrays():
    modules = [
        import_module(module.name)
        for module in pkgutil.walk_packages(scribeviz.__path__, "scribeviz.")
        if ".views" not in module.name and not module.name.endswith("__main__")
    ]
    return {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type)
        and is_dataclass(thing)
        and thing.__module__ == module.__name__
        and not thing.__name__.startswith("_")
        and any(f.repr and _holds_arrays(str(f.type)) for f in fields(thing))
    }


def test_nothing_prints_its_arrays():
    assert [kind for kind in dataclasses_with_arrays() if not hasattr(kind, "_repr_html_")] == []


def html_of(thing):
    html = thing._repr_html_()
    assert len(html) < 6_000
    assert html.count("<tr") <= 12
    return html


def test_counts_are_two_lines_and_a_card():
    counts = scribeviz.demo()
    first, second = repr(counts).splitlines()
    assert first == "Counts: PBMC 68k (example), 700 cells x 765 genes"
    assert second.startswith("  entries that are zero: 67.4% · of cells: bulk_labels, n_genes")
    assert second.endswith(" …")
    assert "bulk_labels" in html_of(counts)
    assert "cell_totals" not in vars(counts)  # sums over all counts take a while


def test_a_spec_is_written_as_it_is_made():
    spec = scribeviz.ModelSpec(likelihood="nbvcp", priors={"r": ("lognormal", 0, 1)})
    first, second = repr(spec).splitlines()
    assert first == "ModelSpec(likelihood='nbvcp', priors={'r': ('lognormal', 0.0, 1.0)})"
    assert eval(first, {"ModelSpec": scribeviz.ModelSpec}) == spec  # noqa: S307
    assert "negative binomial with capture" in second


def test_results_scores_and_criticism_are_short():
    counts, _ = scribeviz.simulate("nbdm", n_cells=60, n_genes=5)
    results = scribeviz.fit(counts, "poisson", n_steps=200, progress=False)
    critique = results.critique(counts)
    for thing in (results, critique, critique.draws, critique.scores):
        assert 1 <= len(repr(thing).splitlines()) <= 2
        assert max(map(len, repr(thing).splitlines())) <= 102
        html_of(thing)
    assert "60 cells x 5 genes" in repr(results)
    assert "nats" in repr(critique.scores)


def test_names_from_files_are_escaped_and_cut():
    card = Card(
        title="Counts",
        summary="<script>alert(1)</script>" + "x" * 1_000,
        facts={"<b>": "<img src=x>"},
        notes=["<i>"] * 9,
    )
    assert not re.search("<(script|img|i)>", card.html)
    assert len(card.html) < 4_000
    assert "And 6 more" in card.html
    assert "\n" not in Card(title="a\nb", summary="").text


@pytest.mark.parametrize("value", [None, 1, 0.5, "text", np.zeros((9, 9)), {"r": np.zeros(9)}])
def test_any_field_is_told_in_short(value):
    @shown_by_fields
    @dataclass
    class Thing:
        field: object

    assert len(repr(Thing(value))) < 60
