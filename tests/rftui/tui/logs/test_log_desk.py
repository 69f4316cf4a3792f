"""The thread behind the screen of logs: nothing that is asked of it may stop it."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rftui.tui.logs import query
from rftui.tui.logs.book import LogBook
from rftui.tui.logs.desk import Command, Desk
from rftui.tui.logs.page import Page
from rftui.tui.logs.query import Filter

ENDLESS = query.query("/(a|aa)+$/")


@dataclass
class Reader:
    """Takes what the desk hands out."""

    desk: Desk
    pages: list[Page] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def until(self, condition: Callable[[Page], bool]) -> Page:
        deadline = time.monotonic() + 20
        while not (self.pages and condition(self.pages[-1])):
            assert time.monotonic() < deadline, self.pages[-1:]
            time.sleep(0.01)
        return self.pages[-1]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A desk in a thread, over a log in which some expressions find no end."""
    monkeypatch.setattr(query, "LIMIT_S", 0.1)
    text = "".join(f"step {step}\n" for step in range(200))
    (tmp_path / "rank-00000.log").write_text(text + "a" * 60 + "!\n")
    desk = Desk(
        lambda: LogBook(tmp_path, 0.0),
        lambda page: made.pages.append(page),
        lambda s: made.told.append(s),
        0.1,
    )
    made = Reader(desk)
    thread = threading.Thread(target=desk.run)
    thread.start()
    made.until(lambda page: page.lines == 201)
    yield made
    desk.close()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "command",
    [
        lambda book: book.find(ENDLESS),
        lambda book: book.filter_by(Filter(include=ENDLESS)),
        lambda book: book.filter_by(Filter(exclude=ENDLESS)),
    ],
)
def test_an_expression_without_end_is_dropped(reader: Reader, command: Command) -> None:
    reader.desk.ask(command)
    page = reader.until(lambda page: "takes too long and was dropped" in page.note)
    assert page.query is None and page.filter.open and page.rows[-1].text.startswith("aaa")
    reader.desk.ask(lambda book: book.find(query.query("step 7")))
    reader.until(lambda page: page.row is not None and page.row.text == "step 79")


def test_a_filter_without_end_keeps_the_place_and_the_other_filter(reader: Reader) -> None:
    reader.desk.ask(lambda book: book.filter_by(Filter(exclude=query.query("step 1"))))
    reader.desk.ask(LogBook.begin)
    reader.desk.ask(lambda book: book.move(30))
    reader.until(lambda page: page.row is not None and page.row.text == "step 41")
    reader.desk.ask(lambda book: book.filter_by(Filter(ENDLESS, book.filter.exclude)))
    page = reader.until(lambda page: "was dropped" in page.note)
    assert page.filter == Filter(exclude=query.query("step 1"))
    assert page.row is not None and page.row.text == "step 41"


def test_a_command_that_fails_is_told_and_the_next_one_obeyed(reader: Reader) -> None:
    reader.desk.ask(lambda book: 1 / 0)
    reader.desk.ask(LogBook.begin)
    reader.until(lambda page: page.row is not None and page.row.text == "step 0")
    assert len(reader.told) == 1 and "ZeroDivisionError" in reader.told[0]
