"""What the libraries of the page leave out for keyboards and screen readers, added in the browser.

Each entry names what it is about; docs/upstream.md says what should be mended where.
"""

from scribeviz.views.shared.parts import PRIMARY, ROWS_CHOOSE

# Where the focus is, in every part of the page: what is written on the header is white, and fields
# have a frame of their own.
_RING = f"""
const ring = new CSSStyleSheet();
ring.replaceSync(`
  :focus-visible, .Mui-focusVisible {{
    outline: 2px solid {PRIMARY} !important; outline-offset: 2px;
  }}
  .MuiAppBar-root :focus-visible {{ outline-color: #fff !important; }}
  .MuiInputBase-input:focus-visible {{ outline: none !important; }}
  .tabulator :focus-visible {{ outline-offset: -2px; }}
`);
"""

_HELPERS = """
const set = (part, attributes) => {
  for (const [name, value] of Object.entries(attributes))
    if (part.getAttribute(name) !== value) part.setAttribute(name, value);
};
"""

# The pages of a table are beneath its grid, not in it; what scrolls, and takes the focus, is it.
_TABLES = """
const asGrid = (table) => {
  const head = table.querySelector(":scope > .tabulator-header");
  const scrolled = table.querySelector(":scope > .tabulator-tableholder");
  const body = scrolled?.querySelector(":scope > .tabulator-table");
  if (!head || !body) return;
  head.id ||= "table-head";
  body.id ||= "table-body";
  for (const name of ["role", "aria-owns"]) table.removeAttribute(name);
  set(scrolled, {role: "grid", "aria-owns": `${head.id} ${body.id}`});
};
// A cell that cannot be edited gives the focus away at once: rows take it, where one can be chosen.
const asRow = (row) => {
  for (const cell of row.querySelectorAll(":scope > .tabulator-cell[tabindex]"))
    if (!cell.classList.contains("tabulator-editable")) set(cell, {tabindex: "-1"});
  if (row.getRootNode().host?.classList.contains("ROWS")) set(row, {tabindex: "0"});
};
""".replace("ROWS", ROWS_CHOOSE)

# Not "more: Tolerance": a field is found by that name, and its buttons are described by it.
_NUMBER_FIELDS = """
const asStep = (button) => {
  const label = button.closest(".MuiFormControl-root")?.querySelector("label");
  const isLess = button.parentElement.classList.contains("MuiInputAdornment-positionStart");
  set(button, {"aria-label": isLess ? "Decrease" : "Increase"});
  if (label?.id) set(button, {"aria-describedby": label.id});
};
"""

_DETAILS = """
const asDisclosure = (title) => {
  const isOpen = title.closest(".details").querySelector(".details-content") !== null;
  set(title, {role: "button", tabindex: "0", "aria-expanded": String(isOpen)});
};
"""

# What a mouse clicks, a key presses; of a row the first cell that is shown.
_PRESSED = """
const pressed = ".details-header > .MuiTypography-root, .tabulator-row, .tabulator-col";
document.addEventListener("keydown", (event) => {
  const [part] = event.composedPath();
  if (!part.matches?.(pressed) || (event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  const cells = [...part.querySelectorAll(":scope > .tabulator-cell")];
  (cells.find((cell) => cell.style.display !== "none") ?? part).click();
});
"""

# A radio is a card where its text has two lines: all of the first is its name, also where it wraps.
_CARDS = """
const asCard = (label) => {
  const end = label.textContent.indexOf("\\n");
  if (label.childElementCount > 0 || end < 0) return;
  const name = document.createElement("b");
  name.textContent = label.textContent.slice(0, end);
  label.replaceChildren(name, label.textContent.slice(end));
};
"""

_MENDED = """
const mended = {
  ".tabulator": asGrid,
  ".tabulator-row": asRow,
  ".tabulator-col.tabulator-sortable": (head) => set(head, {tabindex: "0"}),
  ".MuiInputAdornment-root > button:not([aria-label])": asStep,
  ".details-header > .MuiTypography-root": asDisclosure,
  ".MuiRadioGroup-root .MuiFormControlLabel-label": asCard,
  // The sign of a field that says what the field means.
  "span[aria-label][sx]": (sign) => set(sign, {role: "img"}),
  ".MuiAppBar-root > .MuiLinearProgress-root": (bar) => set(bar, {"aria-hidden": "true"}),
  ".MuiLinearProgress-root:not([aria-label])": (bar) => set(bar, {"aria-label": "Progress"}),
  ".MuiDrawer-paper[role=dialog]": (drawer) => set(drawer, {"aria-label": "Steps"}),
  "[aria-label='Resize sidebar']": (edge) =>
    set(edge, {role: "separator", "aria-orientation": "vertical"}),
  // Room for the header, and the name of the application: no headings of the page.
  ".MuiToolbar-root > h5, h3.title": (text) => set(text, {role: "presentation"}),
};
const mend = (root) => {
  for (const [which, how] of Object.entries(mended))
    for (const part of root.querySelectorAll(which)) how(part);
};
"""

# Each part of the page has a shadow root of its own, and changes in it are seen only there.
_WATCHED = """
const changed = new Set();
const mendChanged = () => {
  for (const root of changed) mend(root);
  changed.clear();
};
const note = (root) => {
  if (changed.size === 0) setTimeout(mendChanged, 50);
  changed.add(root);
};
const watcher = new MutationObserver((records) => {
  for (const record of records) note(record.target.getRootNode());
});
const watch = (root) => {
  root.adoptedStyleSheets.push(ring);
  watcher.observe(root, {childList: true, subtree: true});
  note(root);
};
const watchAll = (root) => {
  watch(root);
  for (const part of root.querySelectorAll("*")) if (part.shadowRoot) watchAll(part.shadowRoot);
};
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) {
  const root = attach.call(this, options);
  watch(root);
  return root;
};
watchAll(document);
"""

READABLE = (
    _RING + _HELPERS + _TABLES + _NUMBER_FIELDS + _DETAILS + _PRESSED + _CARDS + _MENDED + _WATCHED
)
"""Run when the document is ready."""
