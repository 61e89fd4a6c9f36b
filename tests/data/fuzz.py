"""Damaged and hostile files of every format, read as the dashboard reads them.

By hand, for as long as you like: ``python -m tests.data.fuzz --minutes 60 --seed 1``.  Every
reading must end in counts that are counts or in a sentence, within the limits; nothing outside the
file is read, and nothing in it is run.  A failed case is repeated by ``--case`` with its number.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import psutil

from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.data_folder import resolve
from scribeviz.data.opening import Opened
from scribeviz.data.reading_process import Reading, ReadingFailedError
from tests.data.mutations import MUTATIONS, SECRET, SECRET_COUNT, Mutation, Scene
from tests.data.small_files import SMALL_FILES

MOST_SECONDS = 10.0


@dataclass(frozen=True)
class Case:
    """One small file, and what is done to it."""

    number: int
    seed: int
    kind: str
    mutation: Mutation

    @property
    def name(self) -> str:
        return f"{self.number}: {self.mutation.name} of {self.kind}"


@dataclass(frozen=True)
class Outcome:
    """How a case ended: ``"read"``, ``"refused"``, ``"stopped"`` or ``"failed"``, and why.

    ``seconds`` are of processor time, for one reading: other programs may have the machine.
    """

    case: Case
    kind: str
    says: str
    seconds: float


def cases(seed: int) -> Iterator[Case]:
    """Every mutation of every kind of file, again and again with other random numbers."""
    pairs = [
        (kind, mutation)
        for kind, small in SMALL_FILES.items()
        for mutation in MUTATIONS
        if mutation.fits(small)
    ]
    np.random.default_rng(seed).shuffle(pairs)
    for number in count():
        yield Case(number, seed, *pairs[number % len(pairs)])


class Fuzz:
    """Small files in a folder of their own, and something beside it that nobody may read."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._seconds = 0.0
        self._whole = {}
        for kind, small in SMALL_FILES.items():
            folder = place / "whole" / kind.replace(" ", "-")
            folder.mkdir(parents=True)
            self._whole[kind] = small.write(folder)

    def run(self, case: Case) -> Outcome:
        """Make the file of a case, read it, and judge what came of it."""
        scene = self._scene(case)
        self._seconds = 0.0
        try:
            case.mutation.change(scene, np.random.default_rng((case.seed, case.number)))
            kind, says = self._read(scene)
        except AssertionError as wrong:
            kind, says = "failed", str(wrong)
        except Exception as foreign:  # noqa: BLE001  what must not happen
            kind, says = "failed", f"{type(foreign).__name__}: {foreign}"
        if self._seconds > MOST_SECONDS:
            kind, says = "failed", f"{self._seconds:.1f} s of processor time ({kind}: {says})"
        if scene.trap.exists():
            kind, says = "failed", "something in the file was run"
        shutil.rmtree(scene.root)
        return Outcome(case, kind, says, self._seconds)

    def _scene(self, case: Case) -> Scene:
        root = self._place / "case"
        whole = self._whole[case.kind]
        for folder in (root / "data", root / "outside"):
            folder.mkdir(parents=True)
        path = root / "data" / whole.name
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, path)
        return Scene(root, path)

    def _read(self, scene: Scene) -> tuple[str, str]:
        try:
            path = resolve(scene.path.parent, scene.path.name)
            found = self._open(path)
            for layer in list(found.sources)[1:]:
                check(self._open(path, layer).counts)
        except ReadingFailedError as died:
            return "failed", str(died)
        except CountsError as refusal:
            check_sentence(str(refusal), scene)
            return "stopped" if "reading it" in str(refusal) else "refused", str(refusal)
        check(found.counts)
        if found.counts is None:
            check_sentence(found.problem, scene)
            return "refused", found.problem
        return "read", ""

    def _open(self, path: Path, layer: str = "X") -> Opened:
        """Read as the server does, and note how long the longest reading takes."""
        before = _processor_time()
        try:
            return Reading().open(path, layer)
        finally:
            self._seconds = max(self._seconds, _processor_time() - before)


