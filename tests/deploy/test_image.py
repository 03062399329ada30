"""
The hub's image: built on Debian, locked, not root; and in it the hub starts as the chart starts it.

The base stands for the chart's own image, which no registry here has: Debian with Python, and a user 1000 is made. The
container has a network of its own with nobody in it, so Kubernetes and the proxy's routes are what it does without.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.deploy.charts import ROOT, VALUES
from tests.deploy.mounted import as_mounted

_CA = Path("/etc/ssl/certs/ca-certificates.crt")
#: Where CAP_SYS_RESOURCE is lacking, no limit can be raised to what podman would.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")
_SECONDS = 90
#: What answers the hub in place of the proxy: it has no routes, and takes those that it is told.
_PROXY = """
import http.server
class Routes(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response({"GET": 200, "POST": 201, "DELETE": 204}[self.command])
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}" if self.command == "GET" else b"")
    do_GET = do_POST = do_DELETE = answer
http.server.ThreadingHTTPServer(("127.0.0.1", 8001), Routes).serve_forever()
"""

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.nightly,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("podman", "runc", "mmdebstrap"))),
        reason="no containers here: as root, apt-get install podman runc mmdebstrap",
    ),
]


def podman(*arguments, **words):
    return subprocess.run(
        ["podman", "--runtime", "runc", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **words,
    )


def made(*arguments, **words):
    done = podman(*arguments, **words)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Build the image on Debian with Python, which trusts whom this machine trusts."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,python3-venv,ca-certificates",
         platform.freedesktop_os_release()["VERSION_CODENAME"], folder / "base.tar"],
        check=True, capture_output=True,
    )  # fmt: skip
    debian, base, tag = "localhost/eugo-debian", "localhost/eugo-base", "localhost/eugo-hub:test"
    made("import", "--quiet", str(folder / "base.tar"), debian)
    shutil.copy(_CA, folder)
    (folder / "Containerfile").write_text(
        f"FROM {debian}\nCOPY {_CA.name} {_CA}\n"
        f"RUN printf '[global]\\ncert = {_CA}\\n' > /etc/pip.conf && mkdir -p /etc/uv "
        "&& printf 'native-tls = true\\n' > /etc/uv/uv.toml\n"
    )
    made("build", *_LIMITS, "--quiet", "--tag", base, str(folder))
    made(
        "build", *_LIMITS, "--quiet", "--network=host", f"--build-arg=BASE={base}",
        "--file", str(ROOT / "images" / "hub" / "Containerfile"), "--tag", tag, str(ROOT),
    )  # fmt: skip
    yield tag
    podman("rmi", "--force", tag, base, debian)


def inside(image, *command):
    return made("run", "--rm", *_LIMITS, "--network=none", image, *command)


@pytest.fixture
def arguments(drawn, tmp_path):
    """What a container of the hub has of the chart."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    folder.chmod(0o755)
    told = as_mounted(drawn.render("small"), folder, below="/usr/local/etc/jupyterhub")
    # As the operator's own Secret is mounted (docs/howto/install.md).
    own = folder / "existing-secret"
    own.mkdir()
    secret = {"hub": {"config": {"EugoAuthenticator": {"client_secret": "x" * 32}}}}
    (own / "values.yaml").write_text(yaml.safe_dump(secret))
    (own / "hub.config.JupyterHub.cookie_secret").write_text("ab" * 32)
    (own / "hub.config.CryptKeeper.keys").write_text("ab" * 32)
    # Who it is, as every Pod is told; Kubernetes itself does not answer here.
    account = tmp_path / "account"
    account.mkdir()
    shutil.copy(_CA, account / "ca.crt")
    (account / "token").write_text("x")
    (account / "namespace").write_text("eugo")
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 1000, 1000)
    told |= {
        "EUGO_CATALOG": "/etc/eugo/catalog.yaml",
        "EUGO_DATABASE_URL": "sqlite:////srv/jupyterhub/eugo.sqlite",
    }
    return [
        *_LIMITS, "--network=none", "--add-host=hub:127.0.0.1", "--add-host=proxy-api:127.0.0.1",
        f"--volume={account}:/var/run/secrets/kubernetes.io/serviceaccount:ro",
        "--env=KUBERNETES_SERVICE_HOST=127.0.0.1", "--env=KUBERNETES_SERVICE_PORT=6443",
        f"--volume={folder}:/usr/local/etc/jupyterhub:ro", f"--volume={data}:/srv/jupyterhub",
        f"--volume={VALUES / 'catalog.yaml'}:/etc/eugo/catalog.yaml:ro",
        *(f"--env={name}={value}" for name, value in told.items()),
    ]  # fmt: skip


