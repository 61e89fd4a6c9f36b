r"""Priors of the genes of a mixture: what components share.

.. math:: m_g \sim \mathrm{Normal}(m_0, s), \quad \ln\mu_{gk} \sim \mathrm{Normal}(m_g, \sigma),
          \quad \ln r_g \sim \mathrm{Normal}(t(m_g), \tau)

A gene has a level, about which its means in the components lie: a component of few cells takes
from the others what its own counts do not tell.  With :math:`\sigma \to 0` components are alike,
and this is :class:`scribeviz.models.gene_priors.GenePriors` alone.
"""

from dataclasses import dataclass

import numpy as np

from scribeviz.models.gene_priors import GenePriors


@dataclass(frozen=True)
class ComponentPriors:
    """The priors of means and dispersions in components.

    Attributes
    ----------
    genes
        Of the levels of genes, and of dispersions about them.
    between
        Standard deviation of ln(mean) in a component about the gene's level.
    has_levels
        Whether genes have levels of their own.  Where the prior of means is given, every mean
        follows it by itself: ``genes.mean`` is its center and ``between`` its spread.
    """

    genes: GenePriors
    between: float
    has_levels: bool = True

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Numbers, as a file keeps them."""
        between = np.array([self.between, float(self.has_levels)])
        return self.genes.arrays | {"between": between}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "ComponentPriors":
        """Read what :attr:`arrays` gave."""
        between, has_levels = map(float, arrays["between"])
        return cls(GenePriors.from_arrays(arrays), between, bool(has_levels))
