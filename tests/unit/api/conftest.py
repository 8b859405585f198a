"""The API's unit tests: no sockets, no sleeps."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on asyncio."""
    return "asyncio"
