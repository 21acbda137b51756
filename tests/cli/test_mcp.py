"""``castline mcp`` through the protocol's own client."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from castline.cli.connect import Connection
from castline.cli.mcp import server_of
from tests.archive.conftest import (
    Shelf,
    make,
    postgresql,
    postgresql_database,
    postgresql_shelf,
    shelf,
    sqlite_shelf,
)

__all__ = ["make", "postgresql", "postgresql_database", "postgresql_shelf", "shelf", "sqlite_shelf"]
mcp = pytest.importorskip("mcp")


@pytest.fixture
def ask(shelf: Shelf) -> Any:
    server = server_of(Connection(shelf.store, shelf.settings, "memory"))  # type: ignore[arg-type]

    def call(name: str, **arguments: Any) -> Any:
        async def run() -> Any:
            async with mcp.Client(server) as client:
                return await (client.call_tool(name, arguments) if name else client.list_tools())

        return anyio.run(run)

    return call


def test_every_tool_declares_that_it_only_reads(ask: Any) -> None:
    tools = ask("").tools
    assert {tool.name for tool in tools} == {"search_moments", "get_transcript", "list_people", "list_recordings"}
    assert all(tool.annotations.read_only_hint for tool in tools)


def test_moments_transcripts_people_and_recordings(shelf: Shelf, ask: Any) -> None:
    people = [shelf.make.person(1, "Ada King", (0, 9))]
    shelf.publish("board.mp4", [shelf.make.segment(1, "A budget.", 0, 5, visible="Ada King"), "No."], people)
    found = json.loads(ask("search_moments", query="budget person:ada").content[0].text)
    assert [(hit["media"], hit["text"]) for hit in found["hits"]] == [("board.mp4", "A budget.")]
    assert ask("get_transcript", media="board.mp4").content[0].text == "[0:00] (Ada King) A budget.\n[0:10] No."
    assert json.loads(ask("list_people").content[0].text)["name"] == "Ada King"
    assert json.loads(ask("list_recordings").content[0].text)["people"] == ["Ada King"]


def test_a_mistake_is_reported(ask: Any) -> None:
    wrong = ask("search_moments", query="colour:red")
    assert wrong.is_error and "colour: is not a field" in wrong.content[0].text
    missing = ask("get_transcript", media="no.mp4")
    assert missing.is_error and "no result" in missing.content[0].text
