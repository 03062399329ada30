"""Letters through a real SMTP server on this machine, and every way in which it does not take one."""

import ssl
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from eugospawner.policy.errors import ConfigError
from hub_services.common.mail import MailError, SmtpMail, address_of
from scripts.local import ports

CANARY = "canary-4711"


class Box:
    """Keeps what comes in, but for whom it does not know."""

    def __init__(self):
        self.letters = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        del server, session, options
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        del server, session
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def served():
    """Start servers in threads of their own; each returns its port."""
    running = []

    def start(box, **words):
        (port,) = ports.choose(1)
        running.append(Controller(box, hostname="127.0.0.1", port=port, **words))
        running[-1].start()
        return port

    yield start
    for controller in running:
        controller.stop()


def at(port, scheme="smtp+plain", who=""):
    return SmtpMail.at(f"{scheme}://{who}127.0.0.1:{port}", sender="hub@example.org")


async def test_a_letter_arrives_as_it_was_written(served):
    box = Box()
    port = served(box)
    await at(port).send(
        "jane@example.org", "You are invited to Ümläut", "Open this:\n\nhttps://x?a=b\n"
    )
    (letter,) = box.letters
    assert (letter["From"], letter["To"]) == ("hub@example.org", "jane@example.org")
    assert letter["Subject"] == "You are invited to Ümläut"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content().splitlines() == ["Open this:", "", "https://x?a=b"]


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while:UserWarning"
)  # that is the server's business
async def test_whoever_must_sign_in_does(served):
    box = Box()

    def check(server, session, envelope, mechanism, data):
        del server, session, envelope, mechanism
        return AuthResult(success=data.password == b"s:/cret", handled=False)

    port = served(box, authenticator=check, auth_required=True, auth_require_tls=False)
    await at(port, who="hub:s%3A%2Fcret@").send("jane@example.org", "x", "y")
    assert len(box.letters) == 1
    with pytest.raises(MailError, match="user name and password") as told:
        await at(port, who=f"hub:{CANARY}@").send("jane@example.org", "x", "y")
    assert CANARY not in str(told.value)
    with pytest.raises(MailError):
        await at(port).send("jane@example.org", "x", "y")


async def test_nothing_is_sent_in_clear_where_it_should_not_be(served):
    box = Box()
    port = served(box)  # it offers no STARTTLS
    with pytest.raises(MailError, match="does not take it"):
        await at(port, "smtp").send("jane@example.org", "x", "y")
    assert box.letters == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_server_that_nobody_vouches_for_gets_nothing(served, scheme, tmp_path):
    box, context = Box(), certified(tmp_path)
    if scheme == "smtps":
        port = served(box, ssl_context=context)
    else:
        port = served(box, tls_context=context)
    with pytest.raises(MailError, match="does not take it"):
        await at(port, scheme).send("jane@example.org", "x", "y")
    assert box.letters == []


def certified(folder):
    """Return the context of a server whose certificate it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=9000))
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_whom_the_server_does_not_know_is_told(served):
    port = served(Box())
    with pytest.raises(MailError, match=r"refuses nobody@example\.org"):
        await at(port).send("nobody@example.org", "x", "y")


async def test_a_server_that_is_away_is_told():
    away = SmtpMail.at("smtp+plain://127.0.0.1:1", sender="hub@example.org")
    with pytest.raises(MailError, match="does not answer"):
        await away.send("jane@example.org", "x", "y")


@pytest.mark.parametrize(
    ("url", "sender", "told"),
    [
        ("mail.example.org", "hub@example.org", "names no mail server"),
        ("http://mail.example.org", "hub@example.org", "names no mail server"),
        ("smtp://", "hub@example.org", "names no mail server"),
        ("smtp://mail:many", "hub@example.org", "a port that is none"),
        ("smtp://mail", "", "EUGO_MAIL_FROM"),
        ("smtp://mail", "Hub <hub@example.org>", "EUGO_MAIL_FROM"),
    ],
)
def test_settings_that_are_wrong_are_told(url, sender, told):
    with pytest.raises(ConfigError, match=told):
        SmtpMail.at(url, sender=sender)


def test_ports_are_those_of_the_scheme_and_no_password_is_shown():
    found = [
        SmtpMail.at(f"{scheme}://u:{CANARY}@mail", sender="hub@example.org")
        for scheme in ("smtp", "smtps", "smtp+plain")
    ]
    assert [each.port for each in found] == [587, 465, 25]
    assert all(each.password == CANARY for each in found)
    assert CANARY not in repr(found)


def test_addresses_are_compared_in_small_letters():
    assert address_of(" Jane.Doe+x@Example.ORG ") == "jane.doe+x@example.org"
