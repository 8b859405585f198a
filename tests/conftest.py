"""What all tests share."""

from __future__ import annotations

import os

#: Flows that tests call keep no history, but where a test is about that and says where to.
os.environ["MINTAKA_HISTORY"] = "off"
