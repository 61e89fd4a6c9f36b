"""For those who use the keyboard: a way past the steps, and a list of the keys."""

import json

from scribeviz.views.shared.parts import PRIMARY

KEYS = {
    "Tab": "to what can be used next; with Shift to what was before",
    "Enter": "presses a button, opens what is folded away, chooses a row, sorts by a column",
    "↑ ↓": "in the list of genes: the gene above, the gene below",
    "← →": "move a slider; go from tab to tab",
    "Esc": "closes this list, a menu or an explanation",
    "?": "shows this list",
}
"""What each key does, on every page."""

_LOOK = f"""
#keys {{
  max-width: min(520px, 90vw); padding: 20px 24px; border: 1px solid rgba(128, 128, 128, .5);
  border-radius: 10px; font: 16px/1.45 Roboto, sans-serif;
  background: var(--mui-palette-background-paper); color: var(--mui-palette-text-primary);
}}
#keys::backdrop {{ background: #0008; }}
#keys p {{ margin: 0 0 12px; font-size: 1.1rem; font-weight: 600; }}
#keys dl {{ display: grid; grid-template-columns: auto 1fr; gap: 8px 16px; margin: 0 0 16px; }}
#keys dt {{ font-weight: 600; white-space: nowrap; }}
#keys dd {{ margin: 0; }}
#keys button, #skip {{
  padding: 8px 16px; border: 0; border-radius: 4px; background: {PRIMARY}; color: #fff;
  font: 15px/1.2 Roboto, sans-serif; cursor: pointer;
}}
#skip {{ position: fixed; z-index: 9999; left: 8px; top: -80px; }}
#skip:focus {{ top: 8px; outline: 2px solid #fff !important; outline-offset: -4px; }}
"""

SHOW_KEYS = 'document.getElementById("keys").showModal();'
"""What a button runs that shows the list."""

_LIST = """
if (document.getElementById("keys") === null) {
  const made = (tag, text, into, attributes = {}) => {
    const part = Object.assign(document.createElement(tag), {textContent: text}, attributes);
    into.append(part);
    return part;
  };
  made("style", look, document.head);
  const dialog = made("dialog", "", document.body, {id: "keys"});
  dialog.setAttribute("aria-labelledby", made("p", "Keys", dialog, {id: "keys-title"}).id);
  const list = made("dl", "", dialog);
  for (const [key, does] of Object.entries(keys)) {
    made("dt", key, list);
    made("dd", does, list);
  }
  made("button", "Close", dialog, {onclick: () => dialog.close()});
  document.addEventListener("keydown", (event) => {
    const isWriting = event.composedPath()[0].closest?.("input, textarea, [contenteditable]");
    if (event.key === "?" && !isWriting && !dialog.open) dialog.showModal();
  });

  const within = (root, which) => {
    for (const part of root.querySelectorAll("*")) {
      const there = part.matches(which) ? part : part.shadowRoot && within(part.shadowRoot, which);
      if (there) return there;
    }
    return null;
  };
  const skip = made("button", "Skip to the content", document.body, {id: "skip"});
  document.body.prepend(skip);
  skip.addEventListener("click", () => {
    const content = within(document, "main");
    content.tabIndex = -1;
    content.focus();
  });
}
"""

KEYBOARD = f"const look = {json.dumps(_LOOK)}, keys = {json.dumps(KEYS)};{_LIST}"
"""Run when the document is ready."""