def _processor_time() -> float:
    """Seconds that this process and those that read for it have worked."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [child.cpu_times() for child in psutil.Process().children()]
    readers = sum(t.user + t.system + t.children_user + t.children_system for t in alive)
    return time.process_time() + ended.ru_utime + ended.ru_stime + readers


def check(counts: Counts | None) -> None:
    """Whether what was read may be trusted by everything behind it."""
    if counts is None:
        return
    matrix = counts.matrix
    assert min(matrix.shape) > 0, f"shape {matrix.shape}"
    assert matrix.indptr[0] == 0, "the first pointer is not 0"
    assert matrix.indptr[-1] == matrix.indices.size == matrix.data.size, "lengths differ"
    assert (np.diff(matrix.indptr) >= 0).all(), "pointers fall"
    assert matrix.data.dtype == np.int32, f"values are {matrix.data.dtype}"
    assert (matrix.data > 0).all(), "a stored count is not above 0"
    assert ((matrix.indices >= 0) & (matrix.indices < matrix.shape[1])).all(), "index out of range"
    assert len(set(counts.cells)) == len(counts.obs) == matrix.shape[0], "cells do not match"
    assert len(set(counts.genes)) == len(counts.gene_ids) == matrix.shape[1], "genes do not match"
    names = " ".join([*counts.genes, *counts.gene_ids, *counts.cells, *counts.notes])
    assert SECRET not in names + counts.obs.to_csv(), "a file outside was read"
    assert SECRET_COUNT not in matrix.data, "a file outside was read"


def check_sentence(text: str, scene: Scene) -> None:
    """Whether a user may be shown it."""
    assert text.isprintable(), f"unprintable: {text!r}"
    assert text.endswith("."), f"no sentence: {text!r}"
    assert str(scene.root) not in text, f"names the server's folders: {text!r}"
    assert SECRET not in text, f"tells what is outside: {text!r}"
    assert len(text) < 1_000, f"{len(text):,} characters: {text[:200]!r}"


def fuzz(seed: int, seconds: float, most: float = float("inf")) -> Iterator[Outcome]:
    """Run case after case."""
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="scribeviz-fuzz-") as place:
        bench = Fuzz(Path(place))
        for case in cases(seed):
            if case.number >= most or time.monotonic() > until:
                return
            yield bench.run(case)


def table(outcomes: list[Outcome]) -> str:
    """Mutations x outcomes, with the longest time that one took."""
    kinds = ("read", "refused", "stopped", "failed")
    found = Counter((outcome.case.mutation.name, outcome.kind) for outcome in outcomes)
    slowest = {}
    for outcome in outcomes:
        name = outcome.case.mutation.name
        slowest[name] = max(slowest.get(name, 0.0), outcome.seconds)
    rows = [f"{'mutation':<34}" + "".join(f"{kind:>9}" for kind in (*kinds, "slowest"))]
    for name in sorted(slowest):
        numbers = "".join(f"{found[name, kind]:>9}" for kind in kinds)
        rows.append(f"{name:<34}{numbers}{slowest[name]:>7.1f} s")
    sums = "".join(f"{sum(o.kind == kind for o in outcomes):>9}" for kind in kinds)
    return "\n".join([*rows, f"{'all':<34}{sums}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="at most so many")
    parser.add_argument("--case", type=int, help="only this one, and say what came of it")
    chosen = parser.parse_args()
    if chosen.case is not None:
        case = next(case for case in cases(chosen.seed) if case.number == chosen.case)
        with tempfile.TemporaryDirectory(prefix="scribeviz-fuzz-") as place:
            print(Fuzz(Path(place)).run(case))
        return 0
    outcomes = []
    for outcome in fuzz(chosen.seed, 60 * chosen.minutes, chosen.cases):
        outcomes.append(outcome)
        if outcome.kind == "failed":
            print(f"FAILED {outcome.case.name}: {outcome.says}", flush=True)
    print(table(outcomes))
    return int(any(outcome.kind == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
