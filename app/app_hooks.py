"""What the server does once, before anybody visits."""

from scribeviz.views.shell import warm_up


def on_server_loaded(server_context: object) -> None:
    """Import, find the earlier runs and open the example in the background."""
    del server_context
    warm_up()
