"""Packaging; the reasons stand in docs/explanation/packaging.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.build import build
from setuptools.command.sdist import sdist
from setuptools.errors import SetupError

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "jupyter_sandbox_spawner/__init__.py").read_text())[1]

HUB = [
    "jupyterhub>=5.3,<7",
    "aiohttp>=3.10,<4",
    "pydantic>=2.7,<3",
    "PyYAML>=6,<7",
    "SQLAlchemy>=2,<3",
    "alembic>=1.13,<2",
    "cryptography>=42",
    "rfc8785>=0.1.4,<0.2",
    # Names of time zones, for images without /usr/share/zoneinfo.
    "tzdata>=2024.1",
]
LOCAL = [*HUB, "h11>=0.16,<1", "idna>=3.7,<4", "circus>=0.19,<0.20", "uvloop>=0.21,<1"]
TEST = [
    "pytest>=8,<10",
    "pytest-asyncio>=1,<2",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",
    "playwright>=1.45,<2",
    "hypothesis>=6,<7",
    "jsonschema>=4.18,<5",
    "trustme>=1.2,<2",
    "botocore>=1.34,<2",
    "keyring>=25,<26",
    "jupyterhub-idle-culler>=2,<3",
    "pip>=24.1",
    "twine>=6,<7",
    "ruff>=0.12,<1",
    "mypy>=1.15,<3",
    "types-PyYAML>=6,<7",
    "types-hvac>=2.4,<3",
    "types-requests>=2.32,<3",
]

SINGLEUSER = "jupyter_sandbox_spawner/singleuser"
LABEXTENSION = "jupyter_sandbox_spawner/labextension"
LAB_SHARE = "share/jupyter/labextensions/jupyter-sandbox-spawner"
MODES = ("auto", "skip", "require")


def data_files(with_lab: bool) -> list[tuple[str, list[str]]]:
    """What is installed below sys.prefix; of the JupyterLab extension what is built by now."""
    found = {
        "etc/ipython/startup": [f"{SINGLEUSER}/startup/20-jupyter-sandbox.py"],
        "etc/jupyter/jupyter_server_config.d": [f"{SINGLEUSER}/lab/jupyter_sandbox_spawner.json"],
    }
    if with_lab:
        found[LAB_SHARE] = [f"{SINGLEUSER}/lab/install.json"]
        for file in sorted((HERE / LABEXTENSION).rglob("*")):
            if file.is_file() and not file.name.startswith(".") and file.suffix != ".orig":
                below = file.relative_to(HERE / LABEXTENSION).parent
                name = file.relative_to(HERE).as_posix()
                found.setdefault((LAB_SHARE / below).as_posix(), []).append(name)
    return list(found.items())


def lab_mode() -> str:
    """SANDBOX_LABEXT: is the JupyterLab extension built where Node is, left out, or required?"""
    mode = os.environ.get("SANDBOX_LABEXT") or "auto"
    if mode not in MODES:
        raise SetupError(f"SANDBOX_LABEXT is {mode!r}; it can be {', '.join(MODES)}.")
    return mode


class BuildLabext(Command):
    """Builds the JupyterLab extension with Node, unless it is built already."""

    description = "build the JupyterLab extension (SANDBOX_LABEXT=auto|skip|require)"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        """It has no options."""

    def finalize_options(self) -> None:
        """It has no options."""

    def run(self) -> None:
        """Build, then tell what there is to install: at setup() time the files were not there yet."""
        mode = lab_mode()
        here = mode != "skip" and self.build(mode) and (HERE / LABEXTENSION / "package.json").is_file()
        if mode == "require" and not here:
            raise SetupError(
                f"SANDBOX_LABEXT is 'require', but {LABEXTENSION} is missing: build where Node is."
            )
        self.distribution.data_files[:] = data_files(here)

    def build(self, mode: str) -> bool:
        """Build where there are sources; may what lies there be installed?"""
        script = HERE / "labextension/build.py"
        # A source distribution brings the built files: who installs it needs no Node.
        if (HERE / "PKG-INFO").is_file() or not script.is_file():
            return True
        command = [sys.executable, "-I", "-B", script]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        said = done.stderr.strip()
        if done.returncode == 3 and mode == "auto":
            self.warn(f"{said} Installed without the JupyterLab extension.")
        elif done.returncode:
            raise SetupError(f"{said}\nSANDBOX_LABEXT=skip installs without the JupyterLab extension.")
        return not done.returncode


class Build(build):
    """Builds the extension too; an editable installation asks the sub-commands alone."""

    sub_commands: ClassVar = [("build_labext", None), *build.sub_commands]


class Sdist(sdist):
    """Carries the built extension, so that who installs it needs no Node."""

    def run(self) -> None:
        """Build first: the list of files is made at the start."""
        self.run_command("build_labext")
        super().run()


class WithData(Distribution):
    """Editable installs ask this before they install data_files; without it they leave them out."""

    def has_data(self) -> bool:
        """Are there data_files?"""
        return bool(self.data_files)


setup(
    distclass=WithData,
    name="jupyter_sandbox_spawner",
    version=VERSION,
    description="A JupyterHub spawner whose servers run isolated, with no way out but what policy allows",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    python_requires=">=3.10",
    packages=[
        *find_packages(
            include=["jupyter_sandbox_spawner", "jupyter_sandbox_spawner.*"],
            exclude=["jupyter_sandbox_spawner.singleuser.jupyter_sandbox"],
        ),
        "jupyter_sandbox",
    ],
    package_dir={"jupyter_sandbox": f"{SINGLEUSER}/jupyter_sandbox"},
    cmdclass={"build": Build, "build_labext": BuildLabext, "sdist": Sdist},
    data_files=data_files(with_lab=False),
    package_data={
        # Not labextension/: it is installed once, below share/.
        "jupyter_sandbox_spawner": ["py.typed", "locale/**/*.json"],
        "jupyter_sandbox_spawner.backends": ["seccomp.json"],
        "jupyter_sandbox_spawner.control": ["pages/**/*"],
        "jupyter_sandbox_spawner.hub": ["templates/**/*"],
        "jupyter_sandbox_spawner.singleuser": [
            "inside/**/*.py",
            "inside/**/*.json",
            "inside/etc/jupyter/migrated",
            "inside/etc/aws/config",
        ],
    },
    install_requires=["traitlets>=5.14,<6", "tornado>=6.5,<7"],
    extras_require={
        "hub": HUB,
        "local": LOCAL,
        "docker": [*LOCAL, "dockerspawner>=14,<15"],
        "kubernetes": [*LOCAL, "jupyterhub-kubespawner>=7.1,<8"],
        "postgresql": ["psycopg[binary]>=3.1,<4"],
        # What NVIDIA's driver knows of GPUs; without it CDI specs alone count.
        "gpu": ["nvidia-ml-py>=12,<14"],
        "vault": ["hvac>=2.4,<3", "PyJWT[crypto]>=2.8,<3"],
        "mlflow": ["mlflow>=3.17.2,<3.18", "aiohttp>=3.9,<4", "pydantic>=2.7,<3"],
        "singleuser": [
            "jupyterhub>=5.3,<7",
            "jupyterlab>=4.4,<5",
            "ipykernel>=6.29,<8",
            "mlflow-skinny>=3.17.2,<3.18",
        ],
        # pip and twine then find the secrets of kind pip by themselves.
        "keyring": ["keyring>=25,<26"],
        # What the tutorials use in the user image besides.
        "tutorial": ["boto3>=1.34,<2", "pg8000>=1.31,<2"],
        "test": TEST,
        # What the tests' own user image has besides, to be looked at in a browser.
        "pages": ["notebook>=7.4,<8", "ipywidgets>=8.1,<9", "matplotlib>=3.9,<4"],
        "docs": [
            "sphinx>=8,<10",
            "myst-parser>=4,<6",
            "pydata-sphinx-theme>=0.16,<1",
            "autodoc-traits>=1.2,<2",
        ],
    },
    entry_points={
        "jupyterlab.locale": ["jupyter_sandbox_spawner = jupyter_sandbox_spawner"],
        "console_scripts": [
            "jupyter-sandbox = jupyter_sandbox_spawner.singleuser.commands:main",
            "jupyter-sandbox-admin = jupyter_sandbox_spawner.admin.cli:main",
        ],
        "keyring.backends": ["sandbox = jupyter_sandbox_spawner.singleuser.keyring_backend"],
        "mlflow.request_auth_provider": [
            "sandbox = jupyter_sandbox_spawner.singleuser.mlflow_auth:SandboxAuth"
        ],
        "jupyterhub.spawners": [
            "sandbox-docker = jupyter_sandbox_spawner.hub.docker:SandboxDockerSpawner",
            "sandbox-kubernetes = jupyter_sandbox_spawner.hub.kubernetes:SandboxKubeSpawner",
            "sandbox-local = jupyter_sandbox_spawner.hub.local:SandboxLocalSpawner",
        ],
    },
)
