"""How many mRNA molecules cells hold: what tells capture from expression."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Organism:
    """A kind of cell with its typical number of mRNA molecules."""

    label: str
    mrna_per_cell: float


# Marinov et al. 2014, Genome Res. 24, 496 (human); Zenklusen et al. 2008, Nat. Struct. Mol. Biol.
# 15, 1263 (yeast); Bartholomaeus et al. 2016, Phil. Trans. R. Soc. A 374, 20150069 (E. coli).
ORGANISMS: Mapping[str, Organism] = {
    "human": Organism("Human", 200_000.0),
    "mouse": Organism("Mouse", 200_000.0),
    "yeast": Organism("Yeast", 60_000.0),
    "ecoli": Organism("E. coli", 3_000.0),
}
