"""
Kueue as a process beside the cluster, with the configuration and the queues of `helm-values/kueue`.

On a cluster it runs in a Pod and its chart wires certificates and webhooks by a Service. Here it is the
same program; what differs is where its webhooks are, who it signs in as, and nothing that it decides.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devcluster import build
from scripts.local import ports
from tests import patience
from tests.deploy.charts import VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.conftest import Kubectl

_LOOPBACK: Final = "127.0.0.1"
_READY_SECONDS: Final = 120
_STOP_SECONDS: Final = 30


@contextlib.contextmanager
def running(folder: Path, *, kubeconfig: Path, kubectl: Kubectl) -> Iterator[None]:
    """Run Kueue on the cluster of *kubeconfig* while the block lasts."""
    program = build.provide_kueue(keep=False, report=print)
    components = program.parent / "components"
    kubectl("apply", "--server-side", "-f", str(components / "crd" / "bases"))
    kubectl("wait", "--for=condition=Established", "crd", "--all")
    chosen = ports.choose(3)
    certificate = make_certificate(folder / "certificates")
    config = folder / "kueue.yaml"
    config.write_text(yaml.safe_dump(configuration(chosen, folder / "certificates")), "utf-8")
    log = folder / "kueue.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*enclosed(folder / "certificates"), program, f"--config={config}",
             f"--kubeconfig={kubeconfig}", "--zap-log-level=2"],
            stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
    try:
        until_listening(chosen[2], process, log)
        kubectl("apply", "-f", "-", stdin=webhooks(components, chosen[2], certificate))
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def enclosed(certificates: Path) -> list[str]:
    """Return what starts a program that finds *certificates* where Kueue's Pod has them, and nothing else there."""
    script = (
        "mount -t tmpfs none /etc && mkdir -p /etc/kueue/metrics && "
        'cp -r "$0" /etc/kueue/metrics/certs && exec "$@"'
    )
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    return ["unshare", *namespaces, "--", "sh", "-c", script, str(certificates)]


def manager_config() -> dict[str, Any]:
    """Return Kueue's configuration as helm-values/kueue gives it to Kueue's chart."""
    values = yaml.safe_load((VALUES / "kueue" / "kueue-values.yaml").read_text("utf-8"))
    found: dict[str, Any] = yaml.safe_load(values["managerConfig"]["controllerManagerConfigYaml"])
    return found


def configuration(chosen: Sequence[int], certificates: Path) -> dict[str, Any]:
    """Return that configuration for a process outside of the cluster."""
    given = manager_config()
    health, metrics, webhook = chosen
    return {
        **given,
        "health": {"healthProbeBindAddress": f"{_LOOPBACK}:{health}"},
        "metrics": {"bindAddress": f"{_LOOPBACK}:{metrics}"},
        "webhook": {"host": _LOOPBACK, "port": webhook, "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "featureGates": {**given["featureGates"], "VisibilityOnDemand": False},
    }


def webhooks(components: Path, port: int, certificate: bytes) -> str:
    """Return Kueue's webhooks for Pods and for its own kinds, at *port* of this machine."""
    selector = manager_config()["managedJobsNamespaceSelector"]
    documents = []
    text = (components / "webhook" / "manifests.yaml").read_text("utf-8")
    for document in yaml.safe_load_all(text):
        kept = []
        for each in document["webhooks"]:
            (rule,) = each["rules"]
            if rule["resources"] != ["pods"] and rule["apiGroups"] != ["kueue.x-k8s.io"]:
                continue
            path = each["clientConfig"].pop("service")["path"]
            each["clientConfig"] = {
                "url": f"https://{_LOOPBACK}:{port}{path}",
                "caBundle": base64.b64encode(certificate).decode(),
            }
            if rule["resources"] == ["pods"]:
                each["namespaceSelector"] = selector
            kept.append(each)
        document["metadata"]["name"] = f"kueue-{document['metadata']['name']}"
        documents.append({**document, "webhooks": kept})
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once something answers at *port*."""

    def said() -> str:
        return log.read_text()[-4000:]

    def listens() -> bool:
        assert process.poll() is None, said()
        with contextlib.suppress(OSError), socket.create_connection((_LOOPBACK, port), 1):
            return True
        return False

    patience.eventually(listens, said, seconds=_READY_SECONDS)


def make_certificate(folder: Path) -> bytes:
    """Write a certificate for this machine, and its key, into *folder*; return the certificate."""
    folder.mkdir(mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kueue")])
    now = datetime.now(UTC)  # noqa: TID251 - certificates go by the machine's clock
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_LOOPBACK))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    (folder / "tls.crt").write_bytes(text)
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return text
