import holoviews as hv
import pytest


@pytest.fixture
def draw():
    """Render a picture for the browser, as Bokeh does it; warnings are errors."""

    def render(picture):
        return hv.renderer("bokeh").get_plot(picture).state

    return render
