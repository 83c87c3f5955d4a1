"""What may a notebook ask about its own sandbox? `import jupyter_sandbox; jupyter_sandbox.ttl()`

The functions raise errors with a `code` and a sentence; their answers show themselves as text and as HTML.
"""

from jupyter_sandbox_spawner.singleuser.forward import forward
from jupyter_sandbox_spawner.singleuser.network import ask_for_access, egress, withdraw
from jupyter_sandbox_spawner.singleuser.questions import extend, keep, status, ttl
from jupyter_sandbox_spawner.singleuser.secret_values import secrets

__all__ = [
    "ask_for_access",
    "egress",
    "extend",
    "forward",
    "keep",
    "secrets",
    "status",
    "ttl",
    "withdraw",
]
