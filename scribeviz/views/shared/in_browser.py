"""What the browser does by itself on every page."""

# After Enter a number field takes nothing more until it is left and entered again: do that for the
# user, who may type another number at once.
_ENTER_ANOTHER_NUMBER = """
document.addEventListener("keydown", (event) => {
  const field = event.composedPath()[0];
  if (event.key !== "Enter" || field.tagName !== "INPUT") return;
  if (field.parentElement.querySelectorAll("button").length === 2)  // less and more
    setTimeout(() => { field.blur(); field.focus(); field.select(); }, 60);
});
"""

# On a narrow screen the steps would cover what they lead to: there they are closed at first, and
# when one has been taken.
_STEPS_ARE_CLOSED_WHERE_NARROW = """
const close = () => {
  if (window.innerWidth >= 900) return;
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.class_name === "Page") model.data.sidebar_open = false;
};
close();
document.addEventListener("click", (event) => {
  if (event.composedPath().some((part) => part.classList?.contains("MuiStepLabel-root"))) close();
});
"""

# Back and Forward go from page to page: a gene or a run replaces the address, and an address that
# the browser goes back to is told to the server.
_BACK_AND_FORWARD = """
const push = history.pushState.bind(history);
const placeOf = (search) => new URLSearchParams(search).get("place");
history.pushState = (state, title, url) => {
  const before = placeOf(window.location.search);
  const after = placeOf(new URL(url, window.location.href).search);
  if (before === null || before === after) history.replaceState(state, title, url);
  else push(state, title, url);
};
window.addEventListener("popstate", () => {
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.type.endsWith("Location")) model.search = window.location.search;
});
"""

LOOKED_AT = "looked-at"
"""Tag of the switch that says whether the page is in sight."""

# A page in another tab or behind another window is not refreshed until it is seen again.
_WHETHER_LOOKED_AT = f"""
const tell = () => {{
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.tags?.includes("{LOOKED_AT}")) model.active = !document.hidden;
}};
document.addEventListener("visibilitychange", tell);
tell();
"""

SCRIPTS = (
    _ENTER_ANOTHER_NUMBER,
    _STEPS_ARE_CLOSED_WHERE_NARROW,
    _BACK_AND_FORWARD,
    _WHETHER_LOOKED_AT,
)
"""Run when the document is ready."""

HIDDEN_WHERE_NARROW = "@media (max-width: 600px) { %s { display: none; } }"
"""A style sheet for a selector."""
