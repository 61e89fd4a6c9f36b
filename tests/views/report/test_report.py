"""Reports: every number in them is recomputed here, and files in them cannot speak HTML."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import scribeviz
from scribeviz import CellVAE, ModelSpec
from scribeviz.cli import main
from scribeviz.criticism.assignments import agreement, entropy
from scribeviz.criticism.partition import marking_genes
from scribeviz.fitting.kinds import kind_of
from scribeviz.runs.folder import create_run
from scribeviz.runs.worker import work
from scribeviz.views.explore.downloads import DownloadsView
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import load_explored
from scribeviz.views.report.writing import compared, report_of

MOST_BYTES = 5_000_000
SCRIPT = "<script>alert('$x^')</script>"


class Reader(HTMLParser):
    """What a report says, section by section; the head of the page is section ``""``."""

    def __init__(self, page):
        super().__init__()
        self.said = {"": {"facts": {}, "tables": [], "sentences": [], "warnings": []}}
        self.tags = []
        self.section, self.text, self.name = "", "", ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        if tag == "section":
            self.section = given["id"]
            self.said[self.section] = {"facts": {}, "tables": [], "sentences": [], "warnings": []}
        here = self.said[self.section]
        if tag == "table":
            here["tables"].append([])
        elif tag == "tr":
            here["tables"][-1].append([])
        if tag in {"dt", "dd", "td", "th", "p", "code", "h2"}:
            self.text = ""
        self.kind = given.get("class", "")

    def handle_data(self, data):
        self.text += data

    def handle_endtag(self, tag):
        here = self.said[self.section]
        if tag == "dt":
            self.name = self.text
        elif tag == "dd":
            here["facts"][self.name] = self.text
        elif tag in {"td", "th"}:
            here["tables"][-1][-1].append(self.text)
        elif tag == "p":
            here["warnings" if self.kind == "warning" else "sentences"].append(self.text)
        elif tag == "code":
            here["code"] = self.text

    def facts(self, section):
        return self.said[section]["facts"]

    def rows(self, section, table=0):
        """The lines of a table, without its headings."""
        return self.said[section]["tables"][table][1:]


@pytest.fixture(scope="module")
def text(mixture):
    """The report of a run whose genes and data are called like HTML, by the button of Explore."""
    state = ExploreState()
    state.show(load_explored(mixture.path))
    view = DownloadsView(state=state)
    with ThreadPoolExecutor(1) as pool:  # a browser test may have left a loop running
        made = pool.submit(asyncio.run, view.as_html()).result()
    assert view._writing.object == ""
    return made.getvalue().decode()


@pytest.fixture(scope="module")
def read(text):
    return Reader(text)


def test_a_report_is_one_small_file_that_needs_no_other(text, read):
    assert len(text.encode()) < MOST_BYTES
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, given in read.tags:
        assert not [name for name in given if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert given.get(name, "#").startswith(("#", "data:image/png")), given
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_names_within_pictures_are_of_one_picture_alone(text):
    names = re.findall(r' id="([^"]+)"', text)
    assert len(set(names)) == len(names)
    assert set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text)) <= set(names)


def test_what_comes_from_files_cannot_speak_html(text, read, hostile):
    assert hostile not in text
    assert not [given for tag, given in read.tags if tag == "img"]
    assert read.facts("data")["name"] == f"blood {hostile}"
    assert hostile in [row[0] for row in read.rows("genes")]


def test_numbers_of_the_data_are_those_of_the_run(read, mixture):
    counts = mixture.counts
    seen = counts.matrix.toarray()[:, counts.gene_totals > 0]
    totals = seen.sum(axis=1)
    low, middle, high = np.quantile(totals, (0.05, 0.5, 0.95))
    assert read.facts("data") == {
        "name": counts.name,
        "cells": "60",
        "genes that were fitted": "8",
        "counts in all (UMIs)": f"{totals.sum():,.0f}",
        "counts per cell (UMIs)": f"{middle:,.0f} (median); nine in ten cells have {low:,.0f} to "
        f"{high:,.0f}",
        "entries that are zero": f"{(seen == 0).mean():.1%}",
        "without counts, left out": "1: Unseen",
        "kept for the fit": "all cells and genes",
        "fingerprint of the data": mixture.spec.fingerprint,
    }
    good = (mixture.critique.genes["problem"] == "as expected").mean()
    figures = read.facts("")
    assert float(figures.pop("time of the fit").removesuffix(" s").split()[-1]) >= 0
    assert figures == {
        "cells": "60",
        "genes": "8",
        "genes as expected": f"{good:.1%}",
        "components": "2",
    }


def test_numbers_of_the_model_are_its_priors(read, mixture):
    rows = read.rows("model")
    model = mixture.spec.model
    assert [row[1] for row in rows] == [site.key for site in model.sites]
    for row, site in zip(rows, model.sites, strict=True):
        prior = model.prior(site)
        numbers = [float(number) for number in re.findall(r"[\d.]+", row[2])]
        assert numbers == pytest.approx(prior.numbers)
        low, middle, high = prior.quantiles((0.05, 0.5, 0.95), 2)
        said = row[3].removeprefix("With a probability of 90 %")
        assert [float(number) for number in re.findall(r"\d[\d.]*\d|\d", said)] == pytest.approx(
            [float(f"{number:.3g}") for number in (low, high, middle)]
        )


def test_numbers_of_the_fit_are_those_of_the_run(read, mixture):
    losses, status = mixture.losses, mixture.status
    facts = read.facts("fit")
    assert facts["steps"] == f"{status.step:,}"
    assert facts["method"] == "Variational inference"
    assert facts["device"] == status.device
    last = losses[-50:].astype(float).mean()
    assert float(facts["loss, mean of the last 50 (nats)"].replace(",", "")) == pytest.approx(
        last, abs=0.051
    )
    assert set(facts) == {"method", "steps", "time", "loss, mean of the last 50 (nats)", "device"}
    sentence, *notes = read.said["fit"]["sentences"]
    assert notes == list(mixture.critique.notes)
    assert f"{status.step:,} steps" in sentence
    assert ("had not settled" in sentence) != status.settled


def test_numbers_of_the_verdict_are_those_of_the_critique(read, mixture):
    genes, scores = mixture.critique.genes, mixture.critique.scores
    rows = read.rows("verdict")
    of_problem = genes["problem"].value_counts()
    for problem, number, share in rows:
        if problem == "mean off":
            continue
        n = int(of_problem.get(problem, 0))
        assert (number, share) == (f"{n:,}", f"{n / 8:.1%}")
    assert {row[0] for row in rows} - {"mean off"} == {"as expected", *of_problem.index}
    error = np.hypot(np.sqrt(60 * scores.elpd.var()), scores.draw_error)
    facts = read.facts("verdict")
    total, spread = facts.pop(f"elpd of unseen cells, {scores.method} (nats)").split(" ± ")
    assert float(total.replace(",", "")) == pytest.approx(scores.elpd.sum(), abs=0.51)
    assert float(spread) == pytest.approx(error, rel=0.02, abs=1)
    n_unreliable = int((scores.pareto_k > 0.7).sum())
    expected = {"cells whose score is not to be relied on": f"{n_unreliable:,}"}
    assert facts == (expected if n_unreliable else {})
    assert any("cross-validated" in said for said in read.said["verdict"]["sentences"])


def test_numbers_of_the_worst_genes_are_those_of_the_counts(read, mixture):
    genes = mixture.critique.genes.sort_values("misfit", ascending=False)
    rows = read.rows("genes")
    assert [row[0] for row in rows] == genes["gene"].tolist()
    rates = {
        name: "-" if np.isnan(rate) else "< 0.001" if rate < 0.001 else f"{rate:.3f}"
        for name, rate in zip(genes["gene"], genes["fdr"], strict=True)
    }
    for row, (_, gene) in zip(rows, genes.iterrows(), strict=True):
        seen = mixture.counts.gene(gene["gene"])
        assert row[1:] == [
            gene["problem"],
            f"{gene['misfit']:.1%}",
            rates[gene["gene"]],
            f"{seen.mean():.3g}",
            f"{gene['predicted_mean']:.3g}",
            f"{(seen == 0).mean():.1%}",
            f"{gene['predicted_zeros']:.1%}",
        ]


def test_captions_of_genes_are_their_checks(text, mixture):
    critique, counts = mixture.critique, mixture.counts
    worst = critique.genes.nlargest(6, "misfit")
    captions = re.findall(r"<figcaption><h3>(.*?)</h3>(.*?)</figcaption>", text, re.DOTALL)
    said = dict(captions)
    for index, gene in worst["gene"].items():
        if gene in said:  # the hostile one is escaped
            assert said[gene] == critique.check(counts.gene(gene), index).verdict


def test_numbers_of_the_components_are_those_of_the_assignments(read, mixture):
    critique = mixture.critique
    likeliest = critique.probabilities.argmax(axis=1)
    sizes = np.bincount(likeliest, minlength=2)
    assert read.rows("components") == [
        [f"{k + 1}", f"{n}", f"{n / 60:.1%}"] for k, n in enumerate(sizes)
    ]
    marking = marking_genes(critique.genes, 6)
    assert read.rows("components", 1) == [
        [g, f"{k + 1}", f"{nats:.3f}", f"{fold:+.2f}"]
        for g, k, nats, fold in marking[
            ["gene", "component", "information", "log2_fold"]
        ].to_numpy()
    ]
    sure = (entropy(critique.calibrated) < 0.05 * np.log(2)).mean()
    said = " ".join(read.said["components"]["sentences"])
    assert f"{sure:.1%} of the cells are assigned" in said
    index, information = agreement(likeliest, mixture.counts.obs["component"])
    assert f"Rand index {index:.2f}, normalised mutual information {information:.2f}" in said


def test_settings_versions_and_python_are_those_of_the_run(read, mixture):
    settings = read.facts("settings")
    assert settings["n steps"] == f"{mixture.spec.config.n_steps}"
    assert settings["n components"] == "2"
    assert settings["seed"] == f"{mixture.spec.config.seed}"
    assert read.facts("versions") == dict(mixture.spec.versions)
    code = read.said["python"]["code"]
    assert "n_components=2" in code
    compile(code, "report", "exec")


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory, counts):
    """A mixture and a plain model of the same data, whose names are scripts."""
    genes = counts.genes.copy()
    genes[:2] = SCRIPT, "$\\frac"
    scripts = replace(counts, genes=genes, name=SCRIPT)
    folder = tmp_path_factory.mktemp("compared")
    runs = [
        create_run(folder / name, scripts, spec, kind_of(spec).config(None, {}))
        for name, spec in {
            "plain": ModelSpec(likelihood="nb"),
            "mixed": ModelSpec(likelihood="nb", n_components=2),
        }.items()
    ]
    for run in runs:
        work(run)
    return runs


def by_command_line(folder, *runs):
    out = folder / "report.html"
    assert main(["report", *(str(run.path) for run in runs), "--out", str(out)]) == 0
    return out.read_text()


@pytest.mark.slow
def test_exact_fits_and_mixtures_by_em_have_reports(side_by_side, tmp_path):
    plain, mixed = side_by_side
    text = by_command_line(tmp_path, plain)
    assert "<script" not in text
    read = Reader(text)
    assert read.facts("data")["name"] == SCRIPT
    assert SCRIPT in [row[0] for row in read.rows("genes")]
    assert "components" not in read.said
    assert read.facts("settings")["method"] == "Exact"
    assert "Learned from all genes" in {row[2] for row in read.rows("model")}
    assert read.facts("fit")["last loss (nats)"] == f"{plain.losses[-1]:,.1f}"
    by_em = Reader(report_of(mixed).html)
    assert "components" in by_em.said
    assert by_em.facts("settings")["method"] == "EM"


def written(number, how):
    return "-" if np.isnan(number) else format(number, how)


def test_numbers_of_a_comparison_are_those_of_the_scores(side_by_side, tmp_path):
    text = by_command_line(tmp_path, *side_by_side)
    read = Reader(text)
    assert "<script" not in text
    scores = {run.spec.label: run.critique.scores for run in side_by_side}
    table = scribeviz.compare(scores)
    rows = {row[0]: row for row in read.rows("verdict")}
    assert set(rows) == set(table.index)
    for name, scored in table.iterrows():
        row = rows[name]
        assert row[3] == f"{scored['elpd_loo']:,.0f} ± {scored['se']:,.0f}"
        assert row[6] == written(scored["p_loo"], ",.0f")
        assert row[8] == f"{scored['weight']:.2f}"
        assert row[7] == written(scored["worst_k"] or np.nan, ".2f")
    second = table.index[1]
    error = table.loc[second, ["difference", "difference_se"]]
    assert rows[second][4] == f"{error.iloc[0]:,.0f} ± {error.iloc[1]:,.0f}"
    by_label = {run.spec.label: run.critique.genes for run in side_by_side}
    first = by_label[table.index[0]].set_index("gene")["elpd"]
    differences = first - by_label[second].set_index("gene")["elpd"]
    for gene, _, difference, *_ in read.rows("genes"):
        assert difference == f"{differences[gene]:+,.1f}"
    facts = read.facts("genes")
    assert facts[f"genes for {table.index[0]}"] == f"{(differences > 0).sum()}"
    assert facts["differences, summed (nats)"] == f"{differences.sum():+,.0f}"
    compile(read.said["python"]["code"], "report", "exec")
    assert {"model-1", "model-2", "settings", "data", "losses"} <= set(read.said)


@pytest.mark.slow
def test_a_network_has_a_report(tmp_path, counts):
    spec = CellVAE(n_latent=2, n_hidden=8)
    settings = {"max_epochs": 2, "batch_size": 16, "kl_warmup": 0}
    run = create_run(tmp_path / "vae", counts, spec, kind_of(spec).config(None, settings))
    work(run)
    read = Reader(report_of(run).html)
    assert "no priors" in " ".join(read.said["model"]["sentences"])
    assert "components" not in read.said
    lowest = run.validation[1].min()
    assert read.facts("fit")["lowest loss of cells not trained on (nats)"] == f"{lowest:,.1f}"
    assert read.facts("settings")["n hidden"] == "8"


@pytest.mark.slow
def test_a_custom_model_in_memory_has_a_report_of_what_is_known(tmp_path, counts, tutorial):
    results = scribeviz.fit(counts, tutorial.key, n_steps=30, progress=False)
    path = scribeviz.report(results, tmp_path / "own.html", counts)
    read = Reader(path.read_text())
    assert "no priors" in " ".join(read.said["model"]["sentences"])
    assert len(read.rows("genes")) == results.n_genes
    assert "versions" not in read.said
    assert "code" not in read.said["python"]
    assert read.facts("fit")["losses"] == "30"
    with pytest.raises(ValueError, match=r"scribeviz\.report\(results, path, counts\)"):
        scribeviz.report(results, tmp_path / "other.html")


def test_what_cannot_be_reported_is_said(tmp_path, side_by_side, mixture):
    with pytest.raises(ValueError, match="holds no run with a result"):
        report_of(tmp_path)
    with pytest.raises(ValueError, match="have to lie in one folder"):
        compared([side_by_side[0], mixture])


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "report.html")]) == 2
    assert "holds no run with a result" in capsys.readouterr().err
