"""Which addresses the page answers to, so that no other site's script can ask it in a visitor's name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

LOCAL = frozenset(["localhost", "127.0.0.1", "::1"])
Scope = MutableMapping[str, Any]
Send = Callable[[Scope], Awaitable[None]]
Application = Callable[[Scope, Callable[[], Awaitable[Scope]], Send], Awaitable[None]]


def own_hosts(host: str) -> tuple[frozenset[str], bool]:
    """The names under which a page listening on `host` is known, and whether any address in numbers is one of them.

    A page for this machine is known by its local names. One for the network has this machine's names too, and whatever
    address it is reached by: a name that somebody else's server gives out for that address is not among them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return LOCAL | {host.lower()}, False
    if address.is_loopback:
        return LOCAL | {host}, False
    names = {socket.gethostname().lower(), socket.getfqdn().lower()} if address.is_unspecified else {host}
    return LOCAL | names, address.is_unspecified


def host_of(authority: str) -> str | None:
    """The host of "host:port", in lower case; None where it is no such thing."""
    if not authority or any(letter in authority for letter in "/@?#\\ \t"):
        return None
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    return parts.hostname


class OwnHosts:
    """ASGI middleware that answers 403 to a foreign host, and to a page of a foreign origin."""

    def __init__(self, app: Application, *, host: str, further: Collection[str] = ()):
        """`host` is what the page listens on, `further` the names that a proxy in front of it is known by."""
        self.app = app
        names, self.any_address = own_hosts(host)
        self.further = frozenset(name.lower() for name in further)
        self.names = names | self.further

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Scope]], send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self.allows(scope.get("headers") or ()):
            body = b"This page does not answer to that name.\n"
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await self.app(scope, receive, send)

    def allows(self, headers: Any) -> bool:
        """Whether exactly one host is asked for, and it is ours, and whoever asks comes from the same one."""
        hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
        origins = [value.decode("latin-1") for name, value in headers if name.lower() == b"origin"]
        if len(hosts) != 1 or not self.own(host_of(hosts[0])):
            return False
        # "null" is the origin of a file, of a sandboxed frame and of a redirect: nobody's that should ask.
        asking = [origin.partition("://")[2].lower() for origin in origins]
        return all(name == hosts[0].lower() or host_of(name) in self.further for name in asking)

    def own(self, host: str | None) -> bool:
        if host is None or host in self.names:
            return host is not None
        if not self.any_address:
            return False
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
