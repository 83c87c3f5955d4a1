"""What runs on the user's side? Nothing here is a boundary: the user owns these processes."""

__all__: list[str] = []
