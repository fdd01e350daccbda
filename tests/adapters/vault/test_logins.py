"""Every way to log in, through the whole program against a real OpenBao: what it may
do, what is left behind, who is refused.

Whatever the method, the root token lies in VAULT_TOKEN and another in ~/.vault-token: a
login that is refused used neither.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from reconciler.errors import VaultRefusedError
from reconciler.sandbox import Fault, FaultKind, Operation
from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore
from tests.adapters.vault.doors import Doors
from tests.adapters.vault.issuers import (
    CLUSTER,
    GITHUB,
    GITLAB,
    github,
    pod_claims,
    review,
    token_of,
)
from tests.adapters.vault.servers import wait_until
from tests.support.fleet import Environ, Fleet
from tests.support.loopback import LoopbackServer

BOT = {"label": "bot", "path": "prod/bot"}
AUDIENCE = "https://vault.example.com:8200"
GITHUB_CLAIMS: dict[str, object] = {
    "sub": "repo:acme@1/app@4711:environment:tokens-apply",
    "repository_id": "4711",
    "repository_owner_id": "1",
    "environment": "tokens-apply",
    "ref": "refs/heads/main",
    "event_name": "push",
    "job_workflow_ref": "acme/app/.github/workflows/apply.yml@refs/heads/main",
}
GITLAB_CLAIMS: dict[str, object] = {
    "sub": "project_path:acme/app:ref_type:branch:ref:main",
    "aud": AUDIENCE,
    "project_id": "22",
    "ref": "main",
    "ref_protected": "true",
}


def gitlab_job(doors: Doors, **more: object) -> dict[str, str]:
    """The environment of a job of GitLab's."""
    environ = doors.with_jwt(
        GITLAB, AUDIENCE, {"project_id": "22", "ref": "main", "ref_protected": "true"}
    )
    return {**environ, "VAULT_ID_TOKEN": token_of(GITLAB, GITLAB_CLAIMS, **more)}


@contextmanager
def way_in(method: str, doors: Doors, fleet: Fleet) -> Iterator[Callable[[], Environ]]:
    """A function that makes the environment of one more login."""
    with ExitStack() as stack:
        match method:
            case "approle":
                yield doors.with_approle
            case "approle, wrapped":
                yield lambda: doors.with_approle(wrapped=True)
            case "jwt from GitHub":
                job = stack.enter_context(github(GITHUB_CLAIMS, []))
                bound = {
                    name: GITHUB_CLAIMS[name] for name in ("repository_id", "environment", "ref")
                }
                environ = doors.with_jwt(GITHUB, fleet.environ["VAULT_ADDR"], bound)
                yield lambda: {**environ, **job}
            case "jwt from GitLab":
                environ = gitlab_job(doors)
                yield lambda: environ
            case _:
                address = stack.enter_context(LoopbackServer(review)).url
                environ = doors.with_cluster(
                    address, fleet.folder, pod_claims("deployer", "ops", "vault")
                )
                yield lambda: environ


@pytest.mark.parametrize(
    "method", ["approle", "approle, wrapped", "jwt from GitHub", "jwt from GitLab", "kubernetes"]
)
def test_a_login_carries_a_whole_run(fleet: Fleet, doors: Doors, method: str) -> None:
    """Bootstrap, apply, and a second apply that does nothing, each with a login of its
    own, none of which leaves a token.
    """
    fleet.write(BOT)
    with way_in(method, doors, fleet) as environ:
        fleet.must("bootstrap", environ=environ())
        fleet.must("apply", "--yes", environ=environ())
        with fleet.untouched():
            fleet.must("apply", "--yes", environ=environ())
    fleet.assert_whole()
    assert doors.left_behind() == set()


def test_a_given_token_is_used_as_it_is(fleet: Fleet, doors: Doors) -> None:
    """Without a method, VAULT_TOKEN counts, and is left alone."""
    token = doors.client.auth.token.create(policies=[doors.policy], ttl="10m")["auth"][
        "client_token"
    ]
    fleet.write(BOT)
    for command in (("bootstrap",), ("apply", "--yes")):
        fleet.must(*command, environ={"VAULT_TOKEN": token})
    assert doors.client.auth.token.lookup(token)["data"]["policies"] == ["default", doors.policy]


