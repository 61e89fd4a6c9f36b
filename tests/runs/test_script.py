"""The code that the dashboard shows is run, and must give what the dashboard shows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scribeviz
from scribeviz import CellFilter, ModelSpec, NUTSConfig, SVIConfig
from scribeviz.data.examples import demo
from scribeviz.models.custom.registry import CustomSpec
from scribeviz.runs.folder import RunFolder, create_run
from scribeviz.runs.script import compare_code, explore_code, fit_code, model_code, read_code
from scribeviz.runs.worker import work

SETTINGS = {"n_steps": 120, "seed": 3}


@pytest.fixture(scope="module")
def counts():
    """Few cells and genes of the example, read by code that gives just these."""
    every = demo()
    some = every.select_cells(np.arange(0, 700, 10)).select_genes(np.arange(0, 765, 25))
    code = (
        "scribeviz.demo().select_cells(np.arange(0, 700, 10)).select_genes(np.arange(0, 765, 25))"
    )
    return replace(some, read_by=code)


@pytest.fixture
def fitted(counts, tmp_path):
    """A finished run of some model."""

    def finish(name, spec, config, **more):
        run = create_run(tmp_path / name, counts, spec, config, **more)
        work(run)
        return run

    return finish


def executed(code):
    """Run code as a user would who pastes it; gives its names."""
    names = {"np": np}
    exec(compile(code, "<shown>", "exec"), names)  # noqa: S102  that is what is tested
    return names


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(),
        ModelSpec(
            likelihood="zinbvcp",
            n_components=2,
            parameterization="odds_ratio",
            component_specific_params=True,
            priors={"mu": ("lognormal", 0.5, 1.5)},
        ),
    ],
    ids=["plain", "all settings"],
)
def test_the_model_is_the_same(spec):
    assert executed(f"import scribeviz\n{model_code(spec)}")["model"] == spec


@pytest.mark.slow
def test_a_fit_and_its_critique_are_the_same_to_the_last_digit(fitted, capsys):
    spec = ModelSpec(likelihood="nbvcp", n_components=2, priors={"r": ("lognormal", 0.5, 2.0)})
    run = fitted("one", spec, SVIConfig(**SETTINGS))
    cells = np.arange(3, 60, 4)
    names = executed(explore_code(run, str(run.counts.genes[4]), cells))
    np.testing.assert_array_equal(names["results"].loss_history, run.losses)
    shown = run.critique
    pd.testing.assert_frame_equal(names["critique"].genes, shown.genes)
    np.testing.assert_array_equal(names["critique"].probabilities, shown.probabilities[cells])
    assert names["check"].observed.sum() == cells.size
    assert list(names["critique"].notes) == list(shown.notes)
    assert names["check"].verdict in capsys.readouterr().out


def test_sampling_that_started_from_a_fit_says_both(fitted):
    before = fitted("before", ModelSpec(), SVIConfig(**SETTINGS))
    config = NUTSConfig(n_warmup=20, n_samples=30, n_chains=1, seed=1)
    run = fitted("after", ModelSpec(), config, start_from=before.id)
    names = executed(f"import scribeviz\n{read_code(run.spec)}\n{fit_code(run)}")
    for site, draws in run.results.samples.items():
        np.testing.assert_array_equal(names["results"].samples[site], draws)


def test_models_compare_as_on_the_page(fitted):
    runs = {
        key: fitted(key, ModelSpec(likelihood=key), SVIConfig(**SETTINGS))
        for key in ("nbdm", "nbvcp")
    }
    names = executed(compare_code(runs))
    expected = scribeviz.compare({key: run.critique.scores for key, run in runs.items()})
    pd.testing.assert_frame_equal(scribeviz.compare(names["scores"]), expected)


@pytest.mark.usefixtures("tutorial")
def test_a_model_of_ones_own(fitted):
    run = fitted("own", CustomSpec("nbdm-lognormal"), SVIConfig(**SETTINGS))
    names = executed(f"import scribeviz\n{read_code(run.spec)}\n{fit_code(run)}")
    np.testing.assert_array_equal(names["results"].loss_history, run.losses)


def test_a_filter_is_part_of_the_code(counts, tmp_path):
    kept = CellFilter(
        min_counts=12,
        min_cells=3,
        obs_column="bulk_labels",
        obs_values=sorted(set(counts.obs["bulk_labels"]))[:6],
    )
    some = kept.apply(counts)
    run = create_run(tmp_path / "filtered", some, ModelSpec(), SVIConfig(**SETTINGS))
    code = f"import scribeviz\n{read_code(run.spec)}"
    again = executed(code)["counts"]
    assert again.fingerprint == run.spec.fingerprint == some.fingerprint
    assert 0 < again.n_cells < counts.n_cells


def test_a_name_cannot_become_code(counts):
    hostile = replace(counts, name="x\nraise SystemExit  # ")
    assert len(executed(f"import scribeviz\n{read_code(hostile)}")["counts"].genes) == 31
    unknown = replace(counts, read_by="")
    assert "scribeviz.read(...)" in read_code(unknown)


def test_long_calls_are_broken_over_lines(tmp_path, counts):
    config = SVIConfig(n_steps=1_000, learning_rate=0.02, tolerance=0.0, batch_size=7, seed=7)
    run = create_run(tmp_path / "x", counts, ModelSpec(), config)
    code = fit_code(RunFolder(run.path))
    assert max(map(len, code.splitlines())) <= 100
    assert "    seed=7,\n)" in code
