"""Every program that is called is there on each Debian release that is supported, once the package step has been run.

A soak is a test that takes too long for every change: hours of chaos, of scale, of upgrades, or other systems than the one at hand. It is
run by `make soak`, never by `make test`, and asserts as strictly as any test. Each has a small twin in `make test` that fails for the same
faults where it can, and names it. The twin of this one is `test_every_called_program_is_a_file_on_the_path_after_the_package_step` in
tests/setup/test_called_programs.py, which tries one release, and the one after it that builds an image there.
"""

from __future__ import annotations

import pytest

from fresh_machine import failing_calls
from minimal_root import BUILD_IMAGE, output_after_step

RELEASES = pytest.mark.parametrize("release", ["bookworm", "trixie"])


@RELEASES
def test_every_called_program_is_there(release: str) -> None:
    """Packages have other names, other contents and other dependencies in each release."""
    assert failing_calls(release) == []


@RELEASES
def test_an_image_is_built(release: str) -> None:
    """What the image builder calls in turn comes in packages that differ from release to release."""
    assert output_after_step(release, ("images",), BUILD_IMAGE).strip() == "localhost/tried:1"
