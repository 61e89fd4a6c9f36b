"""The command line: ``scribeviz fit``, ``scribeviz report`` and ``scribeviz serve``."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scribeviz import __version__

# What is imported here is waited for before the help appears.
if TYPE_CHECKING:
    from scribeviz.fitting.kinds import ChosenModel
    from scribeviz.fitting.methods import InferenceConfig, Method

_STOPPED = 130  # what a shell expects of a command that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        return chosen.run(chosen)
    except (ValueError, FileExistsError) as problem:  # a CountsError is a ValueError
        print("scribeviz:", problem, *getattr(problem, "__notes__", ()), file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return _STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scribeviz", description=__doc__)
    parser.add_argument("--version", action="version", version=f"scribeviz {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="fit a model and write a run folder")
    fit.add_argument("file", help="counts: h5ad, 10x folder or h5, loom, zarr, csv; or 'example'")
    fit.add_argument(
        "--model",
        default="nb",
        help="its name (default: nb; see --list-models), with _mix for a mixture",
    )
    fit.add_argument("--list-models", action=_ListModels, nargs=0, help="list them and exit")
    fit.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        help="a Python file that registers custom models; may be repeated",
    )
    fit.add_argument("--components", type=int, help="number of components of a mixture")
    fit.add_argument("--depth", metavar="COLUMN", help="take depths of cells from a column of obs")
    fit.add_argument(
        "--prior",
        action="append",
        default=[],
        metavar="SITE=FAMILY,NUMBER,…",
        help="a prior, such as r=lognormal,0,1; may be repeated",
    )
    fit.add_argument(
        "--parameterization", help="standard (default), linked, odds_ratio; of nb mean_dispersion"
    )
    fit.add_argument("--unconstrained", action="store_true", help="priors on log scales")
    fit.add_argument("--rank", type=int, default=0, help="rank of the guide (0: mean field)")
    fit.add_argument(
        "--method", help="exact, svi or mcmc; the usual one of the model when left out"
    )
    fit.add_argument("--layer", help="where the counts are, unless in X: a layer, or raw")
    fit.add_argument("--steps", type=int, help="the most steps to do")
    fit.add_argument("--epochs", type=int, help="the most epochs to train a network for")
    fit.add_argument("--learning-rate", type=float, help="Adam's first step size")
    fit.add_argument("--seed", type=int, help="the same seed gives the same fit")
    fit.add_argument("--out", type=Path, required=True, help="a new folder for the run")
    fit.set_defaults(run=_fit)

    report = commands.add_parser("report", help="write what a run found as one HTML file")
    report.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN_FOLDER", help="a run; two or more are compared"
    )
    report.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        help="a Python file that registers custom models; may be repeated",
    )
    report.add_argument("--out", type=Path, required=True, help="the file, such as report.html")
    report.set_defaults(run=_report)

    serve = commands.add_parser("serve", help="open the dashboard in a browser")
    serve.add_argument("--data", type=Path, help="the data folder (default: this folder)")
    serve.add_argument("--runs", type=Path, help="where runs are kept")
    serve.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        help="a Python file that registers custom models; may be repeated",
    )
    serve.add_argument("--port", type=int, default=5006)
    serve.add_argument("--address", default="127.0.0.1", help="of this machine, to listen on")
    serve.add_argument(
        "--allow-origin",
        action="append",
        metavar="HOST:PORT",
        help="another address that browsers may come from, as through an SSH tunnel or by the "
        "machine's name (say labserver:5006 or localhost:8080); may be given several times",
    )
    serve.add_argument("--example", action="store_true", help="start with the built-in example")
    serve.add_argument("--no-browser", action="store_true", help="only print the address")
    serve.set_defaults(run=_serve)
    return parser


class _ListModels(argparse.Action):
    """Lists what ``--model`` takes: not in the help, which would have to import all models."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object
    ) -> None:
        _configure(namespace.models)
        from scribeviz.fitting.kinds import offers
        from scribeviz.models.custom.registry import load_configured_models

        load_configured_models()
        print("\n".join(f"{offer.key:<10} {offer.label}" for offer in offers().values()))  # noqa: T201
        print("Models of counts also with _mix: a mixture of components.")  # noqa: T201
        parser.exit()


