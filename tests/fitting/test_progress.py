"""What is seen while a fit goes on, and what an interrupt leaves."""

from types import SimpleNamespace

import numpy as np
import pytest

import scribeviz
from scribeviz.fitting import plan
from scribeviz.fitting.progress import loss_html


def test_the_loss_is_a_line_that_falls():
    html = loss_html("100 steps", np.linspace(50, 0, 1_000))
    points = html.split('points="')[1].split('"')[0].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights)
    assert len(points) <= 200
    assert "100 steps" in html


@pytest.mark.parametrize("losses", [[], [1.0], [np.nan, 2.0, 3.0], [5.0, 5.0, 5.0]])
def test_any_losses_can_be_drawn(losses):
    assert "nan" not in loss_html("now", np.array(losses))


class Interrupted:
    """A fit that is interrupted after two checkpoints."""

    n_steps = 100

    def checkpoints(self):
        for step in (10, 20):
            yield SimpleNamespace(step=step, n_steps=100, settled=False, losses=np.ones(step))
        raise KeyboardInterrupt

    def losses(self, checkpoint):
        return checkpoint.losses

    def results(self, checkpoint):
        return checkpoint.step

    def problem(self, _results):
        return ""


def test_an_interrupt_at_a_prompt_gives_what_there_is(monkeypatch):
    monkeypatch.setattr(plan, "is_interactive", lambda: True)
    with pytest.warns(UserWarning, match="interrupted after 20 steps"):
        assert plan.run(Interrupted(), progress=False) == 20


def test_an_interrupt_of_a_script_ends_it(monkeypatch):
    monkeypatch.setattr(plan, "is_interactive", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        plan.run(Interrupted(), progress=False)


def test_a_model_that_no_other_process_could_load_is_not_submitted(tmp_path):
    counts, _ = scribeviz.simulate("nbdm", n_cells=12, n_genes=3)
    own = scribeviz.NetworkModel(key="mine", make=lambda n_genes, rngs: None)
    with pytest.raises(ValueError, match=r"give its key; or fit it here with scribeviz\.fit"):
        scribeviz.submit(counts, own, runs=tmp_path)
