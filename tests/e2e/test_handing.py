"""The identity token handed over by way of Vault: pushed by a person, taken by one
apply, and nowhere afterwards.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from pathlib import Path

import pytest

from reconciler.errors import PersonNeededError
from reconciler.identity.handoff import take
from reconciler.vault.store import SecretStore
from tests.support.fleet import Fleet

BOT = {"label": "bot"}


def place(fleet: Fleet) -> str:
    """A place of this test's own, beside the prefix."""
    return f"{fleet.mount}/{fleet.prefix.partition('/')[0]}/identity"


def without_identity(fleet: Fleet) -> dict[str, str | None]:
    """The environment of a job."""
    assert fleet.environ
    return {"LIMITLESS_IDENTITY_TOKEN": None}


def test_pushed_taken_and_gone(fleet: Fleet) -> None:
    """A person pushes it from standard input, an apply without any other identity
    derives with it; a second finds nothing.
    """
    fleet.begin()
    fleet.write(BOT)
    token = fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    done = fleet.must(
        "identity",
        "push",
        place(fleet),
        "--identity-file",
        "-",
        text=token,
        environ=without_identity(fleet),
    )
    assert done.out == (
        f"handed over at {place(fleet)} for 900 s: start the apply that takes it "
        f"(--identity-vault {place(fleet)})\n"
    )
    applied = fleet.must(
        "apply", "--yes", "--identity-vault", place(fleet), environ=without_identity(fleet)
    )
    assert applied.last_line == "applied 1, failed 0, held 0, not tried 0"
    with fleet.operator() as client:
        path = place(fleet).partition("/")[2]
        meta = client.secrets.kv.v2.read_secret_metadata(path, mount_point=fleet.mount)["data"]
        assert meta["delete_version_after"] == "15m0s"
        readable = [n for n, v in meta["versions"].items() if not v["destroyed"]]
        contents = [
            client.secrets.kv.v2.read_secret_version(
                path, int(n), fleet.mount, raise_on_deleted_version=False
            )["data"]["data"]
            for n in readable
        ]
        assert contents == [{}]
    fleet.write(BOT, {"label": "more"})
    path = place(fleet).partition("/")[2]
    with fleet.untouched():
        sentence = fleet.refused(
            4, "apply", "--yes", "--identity-vault", place(fleet), environ=without_identity(fleet)
        )
    assert sentence == (
        f"no identity token is waiting at {place(fleet)}: a person puts one there with "
        "`reconciler identity push`, shortly before"
    )


def test_an_apply_that_derives_nothing_leaves_it_there(fleet: Fleet) -> None:
    """It is taken when it is first needed, not before."""
    fleet.begin(BOT)
    fleet.must("identity", "push", place(fleet))
    fleet.must("apply", "--yes", "--identity-vault", place(fleet), environ=without_identity(fleet))
    fleet.write(BOT, {"label": "more"})
    fleet.must("apply", "--yes", "--identity-vault", place(fleet), environ=without_identity(fleet))


def test_of_two_that_take_it_one_gets_it(fleet: Fleet) -> None:
    """However they race."""
    mount, _, path = place(fleet).partition("/")
    for _ in range(5):
        fleet.must("identity", "push", place(fleet))
        outcomes: list[str] = []
        barrier = threading.Barrier(2)

        def one(outcomes: list[str] = outcomes, barrier: threading.Barrier = barrier) -> None:
            with fleet.store() as store:
                handed: SecretStore = store.on(mount)
                barrier.wait()
                try:
                    take(handed, path)
                    outcomes.append("taken")
                except PersonNeededError as error:
                    outcomes.append(
                        "told"
                        if "handed" in str(error) or "hand" in str(error) or "waiting" in str(error)
                        else "?"
                    )

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["taken", "told"]


def jwt(end_s: float) -> str:
    """A token that tells its end; nobody checks its signature before the exchange
    does.
    """
    parts = ({"alg": "ES256"}, {"exp": round(end_s)})
    texts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join([*texts, "c2lnbmF0dXJl"])


def test_its_life_is_no_longer_than_its_own(fleet: Fleet) -> None:
    """Vault ends it when the token itself ends; one that is about to end is refused."""
    environ = {"LIMITLESS_IDENTITY_TOKEN": jwt(time.time() + 300)}
    out = fleet.must("identity", "push", place(fleet), "--ttl", "1800", environ=environ).out
    assert re.fullmatch(rf"handed over at {re.escape(place(fleet))} for (29\d|300) s: .*\n", out)
    for left_s in (-10, 30):
        environ = {"LIMITLESS_IDENTITY_TOKEN": jwt(time.time() + left_s)}
        sentence = fleet.refused(4, "identity", "push", place(fleet), environ=environ)
        assert sentence == "the identity token has expired, or will within a minute: get a new one"


@pytest.mark.parametrize("text", ["", "ci", "/ci/", "ci/../x", "ci//x", "ci/.x"])
def test_a_place_that_is_none(fleet: Fleet, text: str) -> None:
    """Refused before anything is read or sent."""
    code = 64
    assert fleet.refused(code, "identity", "push", text).endswith(
        "write MOUNT/PATH, such as ci/identity"
    )


