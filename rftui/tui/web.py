"""`rftui --web`: the same program in a browser, through `textual-serve`; who has the address gets in."""

import hmac
import importlib.util
import ipaddress
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from engine.findings import EXIT_OK, EXIT_UNFIT, Finding, FindingsError, Fix

if TYPE_CHECKING:
    from aiohttp import web

PROGRAM = "from rftui.tui.main import main; main()"
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; connect-src 'self' ws:",
}
"""The page of `textual-serve` asks another site for a font: nobody is told that it was opened."""
NEEDED = ("aiohttp", "textual_serve")


def serve(arguments: Sequence[str], host: str, port: int, *, token: bool) -> int:
    """Serve `rftui ARGUMENTS` until interrupted, a process per browser tab; its address goes to stdout.

    `port` 0: any that is free. FindingsError where it cannot be served.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        fix = Fix("install them", command="pip install 'rftui[web]'")
        raise FindingsError(
            [Finding("web.missing", "error", f"--web needs {' and '.join(missing)}.", fixes=(fix,))],
            EXIT_UNFIT,
        )
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    door = Door(host, secrets.token_urlsafe(32) if token else "")
    address = f"http://{_bracketed(host)}:{port}"
    print(f"rftui is at {address}/{door.query}", flush=True)
    if token:
        print("that address lets one browser in, once; ctrl+c ends it", flush=True)
    if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        said = "other machines can reach it, and what they send is not encrypted"
        print(f"{said}: an SSH tunnel to 127.0.0.1 is safer", file=sys.stderr, flush=True)
    from aiohttp import web

    command = shlex.join([sys.executable, "-c", PROGRAM, *arguments])
    with suppress(KeyboardInterrupt):
        web.run_app(application(command, door), sock=listener, print=None)
    return EXIT_OK


class Door:
    """Who may come in: the first who shows the token, and then whoever has the cookie that he got for it."""

    def __init__(self, host: str, token: str) -> None:
        """`token` empty: everybody."""
        self.host, self._token = host, token
        self._key = secrets.token_urlsafe(32) if token else ""
        self.cookie = f"rftui-{secrets.token_hex(4)}"
        """Its name: browsers send cookies to all ports of a host, and there may be another server."""

    @property
    def query(self) -> str:
        """What is added to the address to come in."""
        return f"?token={self._token}" if self._token else ""

    def is_ours(self, asked_host: str, origin: str | None) -> bool:
        """Whether a request means this server: a page of another site may send one, too."""
        name = asked_host.rpartition(":")[0] if asked_host.rpartition(":")[2].isdecimal() else asked_host
        if _is_loopback(self.host) and not _is_loopback(name.strip("[]")):
            return False
        return origin is None or origin == f"http://{asked_host}"

    def cookie_for(self, token: str) -> str | None:
        """The cookie for a token, once; None for any other."""
        if not self._token or not hmac.compare_digest(token.encode(), self._token.encode()):
            return None
        self._token = ""
        return self._key

    def lets_in(self, cookie: str) -> bool:
        """Whether a request with this cookie is answered."""
        return not self._key or hmac.compare_digest(cookie.encode(), self._key.encode())


def application(command: str, door: Door) -> "web.Application":
    """The server behind the door: every page, file and websocket."""
    import aiohttp_jinja2
    import jinja2
    from aiohttp import web
    from textual_serve.server import Server

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not door.is_ours(request.host, request.headers.get("Origin")):
            raise web.HTTPForbidden(text="this is not the address of rftui\n")
        cookie = door.cookie_for(request.query.get("token", ""))
        if cookie is not None and request.path == "/":
            answer = web.HTTPFound("/")
            answer.set_cookie(door.cookie, cookie, httponly=True, samesite="Strict")
            raise answer
        if not door.lets_in(request.cookies.get(door.cookie, "")):
            raise web.HTTPForbidden(text="open the address that rftui --web has printed; it works once\n")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    server = Server(command, title="rftui")

    async def index(request: web.Request) -> web.StreamResponse:
        server.public_url = (
            f"http://{request.host}"  # what the page links to: tunnels have ports of their own
        )
        page: web.StreamResponse = await server.handle_index(request)
        return page

    app = web.Application(middlewares=[guard])
    aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(server.templates_path))
    app.add_routes(
        [
            web.get("/", index, name="index"),
            web.get("/ws", server.handle_websocket, name="websocket"),
            web.get("/download/{key}", server.handle_download, name="download"),
            web.static("/static", server.statics_path, name="static"),
        ]
    )
    return app


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family[0], family[1])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(family[4])
        listener.listen()
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        cause = f"{host}:{port} cannot be listened on: {getattr(error, 'strerror', None) or error}."
        fix = Fix("leave --port out: any free port is taken then, on 127.0.0.1")
        raise FindingsError([Finding("web.address", "error", cause, fixes=(fix,))], EXIT_UNFIT) from error
    return listener


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
