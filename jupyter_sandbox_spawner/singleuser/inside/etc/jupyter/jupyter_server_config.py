"""Which settings of the server depend on the image it runs in?

Where language servers written for Node.js are looked for: without a list jupyter_lsp asks
`npm prefix --global` at every start: 0.3 s of processor time, and files in the home.
"""

import sys

__all__ = ["c"]

c = get_config()  # type: ignore[name-defined] # noqa: F821 - traitlets gives it to files it reads
c.LanguageServerManager.node_roots = [".", f"{sys.prefix}/lib", sys.prefix, "/usr/local/lib", "/usr/lib"]