def test_a_failed_run_leaves_no_token(fleet: Fleet, doors: Doors) -> None:
    """An error after the login, a refused apply, an interruption while it waits for the
    lease: the token is revoked as well.
    """
    fleet.begin(BOT)
    environ = doors.with_approle()
    fleet.write(BOT, vault={"mount": "nowhere", "prefix": fleet.prefix})
    fleet.refused(1, "plan", environ=environ)
    fleet.write({**BOT, "scopes": ["withdrawal"]})
    fleet.refused(64, "apply", "--yes", "--target", "unknown", environ=environ)
    fleet.lend_lease(60)
    fleet.refused(6, "apply", "--yes", environ=environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        listed = lists(fleet)
        with fleet.running("apply", "--yes", "--wait", "60", environ=environ) as process:
            wait_until(
                lambda: lists(fleet) > listed,  # noqa: B023  # called at once
                "it asks for the list, and has long logged in",
            )
            process.send_signal(number)
            assert fleet.finish(process).code in {1, 6}  # before it waited, or while
    assert doors.left_behind() == set()


def lists(fleet: Fleet) -> int:
    """How often the exchange was asked for the list."""
    return fleet.sandbox.state.count(Operation.LIST)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_look_that_is_ended_leaves_no_token(
    fleet: Fleet, doors: Doors, number: signal.Signals
) -> None:
    """A plan that a pod's end or a cancelled job cuts short gives its login back."""
    fleet.begin(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.DELAY, operation=Operation.LIST, delay_ms=1500))
    listed = lists(fleet)
    with fleet.running("plan", environ=doors.with_approle()) as process:
        wait_until(lambda: lists(fleet) > listed, "it asks for the list, and has long logged in")
        assert len(doors.left_behind()) == 1
        process.send_signal(number)
        done = fleet.finish(process)
    assert done.code == 1
    assert done.err.strip() == "interrupted: nothing was changed"
    assert doors.left_behind() == set()


def test_a_token_that_expires_is_replaced(fleet: Fleet, doors: Doors) -> None:
    """A run that waits for longer than its token lives goes on with another one, and
    revokes that.
    """
    fleet.begin(BOT)
    fleet.write({**BOT, "scopes": ["withdrawal"]})
    fleet.lend_lease(3)
    started_s = time.monotonic()
    fleet.must("apply", "--yes", "--wait", "60", environ=doors.with_approle(token_ttl="1s"))
    assert time.monotonic() - started_s > 2
    fleet.assert_whole()
    wait_until(lambda: doors.left_behind() == set(), "the expired ones are swept away")


def test_threads_share_one_new_login(fleet: Fleet, doors: Doors) -> None:
    """Sixteen threads that find the token expired get one new one between them, and
    every call is done once.
    """
    masked: list[str] = []
    together = threading.Barrier(16)
    settings = settings_from_environment({**fleet.environ, **doors.with_approle()})

    def write(store: SecretStore, number: int) -> int:
        together.wait()
        return store.write(f"threads/{number}", {}, cas=0).latest

    with (
        SecretStore.connect(settings, mount=fleet.mount, mask=masked.append) as store,
        ThreadPoolExecutor(16) as pool,
    ):
        expire(store, doors)
        assert list(pool.map(lambda number: write(store, number), range(16))) == [1] * 16
        assert masked[1:] == [store._client.token]


def expire(store: SecretStore, doors: Doors) -> None:
    """Bring the token of a login to its end before its time, on both sides."""
    doors.client.auth.token.revoke(store._client.token)
    store.login._ends_s = time.monotonic()


def test_a_secret_id_for_one_use_can_not_be_used_again(fleet: Fleet, doors: Doors) -> None:
    """Where another login is not possible, the sentence says what would help."""
    environ = doors.with_approle(secret_id_num_uses=1)
    with SecretStore.connect(
        settings_from_environment({**fleet.environ, **environ}), mount=fleet.mount
    ) as store:
        expire(store, doors)
        with pytest.raises(VaultRefusedError) as caught:
            store.read("anything")
    assert str(caught.value).startswith(
        "the Vault token came to its end, and another login failed: give the role a longer "
        "token_ttl (Vault refuses the login"
    )
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_refusal_is_not_taken_for_an_end(fleet: Fleet, doors: Doors) -> None:
    """A token that may not do something is not replaced by another one that may not
    either.
    """
    masked: list[str] = []
    settings = settings_from_environment({**fleet.environ, **doors.with_approle()})
    with (
        SecretStore.connect(settings, mount="secret", mask=masked.append) as store,
        pytest.raises(VaultRefusedError, match='its policy needs "read" on secret/data/p'),
    ):
        store.read("p")
    assert len(masked) == 1


