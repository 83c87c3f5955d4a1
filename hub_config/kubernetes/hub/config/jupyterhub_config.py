"""The hub of a cluster. What it shares with the other programs it takes from site.json.

z2jh runs the same lines, see ../z2jh/values.yaml.
"""

import json
import os
from pathlib import Path

from jupyter_sandbox_spawner.settings import Environment
from jupyter_sandbox_spawner.setup_hub import setup_hub

c = get_config()  # noqa: F821 (given by traitlets)
site = json.loads(Path(os.environ["JUPYTER_SANDBOX_SITE"]).read_text())
images = {name: Environment(**place) for name, place in site.pop("environments").items()}

# Who may log in: the hub lets nobody in until this is chosen.
# c.JupyterHub.authenticator_class = "generic-oauth"   # pip install oauthenticator
# c.Authenticator.admin_users = {"ada"}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 3

c.JupyterHub.subdomain_host = site.pop("subdomain_host", "")
c.JupyterHub.cookie_host_prefix_enabled = True
for derived in ("own_service_hosts", "tracking_url"):  # setup_hub finds them out
    site.pop(derived, None)
setup_hub(c, environments=images, public_host="0.0.0.0", **site)  # noqa: S104 (of a pod; the proxy is before it)
