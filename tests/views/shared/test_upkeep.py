"""Pages are refreshed when something changed, while somebody looks at them."""

from types import SimpleNamespace

import param
import pytest
from bokeh.document import Document
from panel.io.state import state as panel_state

from scribeviz.views.shared.closed import forget_views
from scribeviz.views.shared.in_browser import LOOKED_AT, SCRIPTS
from scribeviz.views.shared.upkeep import Upkeep


@pytest.fixture
def kept(finish):
    """A page that counts its refreshes, and the ticks of its document that wait."""
    ticks, refreshed = [], []
    document = SimpleNamespace(add_next_tick_callback=ticks.append)

    async def refresh():
        refreshed.append(1)

    upkeep = Upkeep(refresh, document)

    def tick():
        waiting = ticks[:]
        ticks.clear()
        for callback in waiting:
            finish(callback())
        return len(refreshed)

    return SimpleNamespace(upkeep=upkeep, tick=tick, ticks=ticks)


class State(param.Parameterized):
    gene = param.String("")
    place = param.String("")


def test_many_changes_are_one_refresh_and_no_change_is_none(kept):
    state = State()
    kept.upkeep.follow(state)
    assert kept.tick() == 0
    state.param.update(gene="CD3E", place="Explore")
    state.gene = "LYZ"
    kept.upkeep.ask()
    assert kept.tick() == 1
    assert kept.tick() == 1
    state.gene = "LYZ"
    assert not kept.ticks
    state.gene = "MS4A1"
    assert kept.tick() == 2


def test_a_page_out_of_sight_catches_up_when_it_is_seen(kept):
    kept.upkeep.switch.value = False
    for _ in range(3):
        kept.upkeep.ask()
    assert kept.tick() == 0
    kept.upkeep.switch.value = True
    assert kept.tick() == 1


def test_a_closed_page_is_left_alone(kept):
    kept.upkeep.stop()
    kept.upkeep.ask()
    assert not kept.ticks


def test_the_browser_finds_the_switch(kept):
    assert kept.upkeep.switch.tags == [LOOKED_AT]
    assert any(f'"{LOOKED_AT}"' in script and "visibilitychange" in script for script in SCRIPTS)


def test_panel_forgets_what_was_on_a_closed_page(monkeypatch):
    closed, other = Document(), Document()
    views = {"a": (None, None, closed, None), "b": (None, None, other, None)}
    monkeypatch.setattr(type(panel_state), "_views", views)
    forget_views(closed)
    assert list(views) == ["b"]
