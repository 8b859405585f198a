"""Minimal Debian systems, and the programs they have once the real package step has been run in them.

Making one takes a minute, so results are kept in the cache, named after the content of what they are made by: a listing of the files on the
PATH for each release and sets of packages.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mintaka" / "minimal-roots"
#: What the package step is made of.
_STEP = ("cluster/packages", "cluster/lib/packages.sh", "cluster/lib/programs.list", "cluster/lib/progress.sh", "cluster/lib/settings.sh")
_RECIPE = ("cluster/images/minimal", "cluster/lib/debian.sh")
#: Builds a small image with the functions that build every other, and prints the name in its archive. ldconfig needs no library to run.
BUILD_IMAGE = r"""
for library in settings progress packages debian images; do . /project/cluster/lib/$library.sh; done
mkdir -p "$cache/images" /tmp/context
cp /usr/sbin/ldconfig /tmp/context
printf 'FROM scratch\nCOPY ldconfig /ldconfig\nRUN ["/ldconfig", "--version"]\n' > /tmp/context/Dockerfile
build_stages --tag localhost/tried:1 /tmp/context >&2
export_archive localhost/tried:1 localhost/tried:1 /tmp/tried.tar
name_in /tmp/tried.tar
"""
#: Prints the files that can be run, of the PATH and of the folders given; bash itself follows the links of its root.
_LIST = """
for folder in ${PATH//:/ } "$@"; do
  for file in $folder/*; do if [ -f "$file" ] && [ -x "$file" ]; then echo "$file"; fi; done
done
"""
_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True)
class Programs:
    """The programs of a system."""

    #: The files, whole paths.
    files: frozenset[str]

    @property
    def on_path(self) -> frozenset[str]:
        """Their names, of those on the PATH."""
        return frozenset(PurePosixPath(file).name for file in self.files if str(PurePosixPath(file).parent) in _PATH)

    @property
    def found(self) -> frozenset[str]:
        """Their names, also of those in other folders that programs.list names."""
        return frozenset(PurePosixPath(file).name for file in self.files)


def programs_after_step(release: str, sets: tuple[str, ...], checkout: Path = ROOT) -> Programs:
    """Return what a minimal Debian has once `cluster/packages SETS` of `checkout` has been run in it (if there are any)."""
    made_by = _digest([release, *sets], [checkout / name for name in _STEP], [ROOT / name for name in _RECIPE])
    listing = _CACHE / f"{'-'.join([release, *sets])}-{made_by}.txt"
    with _lock():
        if not listing.exists():
            listing.write_text(_list_programs(release, sets, checkout), encoding="utf-8")
    return Programs(frozenset(listing.read_text(encoding="utf-8").splitlines()))


def output_after_step(release: str, sets: tuple[str, ...], script: str) -> str:
    """Return what `script` prints in a minimal Debian once `cluster/packages SETS` has been run there; the checkout is /project.

    The result is kept until the script, or a file of the libraries in cluster/lib, changes.
    """
    made_by = _digest([release, *sets, script], [ROOT / name for name in (*_STEP, *_RECIPE)], sorted((ROOT / "cluster/lib").glob("*.sh")))
    result = _CACHE / f"{'-'.join([release, *sets])}-output-{made_by}.txt"
    with _lock():
        if not result.exists():
            with _copied(_minimal_root(release)) as root:
                _run_in(root, ROOT, "/project/cluster/packages", *sets)
                result.write_text(_run_in(root, ROOT, "bash", "-euo", "pipefail", "-c", script), encoding="utf-8")
    return result.read_text(encoding="utf-8")


def programs_of_base_image() -> Programs:
    """Return what the image has that the Dockerfile starts from; it is built if need be."""
    name = subprocess.run([ROOT / "cluster" / "image", "base"], check=True, capture_output=True, text=True).stdout.strip()
    archive = _CACHE.parent / "cluster" / "images" / f"base-{name.rpartition(':')[2]}.tar"
    files: set[str] = set()
    with tarfile.open(archive) as image:
        for layer in _layers(image):
            files |= {f"/{entry.name.removeprefix('./')}" for entry in layer if entry.issym() or (entry.isfile() and entry.mode & 0o111)}
    return Programs(frozenset(files))


def _layers(image: tarfile.TarFile) -> Iterator[tarfile.TarFile]:
    def blob(described: dict[str, str]) -> bytes:
        member = image.extractfile(f"blobs/{described['digest'].replace(':', '/')}")
        assert member
        return member.read()

    index = image.extractfile("index.json")
    assert index
    manifest = json.loads(blob(json.load(index)["manifests"][0]))
    for described in manifest["layers"]:
        with tempfile.TemporaryFile() as copy:
            copy.write(blob(described))
            copy.seek(0)
            with tarfile.open(fileobj=copy) as layer:
                yield layer


def _list_programs(release: str, sets: tuple[str, ...], checkout: Path) -> str:
    with _copied(_minimal_root(release)) as root:
        if sets:
            _run_in(root, checkout, "/project/cluster/packages", *sets)
        lines = (checkout / "cluster/lib/programs.list").read_text(encoding="utf-8").splitlines()
        folders = {folder for line in lines if not line.startswith("#") for folder in line.split()[3:]}
        return _run_in(root, checkout, "bash", "-c", _LIST, "bash", *sorted(folders))


def _minimal_root(release: str) -> Path:
    """Return the folder of the system as debootstrap leaves it; nothing may be changed in it."""
    root = _CACHE / f"{release}-{_digest([release], [ROOT / name for name in _RECIPE])}"
    if not root.exists():  # nor are those of earlier recipes needed any longer
        for old in _CACHE.glob(f"{release}-*/"):
            shutil.rmtree(old)
        new = Path(tempfile.mkdtemp(prefix=f"{release}-new-", dir=_CACHE))
        _checked([ROOT / "cluster/images/minimal", release, new])
        new.chmod(0o755)
        new.rename(root)
    return root


@contextmanager
def _copied(root: Path) -> Iterator[Path]:
    copy = Path(tempfile.mkdtemp(prefix="copy-", dir=_CACHE))
    try:
        _checked(["cp", "--archive", "--reflink=auto", f"{root}/.", copy])
        yield copy
    finally:
        shutil.rmtree(copy)


def _run_in(root: Path, checkout: Path, *command: str) -> str:
    """Run a command in `root`, with `checkout` at /project, and return what it prints."""
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return _checked([*namespaces, ROOT / "tests/support/enter_root", root, checkout, *command])


def _checked(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)
    return done.stdout


def _digest(words: list[str], *groups: list[Path]) -> str:
    digest = hashlib.sha256("\0".join(words).encode())
    for file in (file for group in groups for file in group):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _lock() -> Iterator[None]:
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
