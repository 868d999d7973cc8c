"""Whether there is time for everything: ``make faults`` says so, ``make test`` takes a part of what takes long."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("FLEETBUS_THOROUGH") == "1"
