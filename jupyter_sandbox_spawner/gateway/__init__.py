"""Which wires lead in and out of a sandbox? The gateway owns them all and decides none of the policy."""

__all__: list[str] = []
