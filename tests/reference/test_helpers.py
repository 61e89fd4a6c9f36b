import jax
import numpy as np
import numpyro.distributions as dist
import pytest

from scribeviz import stats, utils


@pytest.mark.parametrize(
    "fn",
    [
        dist.Beta(2.0, 3.0),
        dist.Gamma(2.0, 3.0),
        dist.LogNormal(0.3, 0.5),
        dist.Normal(0.3, 0.5),
        stats.BetaPrime(2.0, 3.0),
        dist.Dirichlet(np.array([1.0, 2.0, 3.0])),
        dist.Normal(np.zeros(3), 1.0).to_event(1),
    ],
    ids=lambda fn: type(fn).__name__,
)
def test_scipy_has_the_same_density(fn):
    value = np.asarray(fn.sample(jax.random.key(1)))
    if isinstance(fn, dist.Dirichlet):
        value = value.astype(float) / value.astype(float).sum()
    theirs = np.sum(utils.numpyro_to_scipy(fn).logpdf(value))
    np.testing.assert_allclose(theirs, np.sum(fn.log_prob(value)), rtol=1e-4)


def test_other_families_are_named():
    with pytest.raises(ValueError, match=r"Weibull has no translation to SciPy.*Beta, BetaPrime"):
        utils.numpyro_to_scipy(dist.Weibull(1.0, 1.0))


def test_the_root_of_a_repository(tmp_path, monkeypatch):
    inside = tmp_path / "deep" / "down"
    inside.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    assert utils.git_root(inside) == str(tmp_path)
    monkeypatch.chdir(inside)
    assert utils.git_root() == str(tmp_path)
    assert utils.git_root("/") is None


def test_inside_the_block_jax_uses_the_processor():
    with utils.use_cpu():
        assert jax.numpy.ones(1).device.platform == "cpu"
