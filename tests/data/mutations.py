"""What can be wrong with a file, by accident or by intent."""

import gzip
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import zarr

from tests.data.small_files import SmallFile

SECRET = "TOP-SECRET"  # noqa: S105  to be looked for
SECRET_COUNT = 1_953_460_820
MARKS = ["<img src=x onerror=alert(1)>", "a\x07\x1b[31m", "\u202egnp.exe", "a\nb", "x" * 5_000, ""]
_ODD_NUMBERS = [-1, 0, 1, 2**30, 2**31, 2**32, 2**62, -(2**31)]
_HUGE = 10**9
_MEGABYTE = 2**20


@dataclass(frozen=True)
class Scene:
    """A data folder with the file ``path`` in it, and a folder outside that nobody may read."""

    root: Path
    path: Path

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def trap(self) -> Path:
        """What a program in the file would make."""
        return self.root / "trap"


@dataclass(frozen=True)
class Mutation:
    """One way to damage a file, of what it can be damaged in."""

    name: str
    made_of: frozenset[str]
    change: Callable[[Scene, np.random.Generator], None]

    def fits(self, small: SmallFile) -> bool:
        return small.made_of in self.made_of


MUTATIONS: list[Mutation] = []


def mutation(name: str, *made_of: str):
    """Enter a function as a mutation of files that are made of these."""

    def enter(change):
        MUTATIONS.append(Mutation(name, frozenset(made_of), change))
        return change

    return enter


def _a_file(scene, rng):
    """The file, or one of those in the folder."""
    if scene.path.is_file():
        return scene.path
    files = sorted(path for path in scene.path.rglob("*") if path.is_file())
    return files[rng.integers(len(files))]


def _pick(rng, things):
    return things[rng.integers(len(things))]


# --- bytes ----------------------------------------------------------------------------------------

_ALL = ("hdf5", "zarr", "10x", "text", "archive")


@mutation("bits flipped", *_ALL)
def _(scene, rng):
    path = _a_file(scene, rng)
    content = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 30)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


@mutation("bytes replaced", *_ALL)
def _(scene, rng):
    path = _a_file(scene, rng)
    content = bytearray(path.read_bytes())
    start = rng.integers(len(content))
    length = min(rng.integers(1, 64), len(content) - start)
    content[start : start + length] = rng.bytes(length) if rng.random() < 0.5 else bytes(length)
    path.write_bytes(content)


@mutation("cut short", *_ALL)
def _(scene, rng):
    path = _a_file(scene, rng)
    os.truncate(path, rng.integers(path.stat().st_size))


@mutation("a part twice", *_ALL)
def _(scene, rng):
    path = _a_file(scene, rng)
    content = path.read_bytes()
    start, stop = np.sort(rng.integers(len(content), size=2))
    path.write_bytes(content[:stop] + content[start:])


# --- HDF5 -----------------------------------------------------------------------------------------


def _datasets(file):
    found = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return found


def _groups(file):
    found = [""]
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Group) else None)
    return found


def _replace(file, name, values, **options):
    attributes = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    file.create_dataset(name, data=values, **options)
    file[name].attrs.update(attributes)


def _sparse(file, rng):
    """A group that holds a sparse matrix, or the group of a 10x file."""
    return _pick(
        rng, [name for name in _groups(file) if {"indptr", "indices"} <= set(file[name or "/"])]
    )


def _changes_hdf5(change):
    def changed(scene, rng):
        with h5py.File(scene.path, "r+") as file:
            change(file, rng)

    return changed


def hdf5(name):
    return lambda change: mutation(name, "hdf5")(_changes_hdf5(change))


@hdf5("another type")
def _(file, rng):
    name = _pick(rng, _datasets(file))
    shape = file[name].shape or ()  # none where a dataset holds nothing
    kind = _pick(
        rng, ["S5", "f2", "f8", "u1", "i1", "?", "c8", "V8", [("a", "i4"), ("b", "f8")], "u8"]
    )
    _replace(file, name, np.zeros(shape, dtype=kind))


