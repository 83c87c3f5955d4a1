"""What does the person type into the notebook? The cells of the story; each prints one JSON document.

Every cell that shows something dead also shows a living twin, so a broken notebook cannot pass.
"""

from __future__ import annotations

from .upstream import MIRROR_HOST, PACKAGE

__all__ = [
    "ALLOWED",
    "DEAD",
    "HELLO",
    "IMPORT",
    "INSTALL",
    "KILL_SERVER",
    "LAST",
    "REFUSED",
    "REFUSED_HOST",
    "SECRETS",
    "SECRET_GONE",
    "SECRET_USED",
]

REFUSED_HOST = "refused.example"

HELLO = """
import getpass, json, os, platform
home = os.path.expanduser("~")
print(json.dumps({"user": getpass.getuser(), "python": platform.python_version(), "home": home}))
"""

INSTALL = f"%pip install --disable-pip-version-check {PACKAGE}"

IMPORT = """
import json, sandbox_demo_greeting as greeting
print(json.dumps({"says": greeting.greet(), "file": greeting.__file__}))
"""

ALLOWED = f"""
import json, urllib.request
with urllib.request.urlopen("http://{MIRROR_HOST}/", timeout=20) as answer:
    print(json.dumps({{"status": answer.status, "text": answer.read().decode()}}))
"""

REFUSED = f"""
import json, urllib.error, urllib.request
seen = {{}}
for scheme in ("http", "https"):
    try:
        urllib.request.urlopen(scheme + "://{REFUSED_HOST}/", timeout=20)
        seen[scheme] = "answered"
    except urllib.error.HTTPError as error:
        seen[scheme] = f"{{error.code}} {{error.reason}}"
        seen["code"] = error.headers.get("X-Sandbox-Deny")
    except urllib.error.URLError as error:
        seen[scheme] = str(error.reason)
print(json.dumps(seen))
"""

DEAD = """
import json, socket, threading
seen = {}
own = socket.create_server(("127.0.0.1", 0))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))

def attempt(name, act):
    try:
        act()
        seen[name] = "alive"
    except OSError as error:
        seen[name] = f"{type(error).__name__}: {error}"

def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(3)
        sender.sendto(b"hello", address)

def ask(server):
    query = bytes.fromhex("123401000001000000000000076578616d706c6503636f6d0000010001")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(3)
        sender.sendto(query, (server, 53))
        sender.recvfrom(512)

attempt("loopback tcp", lambda: socket.create_connection(own.getsockname(), 3).close())
attempt("loopback udp", lambda: send(udp.getsockname()))
attempt("tcp", lambda: socket.create_connection(("203.0.113.10", 443), 3).close())
attempt("udp", lambda: send(("203.0.113.10", 5000)))
attempt("dns by name", lambda: socket.getaddrinfo("example.com", 443))
attempt("dns by query", lambda: ask("203.0.113.53"))
print(json.dumps(seen))
"""

KILL_SERVER = """
import os, signal
os.kill(os.getppid(), signal.SIGKILL)
"""

SECRETS = """
import json
listed = %sandbox secrets
names = [item.name for item in listed.items]
print(json.dumps({"shown": repr(listed), "html": listed._repr_html_(), "names": names}))
"""

SECRET_USED = """%%sandbox secrets use warehouse/reader
import hashlib, json, os
digest = hashlib.sha256(os.environ["WAREHOUSE_PASSWORD"].encode()).hexdigest()
print(json.dumps({"user": os.environ["WAREHOUSE_USER"], "digest": digest}))
"""

SECRET_GONE = """
import json, os
print(json.dumps([name for name in os.environ if name.startswith("WAREHOUSE")]))
"""

LAST = """
import json, os, urllib.request
base = os.environ["JUPYTERHUB_API_URL"].removesuffix("hub/api")
token = {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]}
asked = urllib.request.Request(base + "services/sandbox/api/self", headers=token)
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with direct.open(asked, timeout=10) as answer:
    print(json.dumps(json.load(answer)["last"]["stop"]))
"""
