"""What the browser does by itself on every page."""

from base64 import b64encode

from scribeviz.views.shared.keys import KEYBOARD
from scribeviz.views.shared.readable import READABLE

# After Enter a number field takes nothing more until it is left and entered again: do that for the
# user, who may type another number at once.
_ENTER_ANOTHER_NUMBER = """
document.addEventListener("keydown", (event) => {
  const field = event.composedPath()[0];
  if (event.key !== "Enter" || field.tagName !== "INPUT") return;
  if (field.parentElement?.querySelectorAll("button").length === 2)  // less and more
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

# What is cut for lack of room is whole where the mouse rests, also in tables and select boxes.
_WHOLE_UNDER_THE_MOUSE = """
document.addEventListener("mouseover", (event) => {
  const [part] = event.composedPath();
  if (!(part instanceof HTMLElement) || part.childElementCount > 0) return;
  const is_cut = getComputedStyle(part).textOverflow === "ellipsis"
    && part.scrollWidth > part.clientWidth;
  if (is_cut) part.title = part.textContent;
});
"""

# Words of the glossary are explained under the mouse and by keyboard, in one box for all: it must
# not be cut by the part of the page that the word stands in.  The signs of fields say what they
# mean under the mouse only (panel-material-ui 0.16): here also while the field has the focus.
_MEANINGS = """
const box = document.createElement("div");
box.id = "meaning";
box.setAttribute("aria-hidden", "true");  // a screen reader is told by the word itself
box.style.cssText = "position:fixed;z-index:9999;max-width:min(340px, 90vw);padding:8px 12px;"
  + "border-radius:8px;background:#1f2937;color:#fff;font:14px/1.45 Roboto,sans-serif;"
  + "box-shadow:0 2px 10px #0006;display:none;pointer-events:none";
document.body.append(box);
const hide = () => { box.style.display = "none"; };
const show = (event) => {
  const word = event.composedPath().find((part) => part.dataset?.meaning);
  if (!word) return hide();
  box.textContent = word.dataset.meaning;
  box.style.display = "block";
  const at = word.getBoundingClientRect();
  const left = Math.min(at.left, window.innerWidth - box.offsetWidth - 8);
  const below = at.bottom + 6;
  const fits = below + box.offsetHeight < window.innerHeight;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${fits ? below : at.top - box.offsetHeight - 6}px`;
};
for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, show);
// Where the focus goes from word to word within a part of the page, only the part is told of it.
document.addEventListener("keyup", (event) => { if (event.key === "Tab") show(event); });
document.addEventListener("focusout", hide);
document.addEventListener("scroll", hide, true);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
const signOf = (event) => {
  const [field] = event.composedPath();
  return field.tagName === "INPUT" && event.target.shadowRoot
    ? field.getRootNode().querySelector("[data-testid=InfoOutlinedIcon]") : null;
};
for (const [kind, mouse] of [["focusin", "mouseover"], ["focusout", "mouseout"]])
  document.addEventListener(kind, (event) =>
    signOf(event)?.dispatchEvent(new MouseEvent(mouse, {bubbles: true})));
"""

# For the seconds of a wait, which styles count (parts.in_progress).
_SECONDS = """
if (!window.scribeviz_seconds) {
  window.scribeviz_seconds = true;
  CSS.registerProperty({
    name: "--seconds", syntax: "<integer>", inherits: false, initialValue: "0"
  });
}
"""

FIGURES_ARE_WAITED_FOR = """
const figure = Bokeh.Models.get("Plot").prototype.default_view.prototype;
if (!figure.waited_for) {
  figure.waited_for = true;
  for (const name of ["_measure_layout", "_after_layout"]) {
    const whole = figure[name];
    figure[name] = function () { if (this.layout != null) whole.call(this); };
  }
}
"""
"""Whatever changes its size has Bokeh 3.10 measure all of the page.

A figure that was just added, and has no layout yet, throws then, and the rest of the server's
message is lost.  It is laid out in a moment: until then it has nothing to measure.
"""

BEFORE_THE_PAGE = {
    "figures": "data:text/javascript;base64," + b64encode(FIGURES_ARE_WAITED_FOR.encode()).decode()
}
"""Files that the browser runs once Bokeh is there and before the page is: what comes while the page
arrives must not be lost either."""

SCRIPTS = (
    _SECONDS,
    _ENTER_ANOTHER_NUMBER,
    _STEPS_ARE_CLOSED_WHERE_NARROW,
    _BACK_AND_FORWARD,
    _WHOLE_UNDER_THE_MOUSE,
    _MEANINGS,
    _WHETHER_LOOKED_AT,
    READABLE,
    KEYBOARD,
)
"""Run when the document is ready."""

HIDDEN_WHERE_NARROW = "@media (max-width: 600px) { %s { display: none; } }"
"""A style sheet for a selector."""