@hdf5("text of variable length")
def _(file, rng):
    name = _pick(rng, _datasets(file))
    _replace(
        file,
        name,
        np.full(file[name].shape or (), _pick(rng, MARKS), dtype=object),
        dtype=h5py.string_dtype(),
    )


@hdf5("odd numbers")
def _(file, rng):
    name = _pick(
        rng,
        [name for name in _datasets(file) if file[name].dtype.kind in "iuf" and file[name].size],
    )
    values = np.atleast_1d(file[name][...].astype("f8"))
    values.flat[rng.integers(values.size)] = _pick(rng, [*_ODD_NUMBERS, np.nan, np.inf, 0.5])
    whole = np.isfinite(values).all() and rng.random() < 0.5
    _replace(file, name, values.astype("i8") if whole else values)


@hdf5("sparse indices out of range")
def _(file, rng):
    if not any({"indptr", "indices"} <= set(file[name or "/"]) for name in _groups(file)):
        return
    place = _sparse(file, rng)
    indices = file[f"{place}/indices"][...].astype("i8")
    if rng.random() < 0.5:
        indices += _pick(rng, [1, -1, 2**30])
    else:
        indices[rng.integers(indices.size)] = _pick(rng, _ODD_NUMBERS)
    _replace(file, f"{place}/indices", indices.astype("i4") if rng.random() < 0.5 else indices)


@hdf5("pointers that fall or point away")
def _(file, rng):
    if not any({"indptr", "indices"} <= set(file[name or "/"]) for name in _groups(file)):
        return
    place = _sparse(file, rng)
    pointers = file[f"{place}/indptr"][...].astype("i8")
    way = rng.integers(4)
    if way == 0:
        pointers = pointers[::-1].copy()
    elif way == 1:
        pointers[rng.integers(pointers.size)] = _pick(rng, _ODD_NUMBERS)
    elif way == 2:
        pointers += 1
    else:
        pointers[1:-1] = pointers[-1] + 10
    _replace(file, f"{place}/indptr", pointers)


@hdf5("a wrong length")
def _(file, rng):
    name = _pick(rng, [name for name in _datasets(file) if file[name].ndim])
    values = file[name][...]
    if values.dtype.kind == "O":
        values = values.astype("S")
    length = rng.integers(len(values) + 1)
    _replace(
        file,
        name,
        values[:length] if rng.random() < 0.6 else np.concatenate([values, values[:length]]),
    )


@hdf5("a part is missing")
def _(file, rng):
    del file[_pick(rng, [*_datasets(file), *_groups(file)[1:]])]


@hdf5("a huge declared matrix")
def _(file, rng):
    name = _pick(rng, _datasets(file))
    attributes = dict(file[name].attrs)
    n_dimensions = _pick(rng, [1, 2, file[name].ndim or 1])
    size = _pick(rng, [_HUGE, 2**40, 10**6, 30_000])
    del file[name]
    shape, chunks = (size,) * n_dimensions, (min(size, 1000),) * n_dimensions
    file.create_dataset(name, shape, "f4", chunks=chunks, compression="gzip").attrs.update(
        attributes
    )


@hdf5("a huge declared sparse shape")
def _(file, rng):
    wide = np.array(_pick(rng, [(_HUGE, _HUGE), (12, 2**40), (2**33, 9), (-1, 9), (0, 0)]))
    for name in _groups(file):
        if "shape" in file[name or "/"].attrs:
            file[name or "/"].attrs["shape"] = wide
        if name and "shape" in file[name]:
            _replace(file, f"{name}/shape", wide)


@hdf5("huge contiguous data")
def _(file, rng):
    name = _pick(rng, _datasets(file))
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, (_HUGE, 12)[: rng.integers(1, 3)], "i4").attrs.update(attributes)


@hdf5("groups within groups, 3,000 deep")
def _(file, rng):
    group = file[_pick(rng, _groups(file)) or "/"]
    for _ in range(3_000):
        group = group.create_group("g")
        group.attrs["encoding-type"], group.attrs["encoding-version"] = "dict", "0.1.0"


