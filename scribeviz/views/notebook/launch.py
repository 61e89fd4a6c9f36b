"""The application in a tab of the browser, from Python."""

import html
import os
import socket
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import panel as pn

from scribeviz._screen import is_notebook
from scribeviz.results.protocol import Results
from scribeviz.runs.folder import RunFolder
from scribeviz.runs.run import store_of
from scribeviz.runs.store import RunStore
from scribeviz.views.notebook.beginning import begin, held
from scribeviz.views.shell import serve_page

_HERE = "127.0.0.1"
_LARGEST_MESSAGE = 200_000_000  # bytes


class Launched:
    """A server within this process; :meth:`stop` ends it.

    Attributes
    ----------
    url
        Where it is.
    """

    def __init__(self, url: str, server: Any) -> None:
        self.url, self._server = url, server

    def __repr__(self) -> str:
        return f"scribeviz is at {self.url}\n  .stop() ends it"

    def _repr_html_(self) -> str:
        address = html.escape(self.url, quote=True)
        return f'<a href="{address}" target="_blank" rel="noopener">Open scribeviz: {address}</a>'

    def stop(self) -> None:
        """End the server; runs go on."""
        self._server.stop()


def launch(
    what: Any = None,
    data: Any = None,
    *,
    layer: str | None = None,
    runs: RunStore | str | Path | None = None,
    port: int = 0,
    open_browser: bool | None = None,
) -> Launched:
    """Open the application in a browser, on data, a result or a run in memory.

    It is served by a thread of this process, to this machine only; in a notebook through
    jupyter-server-proxy, where that is installed, so that it can be reached from elsewhere as the
    notebook is.

    Parameters
    ----------
    what, data, layer, runs
        As of :class:`scribeviz.Dashboard`.
    port
        Where to listen; any free one when 0.
    open_browser
        Open a tab; as a default not in notebooks, which show a link.

    Raises
    ------
    OSError
        If the port is taken.
    CountsError, ValueError
        As :class:`scribeviz.Dashboard`.

    Examples
    --------
    ::

        scribeviz.launch(adata)
    """
    fitted = isinstance(what, RunFolder | Results)
    given = data if fitted else what
    counts = None if given is None else held(given, layer)
    store, chosen = store_of(runs), port or _free_port()
    base = _proxy()
    server = pn.serve(
        {"app": lambda: serve_page(store, lambda shell: begin(shell, what, counts))},
        port=chosen,
        address=_HERE,
        title="scribeviz",
        # Behind a proxy pages come from its name, which is not known here.
        websocket_origin=["*"] if base else [f"{_HERE}:{chosen}", f"localhost:{chosen}"],
        websocket_max_message_size=_LARGEST_MESSAGE,
        show=False,
        threaded=True,
        verbose=False,
    )
    url = f"{base}proxy/{chosen}/app" if base else f"http://{_HERE}:{chosen}/app"
    if open_browser or (open_browser is None and not is_notebook()):
        webbrowser.open(url)
    return Launched(url, server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        return int(probe.getsockname()[1])


def _proxy() -> str:
    """Path of the Jupyter server that has a proxy for what its kernels serve; empty if none."""
    if not is_notebook() or find_spec("jupyter_server_proxy") is None:
        return ""
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    if hub:
        return hub
    from jupyter_server.serverapp import list_running_servers

    parent = os.getppid()
    return next((one["base_url"] for one in list_running_servers() if one["pid"] == parent), "/")
