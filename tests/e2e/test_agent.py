"""``bao agent`` as a consumer: what it renders while a secret is rotated, emptied,
deleted.

The template is the one of docs/consumers.md.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.demo.openbao import _binary
from tests.support.fleet import Fleet, texts_of

PAGE = Path(__file__).parents[2] / "docs/consumers.md"
ACCESS = """
vault {{
  address = "{address}"
}}
auto_auth {{
  method "token_file" {{
    config = {{ token_file_path = "{token}" }}
  }}
}}
template_config {{
  static_secret_render_interval = "200ms"
  exit_on_retry_failure = false
}}
"""
TEMPLATE = """
template {{
  source               = "{source}"
  destination          = "{rendered}"
  error_on_missing_key = {strict}
}}
"""
WAIT_S = 20.0
LONGER_S = 0.7
"""Several intervals of the agent."""


@contextmanager
def agent(fleet: Fleet, folder: Path, config: str) -> Iterator[None]:
    """A running agent, in a folder of its own."""
    token, written = folder / "token", folder / "agent.hcl"
    token.touch(mode=0o600)
    token.write_text(fleet.environ["VAULT_TOKEN"])
    access = ACCESS.format(address=fleet.environ["VAULT_ADDR"], token=token)
    written.write_text(access + config)
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [_binary(), "agent", f"-config={written}"], stdout=log, stderr=log, cwd=folder
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)
            token.unlink()


@contextmanager
def rendering(fleet: Fleet, folder: Path, template: str, *, strict: str) -> Iterator[Path]:
    """An agent with a template, and the file that it writes.

    ``strict`` is its ``error_on_missing_key``.
    """
    folder.mkdir()
    source, rendered = folder / "bot.ctmpl", folder / "bot.env"
    source.write_text(template)
    with agent(fleet, folder, TEMPLATE.format(source=source, rendered=rendered, strict=strict)):
        yield rendered
    rendered.unlink()


@contextmanager
def starting(fleet: Fleet, folder: Path, config: str) -> Iterator[Path]:
    """An agent that starts a consumer, and the file where that notes its ids."""
    folder.mkdir()
    noted = folder / "noted"
    noted.touch()
    consumer = folder / "bot"
    consumer.write_text(f'#!/bin/sh\necho "$LMTS_TOKEN_ID" >> {noted}\nexec sleep 60\n')
    consumer.chmod(0o700)
    with agent(fleet, folder, config.replace("/usr/local/bin/bot", str(consumer))):
        yield noted


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def recipe(language: str, within: str) -> str:
    """The block of the page in that language with that text in it."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = (text for kind, text in blocks if kind == language and within in text)
    return str(found)


@pytest.mark.consumers
def test_what_the_agent_renders(fleet: Fleet, tmp_path: Path) -> None:
    """A rotation reaches the file. With the page's setting a secret that is emptied or
    deleted leaves the file as it was: nobody reads ``<no value>`` where a working
    secret was. Without it an emptied one is rendered so. A consumer that the agent
    starts is started anew for another token, and for nothing else.
    """
    assert "error_on_missing_key = true" in recipe("hcl", "template {")
    fleet.begin({"label": "bot", "path": "prod/bot", "overlap": "1h"})
    place = f"{fleet.mount}/data/{fleet.prefix}"
    template = recipe("", "{{ with").replace("secret/data/limitless/tokens", place)
    consumer = recipe("hcl", "exec {").replace("secret/data/limitless/tokens", place)

    def wanted() -> str:
        content = fleet.secret("prod/bot")
        assert content.secret is not None
        token_id, secret = texts_of(content)["token_id"], content.secret.reveal()
        return f"LMTS_TOKEN_ID={token_id}\nLMTS_TOKEN_SECRET={secret}\n"

    def is_rendered(file: Path) -> bool:
        return file.exists() and file.read_text() == wanted()

    with (
        rendering(fleet, tmp_path / "strict", template, strict="true") as strict,
        rendering(fleet, tmp_path / "loose", template, strict="false") as loose,
        starting(fleet, tmp_path / "started", consumer) as noted,
    ):
        until(lambda: is_rendered(strict), "the first secret is not rendered")
        started = [fleet.secret("prod/bot").field("token_id")]
        until(lambda: noted.read_text().split() == started, "the consumer is not started")
        fleet.must("rotate", "--target", "bot", "--yes")
        until(lambda: is_rendered(strict), "the rotation did not reach the file")
        until(lambda: is_rendered(loose), "nor the other")
        started.append(fleet.secret("prod/bot").field("token_id"))
        until(lambda: noted.read_text().split() == started, "the consumer is not started anew")
        good, last = strict.read_text(), fleet.secret("prod/bot").version
        with fleet.store() as store:
            store.write(f"{fleet.prefix}/prod/bot", {}, cas=last)
            until(lambda: "<no value>" in loose.read_text(), "the emptied one is not rendered")
            assert strict.read_text() == good
            store.delete_version(f"{fleet.prefix}/prod/bot", last + 1)
            time.sleep(LONGER_S)
            assert strict.read_text() == good
        fleet.must("apply", "--yes")
        until(lambda: is_rendered(strict), "the restored secret is not rendered")
        until(lambda: is_rendered(loose), "nor the other")
        assert noted.read_text().split() == started, "restarted for the same token"
