"""The dashboard in a real JupyterLab: a kernel, cells, and the page between them."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from playwright.sync_api import expect

PATIENT = 120_000  # milliseconds, on a busy machine
TOKEN = "only-here"  # noqa: S105  of a server that ends with the test

CELLS = {
    "data": """
import time, warnings
warnings.simplefilter("ignore")
import anndata, scribeviz
counts = scribeviz.demo()
adata = anndata.AnnData(counts.matrix.astype("float32"), obs=counts.obs.copy())
adata.var_names, adata.obsm["X_umap"] = counts.genes, counts.embeddings["X_umap"]
""",
    "dashboard": "dashboard = scribeviz.Dashboard(adata, height=900)\ndashboard",
    "busy": """
time.sleep(20)
while not dashboard.run.status.state.is_over: time.sleep(0.2)
print(dashboard.run.state)
""",
    "read": "print(dashboard.gene, len(dashboard.selection))",
    "set": """
dashboard.gene = "cd3d"
dashboard.selection = adata.obs_names[adata.obs["bulk_labels"] == "CD34+"]
dashboard.to_obs("mine"); print(int(adata.obs["mine"].sum()))
""",
    "second": "second = scribeviz.Dashboard(dashboard.run, height=700)\nsecond",
    "after": "again = scribeviz.Dashboard(adata, height=500)\nagain",
}


class Lab:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page, url, name):
        self.page, self.url = page, url
        page.goto(f"{url}/doc/tree/{name}?token={TOKEN}&reset")
        page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(
            timeout=PATIENT
        )

    def cell(self, name):
        return self.page.locator(".jp-Notebook .jp-Cell").nth(list(CELLS).index(name))

    def start(self, name):
        """Run a cell; keys that are pressed while JupyterLab is still loading are lost."""
        cell = self.cell(name)
        prompt = cell.locator(".jp-InputPrompt").first
        before = prompt.inner_text().strip()
        for _ in range(10):
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")
            self.page.wait_for_timeout(1_000)
            if prompt.inner_text().strip() != before:
                return
        raise AssertionError(f"the cell {name!r} was not run")

    def run(self, name):
        """Run a cell to its end; gives what it printed."""
        self.start(name)
        cell = self.cell(name)
        done = re.compile(r"\[\d+\]:")
        expect(cell.locator(".jp-InputPrompt").first).to_have_text(done, timeout=PATIENT)
        self.page.wait_for_timeout(200)  # what was printed comes after it
        return cell.locator(".jp-OutputArea").inner_text().strip()

    def restart(self):
        """Restart the kernel, as the button does."""
        [session] = self._ask("sessions")
        self._ask(f"kernels/{session['kernel']['id']}/restart", method="POST")
        self.page.wait_for_timeout(5_000)  # a cell that is run too soon is run again

    def _ask(self, what, method="GET"):
        address = f"{self.url}/api/{what}?token={TOKEN}"
        request = urllib.request.Request(address, method=method)  # noqa: S310  our own server
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)


@pytest.fixture
def lab(page, tmp_path, free_port, wait_until_up):
    cells = [nbformat.v4.new_code_cell(code.strip()) for code in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "test.ipynb")
    # Cells out of sight stay in the page; nobody asks about news.
    settings = {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false"},
    }
    for name, content in settings.items():
        path = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    folders = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "SCRIBEVIZ_RUNS": "runs",
    }
    environment = os.environ | {name: str(tmp_path / folder) for name, folder in folders.items()}
    environment.pop("XLA_FLAGS", None)
    port = free_port()
    options = [f"--port={port}", "--ip=127.0.0.1", "--no-browser", "--allow-root"]
    options += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path}"]
    log = tmp_path / "lab.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(f"{url}/api?token={TOKEN}", server, log)
        yield Lab(page, url, "test.ipynb")
    finally:
        server.terminate()  # and it ends its kernels
        server.wait(30)


LASSO = """() => {
  const all = (view) => [view, ...[...(view.children?.() ?? [])].flatMap(all)];
  const figure = Bokeh.index.roots.flatMap(all).find((view) =>
    view.model.type.endsWith("Figure") && view.model.below[0].axis_label === "umap 1");
  figure.model.toolbar.tools.find((tool) => tool.type === "LassoSelectTool").active = true;
  figure.el.scrollIntoView({block: "center"});
  const box = figure.el.getBoundingClientRect(), frame = figure.frame.bbox;
  return [box.x + frame.x0, box.y + frame.y0, frame.width, frame.height];
}"""


def lasso(page):
    x, y, width, height = page.evaluate(LASSO)
    page.mouse.move(x + 0.02 * width, y + 0.02 * height)
    page.mouse.down()
    for across, down in ((0.98, 0.02), (0.98, 0.5), (0.02, 0.5), (0.02, 0.02)):
        page.mouse.move(x + across * width, y + down * height, steps=6)
    page.mouse.up()


@pytest.mark.slow
def test_the_dashboard_in_jupyterlab(lab, page, console_errors, shoot):
    from_elsewhere = []
    page.on("request", lambda asked: from_elsewhere.append(asked.url))
    lab.run("data")
    lab.run("dashboard")
    dashboard = lab.cell("dashboard")

    # From data to a fit, which goes on while the kernel is busy.
    dashboard.get_by_role("button", name="Go to the fit").click(timeout=PATIENT)
    dashboard.get_by_role("button", name="Start the fit").click(timeout=PATIENT)
    expect(dashboard.get_by_text("Stop and keep")).to_be_visible(timeout=PATIENT)
    began = time.monotonic()
    assert lab.run("busy") == "done"
    assert time.monotonic() - began > 20
    explore = dashboard.get_by_role("button", name="Explore the result")
    expect(explore).to_be_visible(timeout=PATIENT)
    shoot("jupyter-1-fit")

    # To a gene's picture.
    explore.click()
    numbers = dashboard.get_by_role("rowheader", name="cells without it")
    expect(numbers).to_be_visible(timeout=PATIENT)
    shoot("jupyter-2-explore")

    # A lasso is a variable.
    dashboard.get_by_role("tab", name="Cells", exact=True).click()
    expect(dashboard.get_by_text("All cells are looked at.")).to_be_visible(timeout=PATIENT)
    dashboard.get_by_text("All cells are looked at.").scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)
    lasso(page)
    sentence = dashboard.get_by_text("of 700 cells, chosen by lasso")
    expect(sentence).to_be_visible(timeout=PATIENT)
    shoot("jupyter-3-lasso")
    gene, n_cells = lab.run("read").split()
    assert sentence.inner_text().startswith(f"{n_cells} of 700 cells")

    # A variable is a gene, and cells that stand out.
    assert gene != "CD3D"
    assert lab.run("set") == "13"
    expect(dashboard.get_by_text("13 of 700 cells, chosen in Python.")).to_be_visible()
    expect(dashboard.get_by_role("heading", name="CD3D", exact=True)).to_be_attached()
    shoot("jupyter-4-chosen-in-python")

    # A second dashboard beside it has a gene of its own.
    lab.run("second")
    second = lab.cell("second")
    expect(second.get_by_role("rowheader", name="cells without it")).to_be_attached(timeout=PATIENT)
    assert lab.run("read").split() == ["CD3D", "13"]

    # A kernel that was started anew finds the runs.
    lab.restart()
    lab.run("data")
    lab.run("after")
    after = lab.cell("after")
    after.get_by_text("Fit", exact=True).first.click(timeout=PATIENT)
    expect(after.get_by_role("gridcell", name="done")).to_be_visible(timeout=PATIENT)
    shoot("jupyter-5-after-a-restart")

    assert not console_errors
    assert not [url for url in from_elsewhere if not url.startswith((lab.url, "blob:", "data:"))]