def test_every_secret_of_a_login_is_masked_first(fleet: Fleet, doors: Doors) -> None:
    """The identity token, the unwrapped secret id, the Vault token: in that order,
    before Vault hears of the last.
    """
    issued: list[str] = []
    with github(GITHUB_CLAIMS, issued) as job:
        environ = {
            **job,
            **doors.with_jwt(GITHUB, fleet.environ["VAULT_ADDR"], {"repository_id": "4711"}),
        }
        assert masked_by(fleet, environ)[:-1] == issued
        fleet.write(BOT)
        said = fleet.must("bootstrap", environ=environ).err.splitlines()
    hidden = [line.removeprefix("::add-mask::") for line in said if line.startswith("::add-mask::")]
    assert issued[-1] in hidden
    assert any(text.startswith("s.") for text in hidden)
    environ = doors.with_approle(wrapped=True)
    secret_id, token = masked_by(fleet, environ)
    assert re.fullmatch(r"[0-9a-f-]{36}", secret_id)
    assert token.startswith("s.")
    assert environ["VAULT_SECRET_ID_WRAPPED"] != token


def masked_by(fleet: Fleet, environ: dict[str, str]) -> list[str]:
    """What one login asks to have hidden."""
    masked: list[str] = []
    SecretStore.connect(
        settings_from_environment({**fleet.environ, **environ}),
        mount=fleet.mount,
        mask=masked.append,
    ).close()
    return masked


# --- who is refused ---


@pytest.mark.parametrize("method", ["approle", "jwt from GitLab", "kubernetes"])
def test_a_mount_that_is_not_there(fleet: Fleet, doors: Doors, method: str) -> None:
    """The sentence names the variable, whatever the method."""
    fleet.write(BOT)
    with way_in(method, doors, fleet) as environ:
        said = fleet.refused(
            1, "plan", environ={**environ(), "RECONCILER_VAULT_AUTH_MOUNT": "nowhere"}
        )
    assert "auth/nowhere" in said
    assert "check RECONCILER_VAULT_AUTH_MOUNT" in said


def test_a_wrapping_token_is_good_once(fleet: Fleet, doors: Doors) -> None:
    """One that was unwrapped already is an alarm, and says so."""
    environ = doors.with_approle(wrapped=True)
    doors.client.sys.unwrap(token=environ["VAULT_SECRET_ID_WRAPPED"])
    fleet.write(BOT)
    assert fleet.refused(1, "bootstrap", environ=environ) == (
        "VAULT_SECRET_ID_WRAPPED has expired or was unwrapped already: have a new one made, and "
        "unless it was you who "
        "unwrapped it, have the secret id destroyed, because somebody else has it"
    )


def test_a_wrapping_token_made_elsewhere_is_not_unwrapped(fleet: Fleet, doors: Doors) -> None:
    """Somebody who wraps an id of his own choice can't lead us to his role; the
    wrapping is left whole, as evidence.
    """
    environ = doors.with_approle(wrapped=True)
    own = doors.client.sys.wrap({"secret_id": "chosen"}, ttl=60)["wrap_info"]["token"]
    fleet.write(BOT)
    said = fleet.refused(1, "bootstrap", environ={**environ, "VAULT_SECRET_ID_WRAPPED": own})
    assert said.startswith(
        f"VAULT_SECRET_ID_WRAPPED was not made at auth/{doors.approle}/role/…/secret-id: "
    )
    assert doors.client.sys.unwrap(token=own)["data"] == {"secret_id": "chosen"}


@pytest.mark.parametrize(
    ("claims", "reason", "shown"),
    [
        (
            {"repository_id": "4712"},
            "its claim repository_id is not what the role's bound_claims ask for",
            'repository_id="4712"',
        ),
        (
            {"environment": None},
            "the identity token lacks the claim environment, which the role asks for",
            'ref="refs/heads/main", event_name="push"',
        ),
        (
            {"ref": "refs/heads/other"},
            "its claim ref is not what the role's bound_claims ask for",
            'ref="refs/heads/other"',
        ),
        (
            {"sub": None},
            "the identity token lacks the claim sub, which the role asks for",
            'aud="http://127.0.0.1:',
        ),
    ],
    ids=["another repository", "no environment", "another branch", "no subject"],
)
def test_a_job_with_other_claims_is_refused(
    fleet: Fleet, doors: Doors, claims: dict[str, object], reason: str, shown: str
) -> None:
    """The sentence names the claim, and shows what the identity token says of itself,
    so that a person sees the difference; never the token.
    """
    bound = {name: GITHUB_CLAIMS[name] for name in ("repository_id", "environment", "ref")}
    issued: list[str] = []
    fleet.write(BOT)
    with github({**GITHUB_CLAIMS, **claims}, issued) as job:
        environ = {**job, **doors.with_jwt(GITHUB, fleet.environ["VAULT_ADDR"], bound)}
        said = fleet.refused(1, "bootstrap", environ=environ)
    assert said.startswith(f"Vault refuses the login at auth/{doors.jwt}: {reason} (it says ")
    assert shown in said
    assert not any(part in said for token in issued for part in token.split("."))
    assert doors.left_behind() == set()


