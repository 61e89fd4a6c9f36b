"""What ``var`` says of genes beside their names: what else they are called, where they lie."""

import re

import numpy as np
import pandas as pd
from jaxtyping import Bool

_ALIASES = re.compile(
    r"(?:gene[ _.-]?)?(?:alias(?:es)?|synonyms?|prev(?:ious)?|other)"
    r"(?:[ _.-]?(?:gene[ _.-]?)?(?:symbols?|names?|genes?))?",
    re.IGNORECASE,
)
_PARTED = re.compile(r"\s*[|,;]\s*")
_MITOCHONDRIAL = re.compile(
    r"(?:is[ _.-]?)?(?:mt|mito|mitochondrial|mitochondria|mitochondrion|chrm)"
    r"(?:[ _.-]?genes?)?",
    re.IGNORECASE,
)
_CHROMOSOME = re.compile(
    r"chr|chrom|chromosome(?:[ _.-]?name)?|seq[ _.-]?names?|contig", re.IGNORECASE
)
_CHROMOSOME_M = re.compile(
    r"(?:chr)?_?(?:m|mt|mito|mtdna|mitochondrion(?:_genome)?)", re.IGNORECASE
)
_TRUE, _FALSE = frozenset(("true", "1", "1.0", "yes")), frozenset(("false", "0", "0.0", "no"))


def gene_aliases(var: pd.DataFrame) -> np.ndarray | None:
    """Other names of every gene, parted by ``|``; None where no column names any."""
    columns = [
        var.iloc[:, i]
        for i, name in enumerate(var.columns)
        if _ALIASES.fullmatch(str(name)) and not pd.api.types.is_numeric_dtype(var.dtypes.iloc[i])
    ]
    if not columns:
        return None
    rows = zip(
        *(column.astype(object).where(column.notna(), "") for column in columns), strict=True
    )
    return np.array(
        ["|".join(filter(None, _PARTED.split("|".join(map(str, row)).strip()))) for row in rows],
        dtype=object,
    )


def marked_mitochondrial(var: pd.DataFrame) -> Bool[np.ndarray, " genes"] | None:
    """Which genes a column marks as mitochondrial, or lays on chromosome M; None without any."""
    for i, name in enumerate(var.columns):
        if _MITOCHONDRIAL.fullmatch(str(name)):
            marks = _as_booleans(var.iloc[:, i])
        elif _CHROMOSOME.fullmatch(str(name)):
            texts = var.iloc[:, i].astype(str)
            marks = texts.str.fullmatch(_CHROMOSOME_M).to_numpy(dtype=bool)
        else:
            continue
        if marks is not None and marks.any():
            return marks
    return None


def _as_booleans(values: pd.Series) -> np.ndarray | None:
    """Yes or no for every gene; None where a column says something else."""
    texts = values.astype(object).where(values.notna(), "false").astype(str).str.lower()
    if not set(texts.unique()) <= _TRUE | _FALSE:
        return None
    return texts.isin(_TRUE).to_numpy(dtype=bool)
