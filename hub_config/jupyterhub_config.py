"""A hub whose servers are sandboxed on this host. Start it: jupyter-sandbox-admin run -f THIS_FILE

Every SANDBOX_... variable below has a default for a real machine; scripts/demo sets its own.
"""

import json
import os
from pathlib import Path

from jupyter_sandbox_spawner.settings import Environment
from jupyter_sandbox_spawner.setup_hub import setup_hub

c = get_config()  # noqa: F821 (given by traitlets)
here = Path(__file__).resolve().parent
user = os.environ.get("SANDBOX_USER_ENV", "/opt/jupyter-sandbox/user")
image = os.environ.get("SANDBOX_IMAGE", "")


def internal_services(text: str) -> dict[str, str]:
    """`name:port=host:port,...`: names that exist only for sandboxes, and who answers for them."""
    return dict(item.split("=", 1) for item in text.split(",") if item)


# Who may log in. Choose an authenticator of your site; the hub starts with none that lets people in.
# c.JupyterHub.authenticator_class = "generic-oauth"   # pip install oauthenticator
# c.Authenticator.admin_users = {"ada"}
demo_users = os.environ.get("SANDBOX_DEMO_USERS")
if demo_users:
    from hub_config.demo.authenticator import use_demo_login

    use_demo_login(c, demo_users)

# Groups open profiles: see allowed_groups in profiles.yaml.
# c.JupyterHub.load_groups = {"research": {"users": ["ada"]}}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 3
c.JupyterHub.concurrent_spawn_limit = int(os.environ.get("SANDBOX_SPAWN_LIMIT", "20"))
# To answer on the network: public_host="0.0.0.0" below, TLS, and before it a wildcard host name, so that a
# user's page never shares the hub's origin:
# c.JupyterHub.subdomain_host = "https://hub.example.org"
if os.environ.get("SANDBOX_SUBDOMAIN_HOST"):
    c.JupyterHub.subdomain_host = os.environ["SANDBOX_SUBDOMAIN_HOST"]

setup_hub(
    c,
    profiles=os.environ.get("SANDBOX_PROFILES", here / "profiles.yaml"),
    run_dir=os.environ.get("SANDBOX_RUN_DIR", "/run/jupyter-sandbox"),
    state_dir=os.environ.get("SANDBOX_STATE_DIR", "/var/lib/jupyter-sandbox"),
    runtime=os.environ.get("SANDBOX_RUNTIME", "runc"),
    backend=os.environ.get("SANDBOX_BACKEND", "local"),  # "docker": see docs/how-to/use-docker.md
    environments={"default": Environment(image=image, prefix="/opt/jupyter") if image else user},
    # Where MLflow is installed, if it is: every notebook then logs its runs there with nothing set up.
    tracking=os.environ.get("SANDBOX_TRACKING", ""),
    # "": secrets in encrypted files; else JSON like {"address": "https://...", ...}, docs/how-to/use-vault.md
    vault=json.loads(os.environ.get("SANDBOX_VAULT") or "null"),
    cdi_directories=os.environ.get("SANDBOX_CDI", "/etc/cdi:/var/run/cdi").split(":"),  # of GPUs
    one_uid=os.environ.get("SANDBOX_ONE_UID") == "1",
    public_port=int(os.environ.get("SANDBOX_PUBLIC_PORT", "8000")),
    internal_services=internal_services(os.environ.get("SANDBOX_INTERNAL_SERVICES", "")),
)
