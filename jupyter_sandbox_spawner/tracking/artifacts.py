"""How are artifacts kept so that none is ever changed? A name is linked once; the kernel refuses a second.

Law: the link is the decision, so of any number of uploads at the same time exactly one wins.
"""

from __future__ import annotations

import contextvars
import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["SCHEME", "Upload", "keep_write_once", "upload"]

SCHEME = "sandbox-once"
_LEAST_FREE = 256 << 20  # bytes; one person's files must not stop everybody's runs


@dataclass
class Upload:
    """What became of one upload, for the guard: its refusal's code, or empty."""

    refused: str = ""


upload: contextvars.ContextVar[Upload | None] = contextvars.ContextVar("upload", default=None)


def keep_write_once() -> None:
    """Make MLflow keep artifacts by this module's repository, and know no other kind of place.

    A location that a client smuggled into the database then leads nowhere: not to a file of this machine,
    not to a bucket, not to another server.
    """
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry

    known = _artifact_repository_registry.get_registered_artifact_repositories()
    known.clear()
    known[SCHEME] = _repository()


def _repository() -> Any:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_EXHAUSTED
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    class WriteOnceRepository(LocalArtifactRepository):  # type: ignore[misc]
        """MLflow's local directory, where publishing a file never replaces one and nothing is deleted."""

        def __init__(self, artifact_uri: str, **more: Any) -> None:
            super().__init__(artifact_uri.removeprefix(f"{SCHEME}:"), **more)

        def _create_staging_artifact(self, artifact_file_name: str, artifact_path: str | None = None) -> Any:
            if shutil.disk_usage(self.artifact_dir).free < _LEAST_FREE:
                raise _refuse("tracking.disk_full", "The disk for artifacts is full; tell the hub's admin.")
            return super()._create_staging_artifact(artifact_file_name, artifact_path)

        def _publish_staged_artifact(
            self,
            temp_file_path: str,
            destination_file_path: str,
            finalize_temp_path: Callable[[str], None] | None = None,
        ) -> None:
            os.chmod(temp_file_path, 0o400)
            try:
                os.link(temp_file_path, destination_file_path)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.EISDIR):
                    raise
                name = os.path.basename(destination_file_path)
                sentence = f"{name} is logged already; artifacts are write-once: log it under another name."
                raise _refuse("tracking.write_once", sentence) from error
            os.unlink(temp_file_path)

        def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
            raise _refuse("tracking.write_once", "Artifacts go up one by one.")

        def delete_artifacts(self, artifact_path: str | None = None) -> None:
            raise _refuse("tracking.write_once", "Artifacts are kept as they were logged.")

    def _refuse(code: str, message: str) -> Exception:
        seen = upload.get()
        if seen is not None:
            seen.refused = code
        full = code == "tracking.disk_full"
        return MlflowException(  # type: ignore[no-any-return]
            f"{message} ({code})", error_code=RESOURCE_EXHAUSTED if full else RESOURCE_ALREADY_EXISTS
        )

    return WriteOnceRepository
