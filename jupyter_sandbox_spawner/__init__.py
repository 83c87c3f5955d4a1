"""What version is this, and how does IPython find %sandbox? Nothing else: user images and hubs import this
package for different halves.
"""

from types import ModuleType

__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension"]

__version__ = "0.1.0.dev0"


def load_ipython_extension(shell: object) -> None:
    """What `%load_ext jupyter_sandbox_spawner` calls."""
    _magic().load(shell)


def unload_ipython_extension(shell: object) -> None:
    """What `%unload_ext jupyter_sandbox_spawner` calls."""
    _magic().unload(shell)


def _magic() -> ModuleType:
    from importlib import import_module  # the hub's side, which imports this file, never needs it

    return import_module("jupyter_sandbox_spawner.singleuser.magic")
