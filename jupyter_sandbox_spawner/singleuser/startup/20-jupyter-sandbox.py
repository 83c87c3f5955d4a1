"""Does IPython start inside a sandbox? Then it gets %sandbox; anywhere else this does nothing.

Law: it never raises and leaves no name behind, whatever is installed or broken.
"""

__all__: list[str] = []


def _load_sandbox() -> None:
    import os
    import sys

    if not os.environ.get("JUPYTER_SANDBOX"):
        return
    try:
        shell = get_ipython()  # type: ignore[name-defined] # noqa: F821 - in the namespace this runs in
        shell.extension_manager.load_extension("jupyter_sandbox_spawner")
    except Exception as error:  # noqa: BLE001 - a kernel without %sandbox is better than none
        print(f"%sandbox is not available: {error}", file=sys.stderr)


_load_sandbox()
del _load_sandbox, __all__
