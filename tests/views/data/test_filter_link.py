"""A filter in the address, and what is made of an address that somebody has changed."""

from urllib.parse import parse_qs, quote

import pytest

from scribeviz import CellFilter
from scribeviz.views.data.filter_link import filter_as_text, filter_from_text

SCRUBLET = CellFilter(
    min_counts=500,
    max_counts=20_000,
    min_genes=200,
    max_mt_share=0.1,
    min_cells=3,
    obs_column="predicted_doublet",
    obs_values=["False"],
)


def test_it_can_be_read_by_people():
    text = "counts:500-20000,genes:200-,mt:-0.1,seen:3,obs:predicted_doublet=False"
    assert filter_as_text(SCRUBLET) == text
    assert filter_as_text(CellFilter()) == ""
    assert filter_as_text(CellFilter(max_counts=0)) == "counts:-0"


@pytest.mark.parametrize(
    "chosen",
    [
        SCRUBLET,
        CellFilter(max_genes=7),
        CellFilter(max_mt_share=0.00001),
        CellFilter(max_mt_share=0.0),
        CellFilter(obs_column="a,b:c=d/e &f%", obs_values=["x/y", "", "ü=,:", "(missing)"]),
        CellFilter(obs_column="", obs_values=[""]),
    ],
)
def test_it_comes_back_from_an_address(chosen):
    address = f"place=Data&filter={quote(filter_as_text(chosen), safe=',:=/')}"
    [text] = parse_qs(address)["filter"]
    assert filter_from_text(text) == chosen


@pytest.mark.parametrize(
    "text",
    [
        "",
        "counts",
        "counts:5",
        "counts:a-b",
        "counts:9-3",
        "counts:-1-5",
        "genes:1.5-",
        "mt:x",
        "mt:-7",
        "mt:-nan",
        "seen:",
        "seen:²",
        "obs:",
        "obs:x",
        "obs:x=",
        "depth:1-2",
        "counts:1-2,counts:1-2",
        "seen:1,,seen:2",
        "counts:5-,<script>",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        filter_from_text(text)
