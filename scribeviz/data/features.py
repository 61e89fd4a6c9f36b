"""Which features are genes, and of how many species: the same rule whatever the format."""

import re
from collections import Counter

import numpy as np
import pandas as pd

from scribeviz.data.counts import CountsError

_TYPE_COLUMNS = ("feature_types", "feature_type", "featuretype", "modality")
_GENE_TYPES = frozenset(
    ("gene expression", "gene", "genes", "gex", "rna", "mrna", "expression", "transcript")
)
_GENOME_COLUMNS = ("genome", "species", "organism")
# Features that are counted beside genes and follow other laws, by the names that kits give them.
_OTHER_FEATURES = {
    "antibodies": re.compile(
        r".*[-_ ]total[-_ ]?(?:seq)?[-_ ]?[abcd]?|.*_(?:adt|ab|prot|protein)|.*-(?:adt|prot)"
        r"|(?:adt|ab|prot)[-_].+|.*\|(?:ahs\d+|pabo).*",
        re.IGNORECASE,
    ),
    "hashtags": re.compile(
        r"(?:.*[-_])?hashtag[-_ ]?\w*|hto[-_ ]?\w+|.*[-_]hto|cmo\d{3}|sampletag\d+.*", re.IGNORECASE
    ),
    "guides": re.compile(
        r"(?:sg|g|cr)rna[-_ ].+|guide[-_ ].+|.*[-_](?:sg|g)rna(?:[-_]?\d+)?", re.IGNORECASE
    ),
    "controls": re.compile(
        r"negprb\d+|negprobe.*|neg(?:ative)?control(?:probe|codeword).*|systemcontrol\d+"
        r"|blank[-_]\d+|(?:un|de)?(?:assigned|precated)codeword.*|antisense_.+"
        r"|intergenic_region.*",
        re.IGNORECASE,
    ),
}
# Nearly all names, in lower case, have none of these and are genes at once.
_MAY_BE_OTHER = re.compile(
    r"total|adt|ab[_-]|_ab|prot|ahs|pabo|hashtag|hto|cmo|sampletag|rna|guide|neg|control|blank"
    r"|codeword|antisense|intergenic"
)
_SPECIES_PREFIX = re.compile(
    r"(GRCh3[78]|GRCm3[89]|hg19|hg38|mm9|mm10|mm39|rn[67]|mRatBN7\S*?|dm6|ce11|danRer11|human|mouse)"
    r"[-_]+(?=\S)",
    re.IGNORECASE,
)
_SPECIES_ID = re.compile(r"(ENS[A-Z]{0,6})G\d{6,}(?:\.\d+)?")
# A virus or a transgene adds a handful of genes; a second species adds thousands.
_SHARE_OF_A_SPECIES = 0.05


def gene_features(var: pd.DataFrame, names: np.ndarray, subject: str) -> tuple[np.ndarray, list]:
    """Mark the features that are genes, and say which others there were.

    Parameters
    ----------
    var
        What is known about the features; ``feature_types`` and the like decide, else names do.
    names
        Their names.
    subject
        What to call the data in errors.

    Returns
    -------
    tuple
        A mask, shape ``(n_features,)``; sentences that the user should read.

    Raises
    ------
    CountsError
        If the genes are of more than one species.
    """
    kinds = _kinds(var, names)
    is_gene = kinds == ""
    notes = []
    if not is_gene.any():  # all of one kind: the user asked for them
        is_gene, others = np.ones(len(names), bool), sorted(set(kinds))
        notes.append(f"The features are no genes but {', '.join(others)}; they were kept.")
    elif not is_gene.all():
        n_left, others = int((~is_gene).sum()), sorted(set(kinds[~is_gene]))
        were = "feature that is no gene was" if n_left == 1 else "features that are no genes were"
        notes.append(f"{n_left:,} {were} left out: {', '.join(others)}.")
    _check_species(var[is_gene], names[is_gene], subject)
    return is_gene, notes


def _kinds(var: pd.DataFrame, names: np.ndarray) -> np.ndarray:
    """What each feature is, empty for genes."""
    types = _text_column(var, _TYPE_COLUMNS)
    if types is not None:
        codes, distinct = pd.factorize(types)
        genes = np.array([kind.strip().lower() in _GENE_TYPES for kind in distinct])[codes]
        if genes.any() or len(distinct) == 1:
            return np.where(genes | (types == ""), "", types).astype(object)
    kinds = np.full(len(names), "", dtype=object)
    for i, lower in enumerate(map(str.lower, names)):
        if _MAY_BE_OTHER.search(lower):
            kinds[i] = _kind_by_name(names[i])
    return kinds


def _kind_by_name(name: str) -> str:
    return next((kind for kind, looks in _OTHER_FEATURES.items() if looks.fullmatch(name)), "")


def _check_species(var: pd.DataFrame, names: np.ndarray, subject: str) -> None:
    genomes = _text_column(var, _GENOME_COLUMNS)
    ids = next(
        (
            var[key].to_numpy(dtype=object)
            for key in ("gene_ids", "gene_id", "feature_id")
            if key in var
        ),
        names,
    )
    upper_ids = map(str.upper, map(str, ids))
    ways = (
        Counter() if genomes is None else Counter(genomes),
        Counter(match[1] for match in filter(None, map(_SPECIES_PREFIX.match, names))),
        Counter(match[1] for match in filter(None, map(_SPECIES_ID.fullmatch, upper_ids))),
    )
    for labels in ways:
        large = [
            label
            for label, n in labels.items()
            if n >= _SHARE_OF_A_SPECIES * len(names) and label.lower() not in {"", "unknown", "nan"}
        ]
        if len(large) > 1:
            raise CountsError(
                f"{subject} holds genes of {len(large)} genomes ({', '.join(sorted(large))}); a "
                "model is of one species: keep the cells and genes of one in a file of their own."
            )


def _text_column(var: pd.DataFrame, candidates: tuple[str, ...]) -> np.ndarray | None:
    columns = {str(key).lower(): i for i, key in reversed(list(enumerate(var.columns)))}
    place = next((columns[key] for key in candidates if key in columns), None)
    if place is None:
        return None
    values = var.iloc[:, place]
    text = np.array(list(map(str, values.to_numpy(dtype=object))), dtype=object)
    return np.where(values.isna(), "", text)
