"""
Mail: sends letters of plain text through an SMTP server.

The server is named by one address: ``smtp://user:password@mail.example.org:587`` (STARTTLS, which must
succeed), ``smtps://…:465`` (TLS from the start), ``smtp+plain://127.0.0.1:25`` (neither, for a relay on the
same machine). Whoever may send goes before a letter that cannot be sent: the caller is told in words, and nothing
is tried again unasked. Source: RFC 5321, RFC 8314; F111, F118.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from contextlib import closing
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from eugospawner.policy.errors import ConfigError, EugoError

_SECONDS: Final = 20
_PORTS: Final = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
#: RFC 5321 §4.5.3.1.
_LONGEST: Final = 254


class MailError(EugoError):
    """A letter was not sent; the text says why, without secrets."""


class Mail(Protocol):
    """Sends letters."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a letter, or raise a `MailError`."""
        ...


def address_of(text: str) -> str:
    """
    Return the address that *text* is, in small letters.

    Raises:
        ValueError: It is none that every server takes.
    """
    plain = text.strip()
    try:
        found = Address(addr_spec=plain)
    except (ValueError, MessageError, IndexError) as error:
        message = f"{plain!r} is no e-mail address such as jane@example.org"
        raise ValueError(message) from error
    whole = found.addr_spec
    if (
        whole != plain
        or not plain.isascii()
        or not plain.isprintable()
        or len(plain) > _LONGEST
        or not found.domain
        or not found.username
    ):
        message = f"{plain!r} is no e-mail address such as jane@example.org"
        raise ValueError(message)
    return plain.lower()


@dataclass(frozen=True, slots=True)
class SmtpMail:
    """
    An SMTP server.

    Attributes:
        sender: Who sends, as an address.
    """

    scheme: str
    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""

    @classmethod
    def at(cls, url: str, *, sender: str) -> SmtpMail:
        """
        Return the server at *url*.

        Raises:
            ConfigError: It is no such address, or *sender* is none.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            message = "EUGO_SMTP_URL has a port that is none: write smtp://mail.example.org:587"
            raise ConfigError(message) from error
        if parts.scheme not in _PORTS or not parts.hostname:
            message = (
                "EUGO_SMTP_URL names no mail server: write smtp://user:password@mail.example.org:587, "
                "smtps:// for TLS from the start, or smtp+plain:// for a relay on this machine"
            )
            raise ConfigError(message)
        try:
            address = address_of(sender)
        except ValueError as error:
            message = f"EUGO_MAIL_FROM: {error}: who sends is not known without it"
            raise ConfigError(message) from error
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            sender=address,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    def __repr__(self) -> str:
        """Return what may stand in a log."""
        return f"SmtpMail({self.scheme}://{self.host}:{self.port})"

    async def send(self, to: str, subject: str, text: str) -> None:
        """
        Send a letter.

        Raises:
            MailError: The server does not take it.
        """
        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = self.sender, to, subject
        letter["Date"] = formatdate()
        letter["Message-ID"] = make_msgid(domain=self.sender.partition("@")[2])
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notices
        letter.set_content(text)
        try:
            await asyncio.to_thread(self._deliver, letter)
        except smtplib.SMTPRecipientsRefused as error:
            message = f"The mail server refuses {to}"
            raise MailError(message) from error
        except smtplib.SMTPAuthenticationError as error:
            message = (
                "The mail server does not take the user name and password that it was set up with"
            )
            raise MailError(message) from error
        except (smtplib.SMTPException, ssl.SSLError) as error:
            message = f"The mail server at {self.host} does not take it ({type(error).__name__})"
            raise MailError(message) from error
        except OSError as error:
            message = f"The mail server at {self.host} does not answer"
            raise MailError(message) from error

    def _deliver(self, letter: EmailMessage) -> None:
        context = ssl.create_default_context()
        if self.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=_SECONDS)
        with closing(server), server:
            if self.scheme == "smtp":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
            server.send_message(letter)
