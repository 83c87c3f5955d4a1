"""The link: beside one sandbox in its pod, it is that sandbox's doors. Standard library only."""

__all__: list[str] = []
