import re
from importlib.resources import files

import pytest

from scribeviz.data.usual_names import symbols_of

LINES = files("scribeviz.data").joinpath("usual_names.tsv").read_text().splitlines()[1:]


def test_every_line_names_symbols_and_no_name_stands_twice():
    seen = set()
    for line in LINES:
        names, of_man, of_mouse = line.split("\t")
        symbols = [*of_man.split(), *of_mouse.split()]
        assert symbols, line
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", symbol) for symbol in symbols), line
        assert of_man == of_man.upper(), line
        for name in names.split(", "):
            plain = name.casefold().replace("-", "").replace(" ", "")
            assert plain not in seen, name
            seen.add(plain)
            assert symbols_of(name)


@pytest.mark.parametrize(
    ("name", "symbols"),
    [
        ("CD20", ("MS4A1", "Ms4a1")),
        ("cd 20", ("MS4A1", "Ms4a1")),
        ("CD8", ("CD8A", "CD8B", "Cd8a", "Cd8b1")),
        ("TNF-α", ("TNF", "Tnf")),
        ("F4/80", ("ADGRE1", "Adgre1")),
        ("Sca1", ("Ly6a",)),
        ("MS4A1", ()),
        ("", ()),
    ],
)
def test_usual_names_lead_to_symbols(name, symbols):
    assert symbols_of(name) == symbols
