"""Unpack what was packed: gzip, zip and tar, without trusting what they say."""

import gzip
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, gettempdir
from typing import IO

from scribeviz.data.counts import CountsError
from scribeviz.data.reading_limits import MEMORY_SETTING, ReadingLimits

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ZIP_SUFFIXES = (".zip",)
GZIP_SUFFIXES = (".h5ad.gz", ".h5.gz", ".h5mu.gz", ".loom.gz")

_BLOCK = 2**20
_MOST_FILES = 200_000  # a Zarr store has one per chunk
# Sure to hold no counts, and often large.
_NOT_UNPACKED = (".bam", ".bai", ".cram", ".fastq.gz", ".fq.gz", ".fastq", ".html", ".cloupe")
_ZARR_ROOT = ("zarr.json", ".zgroup")


@dataclass(slots=True)
class _Unpacking:
    """Where an archive is unpacked to, and how much of that is allowed."""

    archive: Path
    root: Path
    bytes_left: int
    names: set[str] = field(default_factory=set)
    n_links: int = 0

    def place(self, name: str) -> Path | None:
        """Where a member goes; None for what systems leave in archives, and what is no data.

        Raises
        ------
        CountsError
            If that is outside of the folder that is unpacked to.
        """
        plain = PurePosixPath(name.replace("\\", "/"))
        if plain.is_absolute() or ".." in plain.parts or ":" in plain.parts[0] or "\0" in name:
            raise CountsError(
                f"{self.archive.name} holds {name!r}, which leads out of it; pack it anew."
            )
        if "__MACOSX" in plain.parts or plain.name.startswith("._") or plain.name == ".DS_Store":
            return None
        if plain.name.lower().endswith(_NOT_UNPACKED):
            return None
        self.names.add(str(plain))
        if len(self.names) > _MOST_FILES:
            raise CountsError(
                f"{self.archive.name} holds more than {_MOST_FILES:,} files; pack fewer together."
            )
        place = self.root.joinpath(*plain.parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def copy(self, source: IO[bytes] | gzip.GzipFile, place: Path) -> None:
        """Write a member, as long as there is room: what it says about its size counts nothing."""
        with place.open("wb") as target:
            while block := source.read(_BLOCK):
                self.bytes_left -= len(block)
                if self.bytes_left < 0:
                    raise CountsError(
                        f"{self.archive.name} unpacks to more than may be read; it may be damaged, "
                        f"or unpack it yourself, or set a higher {MEMORY_SETTING}."
                    )
                target.write(block)


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, str]]:
    """Unpack into a folder that lasts as long as the context.

    Yields
    ------
    tuple
        The file, or the folder of all that was packed; a sentence about it.

    Raises
    ------
    CountsError
        If it is damaged or locked, leads out of itself, or is larger than may be read.
    """
    size = path.stat().st_size
    with TemporaryDirectory(prefix="scribeviz-unpacked-") as folder:
        most = min(ReadingLimits.of(size).memory, shutil.disk_usage(gettempdir()).free // 2)
        name = path.name.lower()
        ending = next(e for e in (*TAR_SUFFIXES, *ZIP_SUFFIXES, ".gz") if name.endswith(e))
        root = Path(folder, path.name[: -len(ending)] or "archive")
        unpacking = _Unpacking(archive=path, root=root, bytes_left=most)
        try:
            if name.endswith((*TAR_SUFFIXES, *ZIP_SUFFIXES)):
                root.mkdir()
                (_unpack_tar if name.endswith(TAR_SUFFIXES) else _unpack_zip)(unpacking)
            else:
                with gzip.open(path) as source:
                    unpacking.copy(source, root)
        except (EOFError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile) as error:
            raise CountsError(
                f"{path.name} is no whole archive; copy or download it again ({error})."
            ) from error
        note = f"{path.name} was unpacked"
        if unpacking.n_links:
            note += f", without the {unpacking.n_links:,} links in it"
        yield _named_as_it_is(root), f"{note}."


def _unpack_zip(unpacking: _Unpacking) -> None:
    with zipfile.ZipFile(unpacking.archive) as packed:
        for member in packed.infolist():
            if member.is_dir():
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                unpacking.n_links += 1
                continue
            place = unpacking.place(member.filename)
            if place is None:
                continue
            if member.flag_bits & 1:
                raise CountsError(
                    f"{unpacking.archive.name} is locked by a password; unpack it yourself."
                )
            with packed.open(member) as source:
                unpacking.copy(source, place)


def _unpack_tar(unpacking: _Unpacking) -> None:
    with tarfile.open(unpacking.archive, "r|*") as packed:  # as a stream: nothing is read twice
        for member in packed:
            if member.isdir():
                continue
            source = packed.extractfile(member) if member.isfile() else None
            if source is None:
                unpacking.n_links += 1
                continue
            place = unpacking.place(member.name)
            if place is not None:
                unpacking.copy(source, place)


def _named_as_it_is(root: Path) -> Path:
    """A Zarr store without a folder around it gets the name of one."""
    is_store = root.is_dir() and any((root / name).exists() for name in _ZARR_ROOT)
    if not is_store or root.name.endswith(".zarr"):
        return root
    return root.rename(root.with_name(f"{root.name}.zarr"))
