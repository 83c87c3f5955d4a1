"""A hub on one server, for people: HTTPS, a host name for each user, logins of the host (PAM).

docs/how-to/install-on-one-server.md installs it as /etc/jupyter-sandbox/jupyterhub_config.py. Ports and paths
are those of the units beside it; whoever changes one changes both.
"""

import os

from jupyter_sandbox_spawner.setup_hub import setup_hub

c = get_config()  # noqa: F821 (given by traitlets)
host = os.environ.get("SANDBOX_HOST", "hub.example.org")
etc = os.environ.get("SANDBOX_ETC", "/etc/jupyter-sandbox")

# A wildcard name (*.hub.example.org) and its certificate: each user's server has an origin of its own.
c.JupyterHub.subdomain_host = f"https://{host}"
c.JupyterHub.cookie_host_prefix_enabled = True
c.JupyterHub.ssl_key = f"{etc}/tls/key.pem"
c.JupyterHub.ssl_cert = f"{etc}/tls/cert.pem"

# The host's own accounts. The hub's unit has the group shadow for it, and needs it for nothing else: with
# another authenticator (OAuth, LDAP) remove SupplementaryGroups= from jss-hub.service.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allowed_groups = {"jupyter"}
c.PAMAuthenticator.admin_groups = {"jupyter-admin"}

c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 3

setup_hub(
    c,
    profiles=f"{etc}/profiles.yaml",
    run_dir=os.environ.get("SANDBOX_RUN_DIR", "/run/jupyter-sandbox"),
    state_dir=os.environ.get("SANDBOX_STATE_DIR", "/var/lib/jupyter-sandbox"),
    environments={"default": os.environ.get("SANDBOX_USER_ENV", "/opt/jupyter-sandbox/user")},
    # MLflow for everybody; without it: tracking="", and disable the three jss-tracking units.
    tracking=os.environ.get("SANDBOX_TRACKING", "/opt/jupyter-sandbox/tracking"),
    public_host="0.0.0.0",  # noqa: S104 (people come from outside)
    public_port=443,
    public_url=f"https://{host}/",
    hub_port=18081,
    proxy_api_port=18001,
    front_port=18080,
    control_port=18082,
    tracking_port=18083,
)