def _fit(chosen: argparse.Namespace) -> int:
    from scribeviz.runs.foreground import fit_by, waiting_worker

    _configure(chosen.models)
    with waiting_worker() as worker:
        from scribeviz.data.counts import CountsWarning
        from scribeviz.data.droplets import empty_droplets
        from scribeviz.data.examples import demo
        from scribeviz.data.readers import read
        from scribeviz.runs.folder import RunState, create_run

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CountsWarning)  # its notes are printed
            counts = demo() if chosen.file == "example" else read(chosen.file, chosen.layer)
        for note in counts.notes:
            print(note)  # noqa: T201
        if warning := empty_droplets(counts):
            print(f"{warning} The Data page of the dashboard leaves them out.")  # noqa: T201
        spec, method, config = _model_of(chosen)
        folder = create_run(chosen.out, counts, spec, config)
        status = fit_by(worker, folder)
    if status.state is RunState.STOPPED:
        print(f"Stopped after {status.step:,} steps: {folder.results_path}")  # noqa: T201
        return _STOPPED
    if status.state is not RunState.DONE:
        raise ValueError(status.error)
    ending = method.settled if status.settled else method.finished
    sentence = ending.format(took=f"{status.step:,} {method.unit}")
    print(f"{sentence[0].upper()}{sentence[1:]}: {folder.results_path}")  # noqa: T201
    return 0


def _report(chosen: argparse.Namespace) -> int:
    _configure(chosen.models)
    from scribeviz.models.custom.registry import load_configured_models
    from scribeviz.views.report.writing import report

    load_configured_models()
    print(report(chosen.runs, chosen.out))  # noqa: T201
    return 0


def _model_of(chosen: argparse.Namespace) -> "tuple[ChosenModel, Method, InferenceConfig]":
    """The model that is asked for, and how it is fitted."""
    from scribeviz.fitting.kinds import chosen_named, kind_of, offers
    from scribeviz.models.custom.registry import load_configured_models

    load_configured_models()
    offer = offers().get(chosen.model)
    settings = {}
    if offer is None or offer.kind.has_priors:
        settings = {
            "n_components": chosen.components,
            "parameterization": chosen.parameterization or "standard",
            "unconstrained": chosen.unconstrained,
            "guide_rank": chosen.rank,
            "depth_column": chosen.depth or "",
            "priors": dict(map(_prior, chosen.prior)),
        }
    else:
        options = ("components", "prior", "parameterization", "rank", "unconstrained", "depth")
        given = [f"--{name}" for name in options if getattr(chosen, name)]
        if given:
            raise ValueError(f"{' and '.join(given)}: {offer.key} has nothing of the kind.")
    spec = chosen_named(chosen.model, **settings)
    kind = kind_of(spec)
    numbers = {
        "n_steps": chosen.steps,
        "max_epochs": chosen.epochs,
        "learning_rate": chosen.learning_rate,
        "seed": chosen.seed,
    }
    config = kind.config(
        chosen.method, {name: value for name, value in numbers.items() if value is not None}
    )
    return spec, kind.method(chosen.method), config


def _configure(models: Sequence[Path]) -> None:
    """Have this process and its workers load these files of models."""
    if models:
        paths = (str(path.resolve()) for path in models)
        os.environ["SCRIBEVIZ_MODELS"] = os.pathsep.join(paths)


def _prior(text: str) -> tuple[str, tuple[str | float, ...]]:
    site, _, family = text.partition("=")
    name, *numbers = family.split(",")
    try:
        return site, (name, *map(float, numbers))
    except ValueError as problem:
        raise ValueError(
            f"--prior {text!r} is not SITE=FAMILY,NUMBER,…; for example r=lognormal,0,1."
        ) from problem


def _serve(chosen: argparse.Namespace) -> int:
    for name, folder in (("SCRIBEVIZ_DATA", chosen.data), ("SCRIBEVIZ_RUNS", chosen.runs)):
        if folder is not None:
            os.environ[name] = str(folder.resolve())
    _check_port(chosen.address, chosen.port)
    _configure(chosen.models)
    import panel as pn

    from scribeviz.inference.programs import keep_on_disk
    from scribeviz.views.shell import serve_page, warm_up

    keep_on_disk()
    warm_up()
    path = "app?data=example" if chosen.example else "app"
    address = f"http://{chosen.address}:{chosen.port}/{path}"
    print(f"scribeviz is at {address}  (Ctrl-C ends it)", flush=True)  # noqa: T201
    here = [f"{name}:{chosen.port}" for name in (chosen.address, "localhost", "127.0.0.1")]
    allowed = list(dict.fromkeys([*here, *(chosen.allow_origin or [])]))
    print(  # noqa: T201
        f"Browsers may come from {', '.join(allowed)}; if the page stays empty behind a tunnel or "
        "under another name, add --allow-origin HOST:PORT.",
        flush=True,
    )
    if not chosen.no_browser:
        import webbrowser

        webbrowser.open(address)
    pn.serve(
        {"app": serve_page},
        port=chosen.port,
        address=chosen.address,
        title="scribeviz",
        websocket_origin=allowed,
        show=False,
        websocket_max_message_size=200_000_000,
    )
    return 0


def _check_port(address: str, port: int) -> None:
    """Say that a port is taken before anything is announced or opened."""
    import socket

    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as problem:
            raise SystemExit(
                f"scribeviz cannot listen on {address}:{port} ({problem.strerror}); choose another "
                "port with --port, or end what uses this one."
            ) from problem


if __name__ == "__main__":
    sys.exit(main())
