"""What does the guard learn of an upload that MLflow's artifact store refused?"""

from __future__ import annotations

import contextvars
from dataclasses import dataclass

__all__ = ["Upload", "upload"]


@dataclass
class Upload:
    """What became of one upload: the refusal's code, or empty."""

    refused: str = ""


# Copied into the tasks and threads that MLflow serves a request with; what it holds is shared.
upload: contextvars.ContextVar[Upload | None] = contextvars.ContextVar("upload", default=None)