def test_it_is_what_is_locked_and_not_root(image):
    assert inside(image, "id", "-u") == "1000"
    assert inside(image, "jupyterhub", "--version").startswith("6.1")
    sbom = json.loads(inside(image, "cat", "/opt/eugo/sbom.cdx.json"))
    listed = {each["name"]: each["version"] for each in sbom["components"]}
    assert listed["jupyterhub"].startswith("6.1")
    told = inside(
        image,
        "python",
        "-c",
        "import importlib.metadata as m; print(*sorted(f'{d.name}=={d.version}' for d in m.distributions()))",
    )
    installed = dict(each.split("==") for each in told.split())
    assert {re.sub("[._]", "-", name.lower()) for name in installed} - {"eugo-workspaces"} <= {
        re.sub("[._]", "-", name.lower()) for name in listed
    }
    assert inside(image, "sh", "-c", "touch /opt/eugo/x 2>&1 || true").endswith("Permission denied")


def test_the_hub_starts_as_the_chart_starts_it_and_its_services_answer(image, arguments):
    name = f"eugo-test-{os.getpid()}"
    command = f"python3 -c '{_PROXY}' & exec jupyterhub --config /usr/local/etc/jupyterhub/jupyterhub_config.py --upgrade-db"
    made("run", "--detach", "--name", name, *arguments, image, "sh", "-c", command)
    asks = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=5).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    try:
        deadline, seen = time.monotonic() + _SECONDS, {}
        wanted = {
            "http://hub:8081/hub/health": {"200"},
            # Without Kubernetes they say so; they are there.
            "http://hub:8191/services/quota/health": {"200", "503"},
            "http://hub:8192/health": {"200", "503"},
            "http://hub:8195/services/export/health": {"200", "503"},
        }
        while not all(seen.get(url) in codes for url, codes in wanted.items()):
            log = podman("logs", name)
            assert time.monotonic() < deadline, (seen, (log.stdout + log.stderr)[-3000:])
            seen = {
                url: podman("exec", name, "python3", "-c", asks, url).stdout.strip()
                for url in wanted
            }
            time.sleep(0.5)
        log = podman("logs", name).stderr
        assert "eugo: warning: " in log  # that Kubernetes does not answer
        assert "eugo: error: " not in log
    finally:
        podman("rm", "--force", "--time=5", name)


def test_a_hub_that_cannot_begin_says_why_in_one_line_and_ends(image, arguments):
    nowhere = "--env=EUGO_DATABASE_URL=postgresql+asyncpg://eugo:s3cret@127.0.0.1:1/eugo"
    done = podman(
        "run", "--rm", *arguments, nowhere, image, "jupyterhub", "--config",
        "/usr/local/etc/jupyterhub/jupyterhub_config.py", timeout=_SECONDS,
    )  # fmt: skip
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("eugo: ")]
    assert len(said) == 1
    assert said[0].startswith("eugo: error: EUGO_DATABASE_URL: ")
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_values_and_image_agree_on_where_the_configuration_is():
    values = yaml.safe_load((VALUES / "values.yaml").read_text())["hub"]
    assert "/opt/eugo/jupyterhub_config.py" in values["extraConfig"]["10-eugo"]
    text = (ROOT / "images" / "hub" / "Containerfile").read_text()
    assert "WORKDIR /opt/eugo" in text
    assert "COPY jupyterhub_config.py ./" in text
