"""Packaging; the reasons stand in docs/explanation/packaging.md."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import Distribution, find_packages, setup

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
    data_files=[("etc/ipython/startup", [f"{SINGLEUSER}/startup/20-jupyter-sandbox.py"])],
    package_data={
        "jupyter_sandbox_spawner": ["py.typed"],
        "jupyter_sandbox_spawner.backends": ["seccomp.json"],
        "jupyter_sandbox_spawner.control": ["pages/*"],
        "jupyter_sandbox_spawner.hub": ["templates/*.html", "templates/pages/*.html"],
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
            "sandbox-local = jupyter_sandbox_spawner.hub.local:SandboxLocalSpawner",
        ],
    },
)
