"""What ``panel serve app`` serves; everything else is in the installed package."""

from scribeviz.views.shell import serve_page

serve_page().servable(title="scribeviz")
