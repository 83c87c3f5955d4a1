"""What does the admin type? `jupyter-sandbox-admin`: run, doctor, profiles."""

__all__: list[str] = []
