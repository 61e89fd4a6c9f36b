import subprocess
import sys
from pathlib import Path

import scribeviz.plots

LOOK = """
import sys
from importlib import import_module

for name in sys.argv[1:]:
    import_module(f"scribeviz.plots.{name}")
print([name for name in ("jax", "numpyro", "anndata", "scribeviz.runs") if name in sys.modules])
"""


def test_pictures_need_no_jax():
    names = [path.stem for path in Path(scribeviz.plots.__file__).parent.glob("[a-z]*.py")]
    assert len(names) >= 6
    told = subprocess.run(
        [sys.executable, "-c", LOOK, *names], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_no_picture_imports_panel_itself():
    # HoloViews does, so it cannot be seen from what is loaded.
    sources = [path.read_text() for path in Path(scribeviz.plots.__file__).parent.glob("*.py")]
    assert not [source for source in sources if "import panel" in source or "from panel" in source]
