"""`rftui --web`: real requests to the real server, and a real browser that opens it."""

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_run import finished_run

from engine.findings import FindingsError
from rftui.tui.web import Door, _listen

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")

RFTUI = "from rftui.tui.main import main; main()"
BROWSER = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)


class Served:
    """The server as a process; `address` is what it printed."""

    def __init__(self, runs: Path, *flags: str) -> None:
        command = [sys.executable, "-c", RFTUI, "--web", "--runs-dir", str(runs), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found is not None
        self.address = found[0]
        self.base = self.address.partition("?")[0]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    finished_run(tmp_path, "qwen", steps=5)
    server = Served(tmp_path)
    yield server
    server.end()


async def test_the_token_works_once_and_everything_is_behind_it(served: Served) -> None:
    assert served.base.startswith("http://127.0.0.1:") and "?token=" in served.address
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as guest, aiohttp.ClientSession() as stranger:
        for path in ("", "static/js/textual.js", "download/x", "?token=wrong", "static/?token=wrong"):
            async with stranger.get(served.base + path) as answer:
                assert answer.status == 403, path
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stranger.ws_connect(served.base + "ws")
        assert refused.value.status == 403
        async with guest.get(served.address) as answer:
            page = await answer.text()
            assert answer.status == 200 and str(answer.url) == served.base
            assert "textual.js" in page and "no-referrer" in answer.headers["Referrer-Policy"]
            assert "token" not in page
        async with guest.get(served.base + "static/js/textual.js") as answer:
            assert answer.status == 200
        async with stranger.get(served.address) as answer:
            assert answer.status == 403


async def test_the_websocket_shows_the_home_screen(served: Served) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as guest:
        async with guest.get(served.address):
            pass
        for origin in ("http://evil.example", "null"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await guest.ws_connect(served.base + "ws", headers={"Origin": origin})
            assert refused.value.status == 403
        async with guest.ws_connect(served.base + "ws?width=100&height=30") as socket:
            seen = await _until(socket, b"1 run in")
            assert b"presets" in seen
            await socket.send_str(json.dumps(["stdin", "?"]))
            await _until(socket, b"leave the program")


async def _until(socket: Any, wanted: bytes) -> bytes:
    seen = b""
    async with asyncio.timeout(30):
        async for message in socket:
            seen += message.data if isinstance(message.data, bytes) else message.data.encode()
            if wanted in seen:
                return seen
    raise AssertionError(seen[-500:])


async def test_another_name_of_this_machine_is_refused(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        for host, status in (("evil.example", 403), ("evil.example:80", 403), ("localhost", 200)):
            headers = {"Host": host}
            async with session.get(served.address, headers=headers, allow_redirects=False) as answer:
                assert answer.status == (302 if status == 200 else status), host


def test_no_token_lets_everybody_in_and_interrupting_ends_it(tmp_path: Path) -> None:
    server = Served(tmp_path, "--no-token")

    async def ask() -> int:
        async with aiohttp.ClientSession() as session, session.get(server.address) as answer:
            status: int = answer.status
            return status

    try:
        assert "token" not in server.address
        assert asyncio.run(ask()) == 200
    finally:
        code = server.end()
    assert code == 0


def test_a_port_in_use_and_a_missing_package_are_told(served: Served, tmp_path: Path) -> None:
    port = served.base.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-c", RFTUI, "--web", "--runs-dir", str(tmp_path), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "Address already in use" in done.stderr
    without = "import sys; sys.modules['textual_serve'] = None; " + RFTUI
    done = subprocess.run(
        [sys.executable, "-c", without, "--web"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3 and "pip install 'rftui[web]'" in done.stderr


def test_who_the_door_lets_in() -> None:
    door = Door("127.0.0.1", "secret")
    assert door.query == "?token=secret" and not door.lets_in("") and door.cookie_for("wrong") is None
    cookie = door.cookie_for("secret")
    assert cookie and door.lets_in(cookie) and door.cookie_for("secret") is None
    assert door.is_ours("127.0.0.1:80", None) and door.is_ours("[::1]:80", "http://[::1]:80")
    assert not door.is_ours("127.0.0.1:80", "http://127.0.0.1:81")
    assert Door("0.0.0.0", "").is_ours("gpu-box:8000", "http://gpu-box:8000") and Door("0.0.0.0", "").lets_in(
        ""
    )


class Browser:
    """Headless Chromium, through its debugging protocol."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER is not None
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            "--no-first-run",
        ]
        self.process = subprocess.Popen(
            [BROWSER, *flags, f"--user-data-dir={folder}", "about:blank"],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.received = b""
        self._number = 0

    def debugger(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"ws://([\d.:]+)/", line):
                return found[1]
        raise AssertionError("the browser did not start")

    async def say(self, socket: Any, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command; what the page's websocket receives meanwhile is kept."""
        self._number += 1
        number = self._number
        await socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self.listen(socket)
            if answer.get("id") == number:
                return dict(answer.get("result", {}))

    async def listen(self, socket: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await socket.receive()).json()
        if answer.get("method") == "Network.webSocketFrameReceived":
            frame = answer["params"]["response"]
            binary = frame["opcode"] == 2
            self.received += (
                base64.b64decode(frame["payloadData"]) if binary else frame["payloadData"].encode()
            )
        return answer

    async def until(self, socket: Any, wanted: bytes) -> None:
        async with asyncio.timeout(40):
            while wanted not in self.received:
                await self.listen(socket)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: `apt-get install chromium`")
async def test_a_browser_sees_the_home_screen_and_types(served: Served, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "browser")
    try:
        where = await asyncio.to_thread(browser.debugger)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{where}/json/list") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                for domain in ("Network", "Page"):
                    await browser.say(socket, f"{domain}.enable")
                await browser.say(socket, "Page.navigate", url=served.address)
                await browser.until(socket, b"1 run in")
                for kind in ("mousePressed", "mouseReleased"):
                    at = {"x": 300, "y": 8, "button": "left", "clickCount": 1}
                    await browser.say(socket, "Input.dispatchMouseEvent", type=kind, **at)
                key = {"key": "7", "code": "Digit7", "windowsVirtualKeyCode": 55, "text": "7"}
                await browser.say(socket, "Input.dispatchKeyEvent", type="keyDown", **key)
                await browser.until(socket, b"this machine")
                await asyncio.sleep(0.5)
                picture = base64.b64decode((await browser.say(socket, "Page.captureScreenshot"))["data"])
                (tmp_path / "home.png").write_bytes(picture)
                assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    finally:
        browser.end()


def test_two_servers_do_not_take_each_others_cookie() -> None:
    """Browsers keep cookies by host, whatever the port."""
    assert Door("127.0.0.1", "a").cookie != Door("127.0.0.1", "b").cookie


def test_a_name_that_no_host_can_have_is_told() -> None:
    with pytest.raises(FindingsError, match="cannot be listened on"):
        _listen("a" * 70 + ".b", 0)
