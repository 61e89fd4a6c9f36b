import re
from pathlib import Path

import pytest

from scribeviz.views.shared.glossary import explained_html, glossary, titles_html
from scribeviz.views.shared.parts import notice, words_html

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    "word",
    [
        "ELBO",
        "nats",
        "dispersion",
        "parameterization",
        "unconstrained",
        "rank of the covariance",
        "rootogram",
        "elpd",
        "Pareto k",
        "p (LOO)",
        "weight",
        "entropy",
        "level of capture",
        "transitions",
        "warm-up",
        "variational inference",
    ],
)
def test_a_word_that_newcomers_ask_about_is_explained_in_a_sentence(word):
    meaning = glossary()[word]
    assert meaning.endswith(".")
    assert len(meaning) < 170
    shown = explained_html(f"This is {word}, and {word.upper()} again.")
    assert shown.count('tabindex="0"') == 1
    assert re.sub(r"<[^>]*>", "", shown) == f"This is {word}, and {word.upper()} again."


def test_the_longest_word_wins_and_parts_of_words_are_left_alone():
    shown = explained_html("the level of capture is open")
    assert shown.endswith(">level of capture</dfn> is open")
    for text in ("capture-aware", "weightless", "pre-entropy", "nats_2"):
        assert explained_html(text) == text


def test_what_a_file_says_stays_text():
    for shown in (words_html("<b>ELBO</b>"), notice("<b>ELBO</b>", "info").object):
        assert "<b>" not in shown
        assert shown.count("<dfn") == 1
    assert "<dfn" in titles_html({"elpd_loo": "elpd (LOO)"})["elpd_loo"]


def test_the_documents_lead_to_the_same_words():
    assert "../scribeviz/views/shared/glossary.md" in (DOCS / "models.md").read_text()
    assert "../scribeviz/views/shared/glossary.md" in (DOCS / "criticism.md").read_text()
