"""How are artifacts kept so that none is ever changed? A name is linked once; the kernel refuses a second.

Law: the link is the decision, so of any number of uploads at the same time exactly one wins.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_EXHAUSTED
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from .artifacts import upload

__all__ = ["SCHEME", "WriteOnceRepository", "keep_write_once"]

SCHEME = "sandbox-once"
_LEAST_FREE = 256 << 20  # bytes; one person's files must not stop everybody's runs
_TAKEN = frozenset((errno.EEXIST, errno.EISDIR))


def keep_write_once() -> None:
    """Make MLflow keep artifacts by this module's repository, and know no other kind of place.

    A location that a client smuggled into the database then leads nowhere: not to a file of this machine,
    not to a bucket, not to another server.
    """
    known = _artifact_repository_registry.get_registered_artifact_repositories()
    known.clear()
    known[SCHEME] = WriteOnceRepository


class WriteOnceRepository(LocalArtifactRepository):  # type: ignore[misc]
    """MLflow's local directory, where publishing a file never replaces one and nothing is deleted."""

    def __init__(self, artifact_uri: str, **more: Any) -> None:
        super().__init__(artifact_uri.removeprefix(f"{SCHEME}:"), **more)

    def _create_staging_artifact(self, artifact_file_name: str, artifact_path: str | None = None) -> Any:
        if shutil.disk_usage(self.artifact_dir).free < _LEAST_FREE:
            sentence = "The disk for artifacts is full; tell the hub's admin."
            raise _refused("tracking.disk_full", sentence, RESOURCE_EXHAUSTED)
        try:
            return super()._create_staging_artifact(artifact_file_name, artifact_path)
        except (NotADirectoryError, FileExistsError) as error:
            raise _write_once("A file of this name is logged already, and a file is no directory.") from error

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
            if error.errno not in _TAKEN:
                raise
            name = os.path.basename(destination_file_path)
            raise _write_once(
                f"{name} is logged already; artifacts are write-once: log it under another name."
            ) from error
        os.unlink(temp_file_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Refused: it would copy over what is there."""
        raise _write_once("Artifacts go up one by one.")

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Refused."""
        raise _write_once("Artifacts are kept as they were logged.")


def _write_once(message: str) -> Exception:
    return _refused("tracking.write_once", message, RESOURCE_ALREADY_EXISTS)


def _refused(code: str, message: str, kind: int) -> Exception:
    seen = upload.get()
    if seen is not None:
        seen.refused = code
    return MlflowException(f"{message} ({code})", error_code=kind)  # type: ignore[no-any-return]
