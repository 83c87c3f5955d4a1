"""The wires: join unix sockets of programs on different machines over TLS. They carry and decide nothing."""

__all__: list[str] = []
