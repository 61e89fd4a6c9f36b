"""Colours and letters of everything that the views show, on a page or in a cell."""

from scribeviz.views.shared.parts import PRIMARY

# One palette: of a theme with one for each mode the wrong one is drawn now and then
# (panel-material-ui 0.16).
THEME = {
    "palette": {"primary": {"main": PRIMARY}, "secondary": {"main": "#d55e00"}},
    "typography": {"button": {"textTransform": "none"}},
    # Names may be long.
    "components": {
        "MuiMenuItem": {
            "styleOverrides": {
                "root": {"display": "block", "overflow": "hidden", "textOverflow": "ellipsis"}
            }
        },
        "MuiButton": {"styleOverrides": {"root": {"maxWidth": "100%", "overflowWrap": "anywhere"}}},
    },
}
