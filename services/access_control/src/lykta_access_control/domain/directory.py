"""Controllers, places, cameras and members: what they are, and which values they take."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from lykta_contracts.ids import is_slug
from lykta_contracts.roles import Role

from lykta_access_control.domain.refusal import invalid

TEXT_LIMIT: Final = 500
DEFAULT_TIMEZONE: Final = "Europe/Stockholm"
_REF: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
_HOST: Final = re.compile(r"^[A-Za-z0-9:][A-Za-z0-9._:-]*$")


@dataclass(frozen=True)
class Controller:
    """A committee or municipal company that decides on surveillance; the tenant."""

    controller: str
    name: str


@dataclass(frozen=True)
class Place:
    """A public place with a stated safety problem; `timezone` is an IANA name."""

    controller: str
    place: str
    name: str
    problem: str
    timezone: str


@dataclass(frozen=True)
class Camera:
    """One device with one field of view; `mandate_id` names the mandate in force, empty when there is none."""

    controller: str
    camera: str
    place: str
    name: str
    address: str
    credentials_ref: str
    created_at: datetime
    mandate_id: str = ""


@dataclass(frozen=True)
class Member:
    """A person's roles in one controller; no roles means no membership."""

    controller: str
    person_id: str
    roles: frozenset[Role]


def checked_slug(field: str, text: str) -> str:
    """Return a slug as it is; raises RefusedError INVALID_FIELD."""
    if not is_slug(text):
        raise invalid(f"{field} must be a slug: 1 to 63 of a-z, 0-9 and inner hyphens, and not 'platform'")
    return text


def checked_text(field: str, text: str, *, needed: bool = True) -> str:
    """Return a text without outer blanks, at most 500 characters, no control characters but line ends and tabs.

    Raises RefusedError INVALID_FIELD.
    """
    stripped = text.strip()
    if any(unicodedata.category(char) == "Cc" and char not in "\n\t" for char in stripped):
        raise invalid(f"{field} holds control characters")
    if needed and not stripped:
        raise invalid(f"{field} is needed")
    if len(stripped) > TEXT_LIMIT:
        raise invalid(f"{field} is longer than {TEXT_LIMIT} characters")
    return stripped


def checked_person(text: str) -> str:
    """Return an OIDC subject as it is (OpenID Connect Core 1.0, 2: at most 255 ASCII characters)."""
    if not text or len(text) > 255 or not text.isascii() or not text.isprintable() or text != text.strip():
        raise invalid("person_id must be an OIDC subject: 1 to 255 printable ASCII characters")
    return text


def checked_roles(names: list[str]) -> frozenset[Role]:
    """Return roles by their names; raises RefusedError that lists the known ones."""
    known = [role.value for role in Role]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise invalid(f"unknown role {unknown[0]!r}; use {', '.join(known)}")
    return frozenset(Role(name) for name in names)


def checked_timezone(name: str) -> str:
    """Return an IANA time zone, `Europe/Stockholm` when empty; raises RefusedError INVALID_FIELD."""
    try:
        return ZoneInfo(name or DEFAULT_TIMEZONE).key
    except (KeyError, ValueError, OSError) as error:
        raise invalid(f"unknown time zone {name!r}; use an IANA name such as {DEFAULT_TIMEZONE}") from error


def checked_address(text: str) -> str:
    """Return a camera address as it is: `rtsp://` or `rtsps://` (RFC 7826, 4.2), a host, no user and no password.

    Raises RefusedError INVALID_FIELD; its message never repeats the address, which may hold a password.
    """
    if len(text) > TEXT_LIMIT or not text.isascii() or not text.isprintable() or " " in text:
        raise invalid(f"address must be printable ASCII without blanks, at most {TEXT_LIMIT} characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise invalid("address is not a URL; write rtsp://host:port/path") from error
    if parts.scheme not in ("rtsp", "rtsps"):
        raise invalid("address must begin with rtsp:// or rtsps://")
    if "@" in parts.netloc:
        raise invalid(
            "address must not hold a user or password; put them in the secret file and name them by credentials_ref"
        )
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
        raise invalid("address must name a host and a port above 0; write rtsp://host:port/path")
    if parts.fragment:
        raise invalid("address must not hold a fragment (#…)")
    return text


def checked_credentials_ref(text: str) -> str:
    """Return the name of credentials, or nothing for none; raises RefusedError INVALID_FIELD."""
    if text and not _REF.fullmatch(text):
        raise invalid("credentials_ref is a name in the recorder's secret file: letters, digits, '.', '_' and '-'")
    return text