def test_never_as_an_argument(fleet: Fleet) -> None:
    """There is no option that takes the token itself: everybody on the machine could
    read it.
    """
    done = fleet.attempt("identity", "push", place(fleet), "--identity-token", "x")
    assert done.code == 64


def test_two_sources_are_refused(fleet: Fleet) -> None:
    """Which one is meant is not guessed."""
    fleet.write(BOT)
    sentence = fleet.refused(
        64, "apply", "--yes", "--identity-vault", place(fleet), "--identity-file", "x"
    )
    assert sentence == "--identity-file and --identity-vault exclude each other: give one"


def test_an_input_of_a_workflow_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    """Typed into a form of GitHub's it lies open in the event: refused with the reason,
    before anything is derived.
    """
    fleet.begin()
    fleet.write(BOT)
    event = tmp_path / "event.json"
    event.write_text(
        json.dumps({"inputs": {"token": f" {fleet.environ['LIMITLESS_IDENTITY_TOKEN']}\n"}}),
        encoding="utf-8",
    )
    environ = {"GITHUB_EVENT_PATH": str(event)}
    with fleet.untouched():
        assert "came as an input of the workflow" in fleet.refused(
            4, "apply", "--yes", environ=environ
        )
        assert "came as an input of the workflow" in fleet.refused(
            4, "identity", "push", place(fleet), environ=environ
        )


def test_nothing_to_hand_over(fleet: Fleet) -> None:
    """Without a source and without a terminal to ask on: what to do."""
    sentence = fleet.refused(4, "identity", "push", place(fleet), environ=without_identity(fleet))
    assert sentence.startswith(
        "there is no identity token to hand over: set LIMITLESS_IDENTITY_TOKEN, or use "
    )


def test_a_place_of_somebody_else(fleet: Fleet) -> None:
    """Neither among the manifest's secrets, nor over anything that does not end by
    itself: consumers would read the token.
    """
    fleet.begin(BOT)
    fleet.write(BOT, {"label": "more"})
    ours = f"{fleet.mount}/{fleet.prefix}/bot"
    with fleet.untouched():
        assert "lies among the secrets of" in fleet.refused(
            64, "apply", "--yes", "--identity-vault", ours
        )
        assert "there is something else at" in fleet.refused(64, "identity", "push", ours)
    fleet.must("identity", "push", place(fleet))
    fleet.must("identity", "push", place(fleet))


def digest_of(fleet: Fleet, *arguments: str) -> str:
    """The digest of a plan that is saved as plan.json."""
    fleet.must("plan", "--out", "plan.json", *arguments)
    found: str = json.loads((fleet.folder / "plan.json").read_text())["digest"]
    return found


def test_it_serves_one_plan(fleet: Fleet) -> None:
    """Handed over for one plan, no other run takes it, and it stays where it is; the
    run of that plan does.
    """
    fleet.begin()
    fleet.write(BOT)
    digest = digest_of(fleet)
    done = fleet.must("identity", "push", place(fleet), "--for", digest)
    assert done.out.startswith(f"handed over at {place(fleet)} for 900 s, for {digest}: ")
    take_it = "--identity-vault", place(fleet)
    fleet.write({"label": "another"})
    other = digest_of(fleet)
    for command in (("apply", "--plan", "plan.json"), ("apply", "--yes")):
        with fleet.untouched():
            sentence = fleet.refused(4, *command, *take_it, environ=without_identity(fleet))
        assert sentence == (
            f"the identity token that is waiting serves the plan {digest}, and this run applies "
            f"{other}: look at that plan, and hand a token over for it "
            "(`reconciler identity push --for DIGEST`)"
        )
    with fleet.untouched():
        rotation = ("rotate", "--target", "another", "--yes")
        assert fleet.attempt(*rotation, *take_it, environ=without_identity(fleet)).code != 0
    fleet.write(BOT)
    assert digest_of(fleet) == digest
    fleet.must("apply", "--plan", "plan.json", *take_it, environ=without_identity(fleet))
    fleet.assert_whole()


def test_it_serves_no_bootstrap(fleet: Fleet) -> None:
    """A command that applies no plan does not take a token that was meant for one."""
    fleet.write(BOT)
    fleet.must("identity", "push", place(fleet), "--for", f"sha256:{'a' * 64}")
    take_it = "--identity-vault", place(fleet)
    sentence = fleet.refused(4, "bootstrap", *take_it, environ=without_identity(fleet))
    assert "this command applies no plan" in sentence
    fleet.must("identity", "push", place(fleet))
    fleet.must("bootstrap", *take_it, environ=without_identity(fleet))


@pytest.mark.parametrize("text", ["", "sha256:abc", f"sha256:{'a' * 12}…", "a" * 64, "plan.json"])
def test_a_digest_that_is_none(fleet: Fleet, text: str) -> None:
    """Only a whole digest names one plan; nothing is handed over otherwise."""
    done = fleet.attempt("identity", "push", place(fleet), "--for", text)
    assert done.refusal(64)
    assert f"'{text}'" in done.err or "it is empty" in done.err