def test_an_audience_of_its_own(fleet: Fleet, doors: Doors) -> None:
    """RECONCILER_VAULT_AUDIENCE is what GitHub is asked for; without it, a role with
    another audience refuses.
    """
    fleet.begin(BOT)
    audience = "reconciler @ prod & more"
    with github(GITHUB_CLAIMS, []) as job:
        environ = {**job, **doors.with_jwt(GITHUB, audience, {"repository_id": "4711"})}
        fleet.must("plan", environ={**environ, "RECONCILER_VAULT_AUDIENCE": audience})
        assert f'aud="{fleet.environ["VAULT_ADDR"]}"' in fleet.refused(1, "plan", environ=environ)


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (
            {"ACTIONS_ID_TOKEN_REQUEST_URL": None},
            64,
            "GitHub offers this job no identity token: give it the permission",
        ),
        (
            {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "stale"},
            1,
            "GitHub refuses this job an identity token (401)",
        ),
    ],
)
def test_a_job_without_its_pair(
    fleet: Fleet, doors: Doors, change: dict[str, str | None], code: int, sentence: str
) -> None:
    """A fork's job, and one whose runner's token no longer counts."""
    fleet.write(BOT)
    with github(GITHUB_CLAIMS, []) as job:
        environ = {**job, **doors.with_jwt(GITHUB, "a", {"repository_id": "4711"}), **change}
        assert fleet.refused(code, "plan", environ=environ).startswith(sentence)


def test_an_identity_token_that_is_too_old(fleet: Fleet, doors: Doors) -> None:
    """GitLab's variable holds one token for a job; after an hour it is refused."""
    fleet.write(BOT)
    hour_ago_s = int(time.time()) - 3600
    environ = gitlab_job(doors, iat=hour_ago_s, nbf=hour_ago_s, exp=hour_ago_s + 300)
    said = fleet.refused(1, "plan", environ=environ)
    assert "the identity token expired " in said
    assert " s ago: get a new one (it says " in said
    assert 'project_id="22"' in said


@pytest.mark.parametrize(
    "wrong", ["account", "namespace", "audience", "role", "TokenReview is down"]
)
def test_a_pod_that_is_not_the_one(fleet: Fleet, doors: Doors, wrong: str) -> None:
    """Another service account, another namespace, a token for somebody else, another
    role, a cluster that does not answer.
    """
    account, namespace, audience = (
        "other" if wrong == name else right
        for name, right in (("account", "deployer"), ("namespace", "ops"), ("audience", "vault"))
    )
    fleet.write(BOT)
    with LoopbackServer(review) as server:
        environ = doors.with_cluster(
            server.url, fleet.folder, pod_claims(account, namespace, audience)
        )
        if wrong == "role":
            environ["RECONCILER_VAULT_ROLE"] = "unknown"
        if wrong != "TokenReview is down":
            said = fleet.refused(1, "plan", environ=environ)
    if wrong == "TokenReview is down":
        said = fleet.refused(1, "plan", environ=environ)
    assert said.startswith(f"Vault refuses the login at auth/{doors.cluster}: ")
    assert f'sub="system:serviceaccount:{namespace}:{account}", aud=["{audience}"]' in said


def test_a_projected_token_is_read_at_each_login(fleet: Fleet, doors: Doors) -> None:
    """The file that the cluster renews counts as it is at the login; without it, the
    sentence names it.
    """
    fleet.begin(BOT)
    with LoopbackServer(review) as server:
        environ = doors.with_cluster(server.url, fleet.folder, pod_claims("other", "ops", "vault"))
        file = Path(environ["VAULT_JWT_FILE"])
        fleet.refused(1, "plan", environ=environ)
        file.write_text(token_of(CLUSTER, pod_claims("deployer", "ops", "vault")), encoding="ascii")
        fleet.must("plan", environ=environ)
        file.unlink()
        assert f"VAULT_JWT_FILE names, '{file}', is empty or can't be read" in fleet.refused(
            64, "plan", environ=environ
        )
