"""The link: beside one sandbox in its pod, it is that sandbox's doors. Standard library only, to start fast."""

__all__: list[str] = []
