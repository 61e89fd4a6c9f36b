"""What a training step costs to compile, with NumPyro's betas and Dirichlets and with ours.

``python -m tests.benchmarks.compilation``; one row per model.  Every compilation is made in a fresh
process, both sides in turns, without the persistent cache.
"""

import argparse
import os
import subprocess
import sys
import time

MODELS = [("nbdm", 1), ("zinbvcp", 1), ("zinbvcp", 2)]
ROUNDS = 2


def seconds(model: str, n_components: int, *, numpyros: bool) -> float:
    """Processor seconds of the first ten steps, nearly all of them compilation."""
    import numpyro.distributions as dist

    import scribeviz
    from scribeviz.fitting import fit  # imported before the clock starts
    from scribeviz.models import families

    if numpyros:
        for ours, theirs in ((families.Beta, dist.Beta), (families.Dirichlet, dist.Dirichlet)):
            ours.sample = theirs.sample
        # NumPyro's formula, by the concentrations that it takes.
        families.dirichlet_divergence = lambda p, q: dist.kl_divergence(
            dist.Dirichlet(p), dist.Dirichlet(q)
        )
    counts = scribeviz.demo()
    began = time.process_time()
    fit.fit(counts, model, n_components=n_components, inference_method="svi", n_steps=10)
    return time.process_time() - began


def _fresh(model: str, n_components: int, side: str) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.compilation", "--one", model]
    command += ["--components", str(n_components), "--side", side]
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the table, or one figure of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", metavar="MODEL", help="only this one, in this process")
    parser.add_argument("--components", type=int, default=1)
    parser.add_argument("--side", choices=["NumPyro's", "ours"], default="ours")
    arguments = parser.parse_args()
    if arguments.one:
        side = arguments.side == "NumPyro's"
        print(seconds(arguments.one, arguments.components, numpyros=side))
        return
    print("| model | components | NumPyro's, processor seconds | ours | ratio |")
    print("|---|---|---|---|---|")
    for model, n_components in MODELS:
        least = {"NumPyro's": float("inf"), "ours": float("inf")}
        for _ in range(ROUNDS):
            for side, before in least.items():
                least[side] = min(before, _fresh(model, n_components, side))
        theirs, ours = least.values()
        print(f"| {model} | {n_components} | {theirs:.1f} | {ours:.1f} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
