"""Colours and letters of everything that the views show, on a page or in a cell."""

from scribeviz.views.shared.parts import PRIMARY

# One palette: of a theme with one for each mode the wrong one is drawn now and then
# (panel-material-ui 0.16).  Text in the primary colour is lighter on a dark page, to be read there.
_LIGHTER_IN_THE_DARK = {"color": "var(--mui-palette-primary-light)"}

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
        "MuiButton": {
            "styleOverrides": {
                "root": {
                    "maxWidth": "100%",
                    "overflowWrap": "anywhere",
                    ".mui-dark &.MuiButton-text.MuiButton-colorPrimary": _LIGHTER_IN_THE_DARK,
                    ".mui-dark &.MuiButton-outlined.MuiButton-colorPrimary": _LIGHTER_IN_THE_DARK,
                }
            }
        },
        "MuiTab": {"styleOverrides": {"root": {".mui-dark &.Mui-selected": _LIGHTER_IN_THE_DARK}}},
        "MuiFormLabel": {
            "styleOverrides": {"root": {".mui-dark &.Mui-focused": _LIGHTER_IN_THE_DARK}}
        },
        # The same colour in both modes: what is written on it is white.
        "MuiAppBar": {"styleOverrides": {"root": {"backgroundImage": "none"}}},
    },
}
