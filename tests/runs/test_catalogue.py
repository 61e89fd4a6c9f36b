"""All runs of a folder, read once; the index beside them, which may be anything."""

import shutil
import sqlite3

import pytest

from scribeviz.runs import catalogue as catalogue_module
from scribeviz.runs.catalogue import Catalogue
from scribeviz.runs.folder import RunFolder, RunState
from scribeviz.runs.index import RunIndex
from scribeviz.runs.store import RunStore
from tests.chaos.synthetic import make_runs

N_RUNS = 12


@pytest.fixture
def root(tmp_path):
    make_runs(tmp_path / "runs", N_RUNS)
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def _clocks_are_fine(monkeypatch):
    """No second look at what was written a moment ago, and no round within a test."""
    monkeypatch.setattr(catalogue_module, "_SECONDS_TO_SETTLE", 0.0)
    monkeypatch.setattr(catalogue_module, "_SECONDS_OF_A_ROUND", 1e9)


@pytest.fixture
def disk(monkeypatch):
    """Names of the runs whose spec is read from the disk."""
    names = []
    read = catalogue_module._status

    def spied(run, has_files):
        names.append(run.id)
        return read(run, has_files)

    monkeypatch.setattr(catalogue_module, "_status", spied)
    return names


def settled(runs):
    runs.glance()
    runs.glance()
    return runs.glance()


def test_a_glance_gives_the_same_while_nothing_changes(root, disk):
    runs = Catalogue(root)
    first = settled(runs)
    assert [run.id for run, _ in first.runs] == [f"{i:05}-nbdm" for i in reversed(range(N_RUNS))]
    assert (first.active, first.damaged) == ([], [])
    assert len(disk) == N_RUNS
    assert runs.glance() is first
    assert len(disk) == N_RUNS


def test_progress_is_no_change_of_states(root):
    runs = Catalogue(root)
    run = RunFolder(root / "00003-nbdm")
    run.update_status(state=RunState.RUNNING, step=1)
    before = settled(runs)
    assert [one.id for one, _ in before.active] == [run.id]
    run.update_status(step=2)
    now = runs.glance()
    assert now.of_states == before.of_states
    assert now.active[0][1].step == {r.id: s for r, s in now.runs}[run.id].step == 2
    run.update_status(state=RunState.DONE)
    assert runs.glance().of_states != before.of_states
    assert runs.glance().active == []


def test_runs_come_and_go(root):
    runs = Catalogue(root)
    before = settled(runs)
    shutil.copytree(root / "00000-nbdm", root / "copied")
    (root / "half").mkdir()
    come = runs.glance()
    assert len(come.runs) == N_RUNS + 1
    assert come.of_states != before.of_states
    shutil.rmtree(root / "copied")
    gone = runs.glance()
    assert gone.of_states != come.of_states
    assert len(gone.runs) == N_RUNS
    assert runs.run("copied") is None
    assert runs.run("half") is None
    assert runs.run("00000-nbdm") == RunFolder(root / "00000-nbdm")


def test_what_somebody_edited_is_seen_in_the_next_round(root, monkeypatch):
    runs = Catalogue(root)
    settled(runs)
    (root / "00003-nbdm" / "status.json").write_text("")
    assert runs.glance().damaged == []
    monkeypatch.setattr(catalogue_module, "_SECONDS_OF_A_ROUND", 1e-6)
    assert [run.id for run in runs.glance().damaged] == ["00003-nbdm"]


def test_a_run_that_another_server_resumes_is_seen_at_once(root):
    here, there = RunStore(root), RunStore(root)
    settled(here)
    run = here.run("00003-nbdm")
    run.update_status(state=RunState.STOPPED)
    there.tend = lambda: None
    there.resume(run)
    assert [one.id for one, _ in here.glance().active] == [run.id]


def test_the_next_server_reads_the_index_and_not_the_folders(root, disk):
    first = Catalogue(root).look()
    disk.clear()
    (root / "00003-nbdm" / "status.json").write_text("{}")
    second = Catalogue(root).look()
    assert disk == ["00003-nbdm"]
    same = [pair for pair in first.runs if pair[0].id != "00003-nbdm"]
    assert second.runs == same
    assert [run.spec for run, _ in second.runs] == [run.spec for run, _ in same]


def garbage(path):
    path.write_bytes(b"no database" * 1_000)


def cut(path):
    path.write_bytes(path.read_bytes()[:5_000])


def of_another_version(path):
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE runs")
        db.execute("CREATE TABLE runs (name TEXT)")
        db.execute("PRAGMA user_version = 99")
    db.close()


def with_other_columns(path):
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE runs")
        db.execute("CREATE TABLE runs (name TEXT)")
    db.close()


def with_nonsense_in_it(path):
    with sqlite3.connect(path) as db:
        db.execute("UPDATE runs SET spec = '[1, 2]', status = 'x'")
    db.close()


@pytest.mark.parametrize(
    "damage", [garbage, cut, of_another_version, with_other_columns, with_nonsense_in_it]
)
def test_a_damaged_index_is_made_anew(root, damage, disk):
    first = Catalogue(root).look()
    damage(RunIndex(root).path)
    disk.clear()
    again = Catalogue(root).look()
    assert again.runs == first.runs
    assert len(disk) == N_RUNS
    disk.clear()
    assert Catalogue(root).look().runs == first.runs
    assert disk == []


def test_an_index_that_cannot_be_written_is_done_without(root, disk):
    (root / ".index").write_text("a file")
    for _ in range(2):
        runs = Catalogue(root)
        runs.ring()
        assert len(runs.look().runs) == N_RUNS
    assert len(disk) == 2 * N_RUNS


def test_who_listens_is_told_of_changes_until_it_stops(root):
    store = RunStore(root)
    looks = []

    def fails(_look):
        raise RuntimeError("a page that is broken")

    store.listen(fails)
    stop = store.listen(looks.append)
    store._tell(store.glance())
    assert len(looks) == 1
    stop()
    store._tell(store.glance())
    assert len(looks) == 1
