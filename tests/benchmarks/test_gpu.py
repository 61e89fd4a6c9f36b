"""The benchmark for a GPU is known to run: on the processor, in small."""

import jax

from tests.benchmarks.gpu import COLUMNS, Case, Setting, attempt, row, simulated, table


def test_a_row_of_the_table():
    cpu = jax.devices("cpu")[0]
    setting = Setting(simulated(60, 30), cpu, cpu, steps=40, repeated=20)
    cells = row(setting, Case("nbdm"))
    assert list(cells) == list(COLUMNS)
    assert cells["same seed, same fit"] == cells["resumed, same fit"] == "bit for bit"
    assert cells["value off by"] == cells["slopes off by"] == "0e+00"
    head, _, line = table([cells])
    assert head.count("|") == line.count("|")


def test_a_row_that_fails_is_said(capsys):
    def broken():
        raise RuntimeError("no memory")

    assert attempt("nbdm", broken, left=10) == (None, "nbdm: failed (RuntimeError: no memory)")
    assert "no memory" in capsys.readouterr().err
    assert attempt("nbdm", broken, left=0) == (None, "nbdm: not reached")
