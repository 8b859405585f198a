"""Where secrets are: in the environment, in a folder of files such as a mounted Secret of Kubernetes, or a user's own files.

They are never written into a database, a log or anybody else's file. The user's own files are for scripts on this machine:
only he can read them, and a pod does not keep any.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from mintaka.exceptions import InvalidNameError, SecretNotFound
from mintaka.recording.homes import home

#: Where a Secret of Kubernetes is best mounted, one file for each of its keys; MINTAKA_SECRETS_DIR names another folder.
MOUNTED = "/run/secrets/mintaka"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def read_secret(name: str) -> str:
    """The secret of that name.

    A mounted file may end with a line feed that is not part of it.

    Raises:
        SecretNotFound: there is none, or it cannot be read.
        InvalidNameError: a secret cannot be called so.
    """
    variable = variable_of(name)
    if variable in os.environ:
        return os.environ[variable]
    mounted, own = _mounted(name), _own(name)
    try:
        if mounted.is_file():
            return mounted.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        if not in_pod() and own.is_file():
            return own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"secret {name!r} cannot be read: {error}"
        raise SecretNotFound(message) from error
    places = f"${variable}, {mounted}" if in_pod() else f"${variable}, {mounted}, {own}"
    message = f"there is no secret {name!r} (looked for in {places}): set the variable, mount a Kubernetes Secret, or save one with Secret(...).save()"
    raise SecretNotFound(message)


def write_secret(name: str, value: str, *, overwrite: bool) -> bool:
    """Keep a secret in a file that only this user can read; False where there is one and it may not be overwritten.

    Raises:
        InvalidNameError: a secret cannot be called so.
        OSError: the file cannot be written.
    """
    variable_of(name)
    path = _own(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if path.exists() and not overwrite:
        return False
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".")  # 0600 from the beginning
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            Path(partial).replace(path)
            return True
        try:
            path.hardlink_to(partial)  # unlike a rename, it fails where somebody else was first
        except FileExistsError:
            return False
        Path(partial).unlink()
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return True


def variable_of(name: str) -> str:
    """The environment variable of a secret.

    Raises:
        InvalidNameError: a secret cannot be called so.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        message = f"a secret's name has letters, digits, '-', '_' and '.', begins with a letter or digit, and at most 253 in all, not {name!r:.300}"
        raise InvalidNameError(message)
    return "MINTAKA_SECRET_" + name.upper().replace("-", "_").replace(".", "_")


def in_pod() -> bool:
    """True in the pod of a flow run."""
    return bool(os.environ.get("MINTAKA_FLOW_RUN_UID"))


def _mounted(name: str) -> Path:
    return Path(os.environ.get("MINTAKA_SECRETS_DIR") or MOUNTED) / name


def _own(name: str) -> Path:
    return home().folder / "secrets" / name
