"""What runs inside a sandbox before, beside and below the single-user server?

Standard library only, and these files import only each other: the directory is bound read-only into every
sandbox and runs there with whatever Python the user's environment has (3.10 or newer).
"""

__all__: list[str] = []