@hdf5("groups that hold each other")
def _(file, rng):
    names = _groups(file)
    file[_pick(rng, names) or "/"]["again"] = file[_pick(rng, names) or "/"]
    file[_pick(rng, names) or "/"]["nowhere"] = h5py.SoftLink(
        _pick(rng, ["nowhere", "/missing", "."])
    )


@hdf5("a newer encoding")
def _(file, rng):
    names = [
        name
        for name in [*_groups(file), *_datasets(file)]
        if "encoding-version" in file[name or "/"].attrs
    ]
    place = file[(_pick(rng, names) if names else "") or "/"]
    key, value = _pick(
        rng, [("encoding-version", "9.0.0"), ("encoding-type", "tensor"), ("encoding-version", 7)]
    )
    place.attrs[key] = value


@hdf5("odd attributes")
def _(file, rng):
    names = [name for name in [*_groups(file), *_datasets(file)] if len(file[name or "/"].attrs)]
    place = file[(_pick(rng, names) if names else "") or "/"]
    key = _pick(rng, list(place.attrs) or ["shape"])
    values = [-1, 2**62, b"\xff\xfe", "\u202e", np.zeros(3), np.nan, h5py.Empty("f4")]
    place.attrs[key] = _pick(rng, values)


@hdf5("a thousand columns")
def _(file, rng):
    place = next((name for name in ("obs", "col_attrs") if name in file), None)
    if place is None:
        return
    names = [f"column-{i}-" + "x" * rng.integers(60) for i in range(1_000)]
    for name in names:
        file[place][name] = np.zeros(12)
        file[place][name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    if "column-order" in file[place].attrs:
        del file[place].attrs["column-order"]
        file[place].attrs["column-order"] = np.array(names[:800], dtype="S80")


@hdf5("names with marks in them")
def _(file, rng):
    texts = [name for name in _datasets(file) if file[name].dtype.kind in "SO" and file[name].ndim]
    name = _pick(rng, texts)
    values = np.array([_pick(rng, MARKS) for _ in file[name][...]], dtype=object)
    if rng.random() < 0.5:
        values = np.array([value.encode() for value in values])
    _replace(
        file, name, values, **({"dtype": h5py.string_dtype()} if values.dtype == object else {})
    )


@mutation("links to another file", "hdf5")
def _(scene, rng):
    secret = scene.outside / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.full((12, 9), SECRET_COUNT)
        file["names"] = np.array([SECRET] * 12, dtype="S")
    (scene.outside / "secret").write_bytes(np.full(12 * 9, SECRET_COUNT, "i4").tobytes())
    with h5py.File(scene.path, "r+") as file:
        name = _pick(rng, _datasets(file))
        shape, attributes = file[name].shape, dict(file[name].attrs)
        target = "names" if file[name].dtype.kind in "SO" else "numbers"
        del file[name]
        way = rng.integers(3)
        if way == 0:
            file[name] = h5py.ExternalLink(
                _pick(rng, [str(secret), "../outside/secret.h5"]), target
            )
            return
        if way == 1:
            place = _pick(rng, [str(scene.outside / "secret"), "../outside/secret"])
            file.create_dataset(name, shape, "i4", external=[(place, 0, h5py.h5f.UNLIMITED)])
        else:
            layout = h5py.VirtualLayout((12, 9), "i8")
            layout[:] = h5py.VirtualSource(str(secret), "numbers", (12, 9))
            file.create_virtual_dataset(name, layout)
        file[name].attrs.update(attributes)


# --- Zarr -----------------------------------------------------------------------------------------


def _metadata(scene):
    names = {"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"}
    return sorted(path for path in scene.path.rglob("*") if path.name in names)


def _arrays(scene):
    """Metadata of arrays."""
    return [path for path in _metadata(scene) if "shape" in json.loads(path.read_text())]


def _without_summary(scene):
    """Take away the metadata of all in one place, which would be read instead."""
    (scene.path / ".zmetadata").unlink(missing_ok=True)
    top = scene.path / "zarr.json"
    if top.exists():
        content = json.loads(top.read_text())
        content.pop("consolidated_metadata", None)
        top.write_text(json.dumps(content))


def _values(node):
    """Every place in JSON, as a container and a key."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in list(items):
        yield node, key
        yield from _values(value)


@mutation("odd metadata", "zarr")
def _(scene, rng):
    if rng.random() < 0.7:
        _without_summary(scene)
    path = _pick(rng, _metadata(scene))
    content = json.loads(path.read_text())
    places = list(_values(content))
    if places:
        node, key = _pick(rng, places)
        node[key] = _pick(
            rng, [None, -1, 2**62, 1e308, "", "\u202e", [], {}, [[]], True, "|O", "<U9999"]
        )
    path.write_text(json.dumps(content))


@mutation("metadata, 100,000 deep", "zarr")
def _(scene, rng):
    _pick(rng, _metadata(scene)).write_text("[" * 100_000 + "]" * 100_000)


@mutation("a huge declared array", "zarr")
def _(scene, rng):
    _without_summary(scene)
    path = _pick(rng, _arrays(scene))
    content = json.loads(path.read_text())
    size = _pick(rng, [_HUGE, 2**40, 10**6, 30_000])
    content["shape"] = [size] * _pick(rng, [1, 2, len(content["shape"])])
    if rng.random() < 0.5 and "chunks" in content:
        content["chunks"] = [min(size, 1000)] * len(content["shape"])
    path.write_text(json.dumps(content))


class _Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@mutation("a program in an array", "zarr")
def _(scene, rng):
    if rng.random() < 0.7:
        _without_summary(scene)
    folder = _pick(
        rng, [path.parent for path in _arrays(scene) if len(list(path.parent.iterdir())) > 1]
    )
    program = pickle.dumps(np.array([_Trap(scene.trap)], dtype=object))
    for chunk in folder.rglob("*"):
        if chunk.is_file() and not chunk.name.startswith((".z", "zarr")):
            chunk.write_bytes(program)
    name = _pick(rng, ["pickle", "Pickle", "numcodecs.pickle"])
    if (folder / ".zarray").exists():
        content = json.loads((folder / ".zarray").read_text())
        content |= {"dtype": "|O", "filters": [{"id": name}], "compressor": None, "fill_value": 0}
        (folder / ".zarray").write_text(json.dumps(content))
    else:
        content = json.loads((folder / "zarr.json").read_text())
        content["codecs"] = [{"name": name, "configuration": {}}]
        (folder / "zarr.json").write_text(json.dumps(content))


@mutation("a chunk that is another", "zarr")
def _(scene, rng):
    folders = {path.parent for path in _arrays(scene)}
    chunks = [
        p
        for f in sorted(folders)
        for p in f.rglob("*")
        if p.is_file() and not p.name.startswith((".z", "zarr"))
    ]
    one, other = _pick(rng, chunks), _pick(rng, chunks)
    one.write_bytes(other.read_bytes())


@mutation("a chunk is missing", "zarr")
def _(scene, rng):
    _a_file(scene, rng).unlink()


@mutation("names that climb", "zarr")
def _(scene, rng):
    (scene.outside / "secret.zarr").mkdir()
    target = scene.outside / "secret.zarr" / "names"
    source = _pick(rng, [path.parent for path in _arrays(scene)])
    shutil.copytree(source, target)
    for chunk in target.rglob("*"):
        if chunk.is_file() and not chunk.name.startswith((".z", "zarr")):
            chunk.write_bytes(SECRET.encode() * 12)
    climbing = "../../outside/secret.zarr/names"
    path = _pick(rng, _metadata(scene))
    text = path.read_text()
    if "column-order" in text:
        path.write_text(text.replace('"depth"', f'"../{climbing}"'))
    for summary in (scene.path / ".zmetadata", scene.path / "zarr.json"):
        if summary.exists() and rng.random() < 0.5:
            name = source.relative_to(scene.path)
            summary.write_text(summary.read_text().replace(f'"{name}', f'"uns/../{climbing}'))


@mutation("indices and pointers of Zarr", "zarr")
def _(scene, rng):
    name = _pick(rng, ["indices", "indptr", "data"])
    array = zarr.open(str(scene.path / "X" / name), mode="r+")
    values = array[...]
    values[rng.integers(values.size)] = _pick(rng, [-1, 9, 2**30, 2**31 - 1])
    array[...] = values


# --- 10x folders and text -------------------------------------------------------------------------


def _text_of(path):
    content = path.read_bytes()
    return (gzip.decompress(content) if path.name.endswith(".gz") else content).decode()


def _write_text(path, text):
    content = text.encode("utf-8", errors="surrogateescape")
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)


@mutation("an odd field", "10x", "text")
def _(scene, rng):
    path = _a_file(scene, rng)
    lines = _text_of(path).splitlines()
    odd = [
        *map(str, _ODD_NUMBERS),
        "nan",
        "inf",
        "1e400",
        "0x1F",
        "",
        '"',
        "1,2",
        "\0",
        *MARKS,
        "١٢",
        "9" * 5_000,
    ]
    for _ in range(rng.integers(1, 4)):
        i = rng.integers(len(lines))
        separator = next((s for s in ",\t " if s in lines[i]), ",")
        fields = lines[i].split(separator)
        fields[rng.integers(len(fields))] = _pick(rng, odd)
        lines[i] = separator.join(fields)
    _write_text(path, "\n".join(lines) + "\n")


@mutation("another number of lines", "10x", "text")
def _(scene, rng):
    path = _a_file(scene, rng)
    lines = _text_of(path).splitlines(keepends=True)
    rng.shuffle(lines) if rng.random() < 0.3 else None
    _write_text(path, "".join(lines[: rng.integers(len(lines))] * rng.integers(1, 4)))


@mutation("a header that promises too much", "10x")
def _(scene, rng):
    path = next(iter(scene.path.glob("matrix.mtx*")))
    head, *lines = _text_of(path).splitlines()
    numbers = _pick(
        rng, [f"9 12 {10**12}", f"{_HUGE} {_HUGE} 3", "9 12 -5", "-9 12 3", "9 12", f"9 12 {2**64}"]
    )
    at = next(i for i, line in enumerate(lines) if not line.startswith("%"))
    lines[at] = numbers
    head = _pick(
        rng,
        [
            head,
            head.replace("general", "symmetric"),
            head.replace("coordinate", "array"),
            head.replace("integer", "complex"),
            head.replace("integer", "pattern"),
        ],
    )
    _write_text(path, "\n".join([head, *lines]) + "\n")


@mutation("a link to another file", "10x", "zarr")
def _(scene, rng):
    path = _a_file(scene, rng)
    (scene.outside / "secret").write_text(f"{SECRET}\n" * 12)
    path.unlink()
    path.symlink_to(scene.outside / "secret")


@mutation("zeros that unpack to gigabytes", "text", "10x")
def _(scene, rng):
    path = _a_file(scene, rng)
    line = _pick(
        rng,
        [
            b"0" * _MEGABYTE,
            b"0,0,0,0\n" * (_MEGABYTE // 8),
            b"\n" * _MEGABYTE,
            b"0," * (_MEGABYTE // 2),
        ],
    )
    packed = path if path.name.endswith(".gz") else path.with_name(f"{path.name}.gz")
    with gzip.open(packed, "ab" if path.name.endswith(".gz") else "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(line)
    if packed != path:
        path.unlink()
        if scene.path == path:
            packed.rename(path)


@mutation("a very wide table", "text")
def _(scene, rng):
    width = _pick(rng, [100_000, 1_000_000])
    _write_text(
        scene.path,
        "cell," + ",".join("A" * rng.integers(1, 3) for _ in range(width)) + "\nc1,1\n" * 3,
    )
