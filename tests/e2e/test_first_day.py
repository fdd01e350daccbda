"""The first day with tokens that people made by hand: from nothing to managed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
import yaml

from reconciler.manifest import load_manifest
from reconciler.sandbox import Token
from tests.support.fleet import Environ, Fleet


def pair(token: Token) -> Environ:
    """The environment of somebody who has a live token."""
    return {"LIMITLESS_TOKEN_ID": token.token_id, "LIMITLESS_TOKEN_SECRET": token.secret}


# --- init ---


def test_init_writes_a_valid_manifest_and_overwrites_nothing(fleet: Fleet) -> None:
    """Without any variable; a link that leads nowhere is a file, too."""
    nothing: Environ = dict.fromkeys(fleet.environ)
    fleet.must("init", environ=nothing)
    fleet.must("validate")
    before = (fleet.folder / "tokens.yaml").read_text()
    assert "is there already" in fleet.refused(1, "init")
    (fleet.folder / "link.yaml").symlink_to("nowhere")
    assert "is there already" in fleet.refused(1, "init", "--out", "link.yaml")
    assert (fleet.folder / "tokens.yaml").read_text() == before
    assert fleet.must("init", "--out", "-", environ=nothing).out == before
    assert "--from-live" in fleet.refused(64, "init", "--out", "x", "--adopt-out", "y")
    assert "No such file" in fleet.refused(1, "init", "--out", "missing/tokens.yaml")


def test_init_from_live_needs_a_pair_that_signs(fleet: Fleet) -> None:
    """Nothing is written where there is no list, or where one of two files is there."""
    mine = fleet.sandbox.state.derive_by_hand("mine")
    files = ("init", "--from-live", "--adopt-out", "adopt.yaml")
    assert "LIMITLESS_TOKEN_ID" in fleet.refused(4, *files)
    wrong = {**pair(mine), "LIMITLESS_TOKEN_SECRET": "bm90IGl0"}
    assert "refused the signature" in fleet.refused(1, *files, environ=wrong)
    assert "same file" in fleet.refused(64, *files, "--out", "./adopt.yaml", environ=pair(mine))
    (fleet.folder / "adopt.yaml").write_text("mine\n")
    assert "adopt.yaml is there" in fleet.refused(1, *files, environ=pair(mine))
    assert [path.name for path in fleet.folder.iterdir()] == ["adopt.yaml"]


@pytest.mark.parametrize("out", ["tokens.yaml", "-"])
def test_init_from_live_needs_no_vault(fleet: Fleet, out: str) -> None:
    """And changes nothing; the profile is the signer's."""
    hand = fleet.sandbox.state.derive_by_hand
    mine = hand("Ops Laptop (desk 3)", scopes=("trading", "withdrawal"))
    environ = {**pair(mine), "VAULT_ADDR": None, "VAULT_TOKEN": None}
    with fleet.untouched():
        done = fleet.must("init", "--from-live", "--out", out, environ=environ)
    if out == "-":
        (fleet.folder / "tokens.yaml").write_text(done.out)
    manifest = load_manifest([fleet.folder / "tokens.yaml"]).manifest
    assert [(spec.label, spec.scopes, spec.path) for spec in manifest.tokens] == [
        ("reconciler", ("trading",), "reconciler"),
        ("Ops Laptop (desk 3)", ("trading", "withdrawal"), "ops-laptop-desk-3"),
    ]


# --- adopt from a list ---

LEGACY = "hand-made"


def put_pair(fleet: Fleet, place: str, **fields: str) -> None:
    """A secret that a person put somewhere else in Vault."""
    with fleet.operator() as client:
        client.secrets.kv.v2.create_or_update_secret(place, fields, mount_point=fleet.mount)


def hand_made(fleet: Fleet, count: int) -> list[Token]:
    """Live tokens ``bot-0`` and so on, and the manager; each pair lies elsewhere."""
    tokens = [fleet.sandbox.state.derive_by_hand(f"bot-{n}") for n in range(count)]
    for token in tokens:
        put_pair(fleet, f"{LEGACY}/{token.label}", ID=token.token_id, KEY=token.secret)
    fleet.write(*({"label": token.label} for token in tokens))
    fleet.must("bootstrap")
    return tokens


def listed(fleet: Fleet, *rows: Mapping[str, object], name: str = "adopt.yaml") -> str:
    """A list to adopt."""
    (fleet.folder / name).write_text(yaml.safe_dump(list(rows)), encoding="utf-8")
    return name


def row(fleet: Fleet, token: Token, **more: object) -> dict[str, object]:
    """A row of the list, with the id read from Vault."""
    place = f"{fleet.mount}/{LEGACY}/{token.label}"
    fields = {"vault": place, "token_id_field": "ID", "secret_field": "KEY"}
    return {"label": token.label, **fields, **more}


def test_one_row_that_is_not_proven_stops_all(fleet: Fleet) -> None:
    """Nothing is written, and each row says what is wrong with it."""
    tokens = hand_made(fleet, 9)
    good, stolen, unknown, missing, ours, _, plain, second, _ = tokens
    put_pair(fleet, f"{LEGACY}/bot-1", ID=stolen.token_id, KEY=good.secret)
    put_pair(fleet, f"{LEGACY}/bot-2", ID="nobody", KEY=unknown.secret)
    put_pair(fleet, f"{LEGACY}/bot-6", ID=plain.token_id, KEY="no base64!")
    put_pair(fleet, f"{LEGACY}/bot-7", ID=good.token_id, KEY=good.secret)
    put_pair(fleet, f"{LEGACY}/bot-8", ID=second.token_id, KEY=second.secret)
    rows = [row(fleet, token) for token in tokens]
    rows[3]["vault"] = f"{fleet.mount}/{LEGACY}/nowhere"
    rows[4]["vault"] = f"{fleet.mount}/{fleet.prefix}/bot-4"
    rows[5]["secret_field"] = "TYPO"
    name = listed(fleet, *rows)
    for more in (["--dry-run"], ["--yes"]):
        with fleet.untouched():
            done = fleet.attempt("adopt", "--from", name, *more)
        assert (done.code, done.last_line) == (1, "adopted 0, refused 9, not tried 0")
    told = dict(
        line.removeprefix("refused ").split(maxsplit=1) for line in done.out.splitlines()[:-1]
    )
    assert "the token of another row as well" in told["bot-0"]
    assert "does not sign" in told["bot-1:"]
    assert "does not list nobody" in told["bot-2"]
    assert "nothing lies at" in told["bot-3:"]
    assert "among our own secrets" in told["bot-4:"]
    assert "no field of the name given for the secret" in told["bot-5:"]
    assert "is not base64" in told["bot-6:"]
    assert "the exchange calls" in told["bot-8"]
    assert "TYPO" not in done.out + done.err
    name = listed(fleet, *(row(fleet, token) for token in (missing, ours, stolen)))
    done = fleet.attempt("adopt", "--from", name, "--yes")
    assert (done.code, done.last_line) == (1, "adopted 0, refused 1, not tried 2")


def test_a_list_is_adopted_and_once_more_is_nothing(fleet: Fleet) -> None:
    """A dry run writes nothing; then all are ours; once more writes nothing."""
    tokens = hand_made(fleet, 3)
    rows = [row(fleet, token) for token in tokens]
    (fleet.folder / "adopt.json").write_text(json.dumps(rows))
    with fleet.untouched():
        done = fleet.must("adopt", "--from", "adopt.json", "--dry-run")
        assert done.last_line == "adopted 0, refused 0, not tried 3"
        assert "--yes" in fleet.refused(64, "adopt", "--from", "adopt.json")
    done = fleet.must("adopt", "--from", "-", "--yes", text=json.dumps(rows))
    assert done.last_line == "adopted 3, refused 0, not tried 0"
    assert f"adopted bot-0 ({tokens[0].token_id})" in done.out
    fleet.assert_whole()
    with fleet.untouched():
        done = fleet.must("adopt", "--from", "adopt.json", "--yes")
    assert done.last_line == "adopted 3, refused 0, not tried 0"
    fleet.assert_quiet()


def test_a_folder_proposes_the_list(fleet: Fleet) -> None:
    """By ids; what is nobody's is told, and the printed list can be read again."""
    tokens = hand_made(fleet, 3)
    put_pair(fleet, f"{LEGACY}/deep/copy", ID=tokens[0].token_id, KEY=tokens[0].secret)
    put_pair(fleet, f"{LEGACY}/notes", text="of a person")
    foreign = fleet.sandbox.state.derive_by_hand("foreign")
    put_pair(fleet, f"{LEGACY}/foreign", ID=foreign.token_id, KEY=foreign.secret)
    fleet.write(*({"label": f"bot-{n}"} for n in range(4)))
    fields = ("--token-id-field", "ID", "--secret-field", "KEY")
    asked = ("adopt", "--from-vault", f"{fleet.mount}/{LEGACY}", *fields)
    with fleet.untouched():
        done = fleet.must(*asked, "--dry-run")
    assert [entry["label"] for entry in yaml.safe_load(done.out)] == ["bot-0", "bot-1", "bot-2"]
    assert "adopted 0, refused 0, not tried 3" in done.err
    assert "has a token of bot-0 as well" in done.err or "is passed over" in done.err
    assert "whose label 'foreign' the manifest does not have" in done.err
    assert "has a token of bot-3" in done.err
    (fleet.folder / "adopt.yaml").write_text(done.out)
    assert fleet.must("adopt", "--from", "adopt.yaml", "--dry-run").code == 0
    assert fleet.must(*asked, "--yes").last_line == "adopted 3, refused 0, not tried 0"
    assert "no secret below" in fleet.refused(
        1, "adopt", "--from-vault", f"{fleet.mount}/empty", *fields
    )


def test_a_row_that_fails_half_way_is_told(fleet: Fleet) -> None:
    """No permission for one path: the others are adopted, exit 5, and a later run goes
    on.
    """
    tokens = hand_made(fleet, 3)
    name = listed(fleet, *(row(fleet, token) for token in tokens))
    root = fleet.environ["VAULT_TOKEN"]
    rules = (
        f'path "{fleet.mount}/*" {{ capabilities = ["create", "read", "update", "list"] }}\n'
        f'path "{fleet.mount}/data/{fleet.prefix}/bot-1" {{ capabilities = ["read"] }}\n'
    )
    with fleet.operator() as client:
        client.sys.create_or_update_policy(fleet.prefix.replace("/", "-"), rules)
        made = client.auth.token.create(policies=[fleet.prefix.replace("/", "-")])
    fleet.environ["VAULT_TOKEN"] = made["auth"]["client_token"]
    done = fleet.attempt("adopt", "--from", name, "--yes")
    assert (done.code, done.last_line) == (5, "adopted 2, refused 1, not tried 0")
    fleet.environ["VAULT_TOKEN"] = root
    done = fleet.must("adopt", "--from", name, "--yes")
    assert done.last_line == "adopted 3, refused 0, not tried 0"
    fleet.assert_whole()
    fleet.assert_quiet()


def test_nothing_is_adopted_to_a_place_that_ends(fleet: Fleet) -> None:
    """Alone or from a list; nor over what lies at the path."""
    tokens = hand_made(fleet, 2)
    ends, occupied = (f"{fleet.prefix}/{token.label}" for token in tokens)
    with fleet.operator() as client:
        client.secrets.kv.v2.update_metadata(
            ends, mount_point=fleet.mount, delete_version_after="720h"
        )
    put_pair(fleet, occupied, note="a person's")
    name = listed(fleet, *(row(fleet, token) for token in tokens))
    single = ("adopt", "--label", "bot-0", "--token-id", tokens[0].token_id)
    with fleet.untouched():
        done = fleet.attempt("adopt", "--from", name, "--yes")
        assert "ends by itself" in fleet.refused(4, *single, text=tokens[0].secret)
    assert done.last_line == "adopted 0, refused 2, not tried 0"
    assert "ends by itself" in done.out
    assert "never adopted over" in done.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name what to adopt"),
        (("--label", "a"), "name what to adopt"),
        (("--from", "a", "--label", "b"), "exclude each other"),
        (("--from", "a", "--from-vault", "b/c"), "exclude each other"),
        (("--from", "a", "--secret-field", "b"), "go with --from-vault"),
        (("--label", "a", "--token-id", "b", "--dry-run"), "go with --from"),
        (("--from", "-"), "give --yes"),
        (("--from", "a", "--grace", "soon"), "no duration"),
        (("--from", "a", "--grace", "never"), "at most ten years"),
        (("--from", "a", "--grace", "9999d"), "at most ten years"),
        (("--from", ""), "is empty"),
    ],
)
def test_options_that_do_not_go_together(
    fleet: Fleet, arguments: tuple[str, ...], sentence: str
) -> None:
    """Said before anything is read."""
    assert sentence in fleet.refused(64, "adopt", *arguments)


# --- the whole day ---

SHAPES = (
    ("apps/{}", {"token_id": "{id}", "secret": "{secret}"}),
    ("envs/{}", {"LMTS_TOKEN_ID": "{id}", "LMTS_TOKEN_SECRET": "{secret}", "OTHER": "x"}),
    ("one/{}", {"apiKey": "{id}", "apiSecret": "{secret}"}),
)
"""Where people have put their pairs, and how they have named the fields."""


def test_the_first_day(fleet: Fleet) -> None:
    """Fifteen tokens in three shapes become managed: five commands, one edited file.

    The plan is quiet then, though the tokens are a year old. A month later the first is
    rotated, its consumer switches over, and only then the old token goes.
    """
    state, scopes = fleet.sandbox.state, ("trading", "account_creation", "withdrawal")
    tokens = [state.derive_by_hand(f"Bot {n} (eu)", scopes[: 1 + n % 3]) for n in range(15)]
    for number, token in enumerate(tokens):
        place, fields = SHAPES[number % 3]
        pair = {"id": token.token_id, "secret": token.secret}
        put_pair(fleet, place.format(number), **{k: v.format(**pair) for k, v in fields.items()})
    fleet.later(days=400)
    for token in tokens:
        state.touch(token.token_id)
    pin = {"RECONCILER_VAULT_PREFIX": f"{fleet.mount}/{fleet.prefix}"}
    fleet.must(
        "init", "--from-live", "--adopt-out", "adopt.yaml", environ={**pair_of(tokens), **pin}
    )
    assert "is empty" in fleet.attempt("adopt", "--from", "adopt.yaml", "--dry-run").err
    edit(fleet, tokens)
    fleet.must("bootstrap")
    done = fleet.must("adopt", "--from", "adopt.yaml", "--dry-run")
    assert done.last_line == "adopted 0, refused 0, not tried 15"
    done = fleet.must("adopt", "--from", "adopt.yaml", "--yes")
    assert done.last_line == "adopted 15, refused 0, not tried 0"
    assert fleet.must("plan", "--detailed-exitcode").code == 0
    fleet.assert_quiet()
    bot, path = tokens[0], "bot-0-eu"
    fleet.later(days=26)
    assert fleet.must("plan", "--detailed-exitcode").code == 0
    fleet.later(days=5)
    fleet.must("apply", "--yes", "--target", bot.label or "")
    assert bot.live, "the old place still has it"
    fleet.later(days=3)
    state.touch(bot.token_id)
    assert "still uses" in fleet.must("apply", "--yes", "--target", bot.label or "").out
    fleet.later(days=3)
    assert fleet.use(path) != bot.token_id
    fleet.must("plan", "--target", bot.label or "")
    done = fleet.must("apply", "--yes", "--target", bot.label or "")
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0", done
    assert not state.token(bot.token_id).live


def pair_of(tokens: Sequence[Token]) -> Environ:
    """Any of them signs the list."""
    return pair(tokens[-1])


def edit(fleet: Fleet, tokens: Sequence[Token]) -> None:
    """A person writes where each secret lies."""
    rows = yaml.safe_load((fleet.folder / "adopt.yaml").read_text())
    assert [row["label"] for row in rows] == sorted(str(token.label) for token in tokens)
    numbers = {token.token_id: number for number, token in enumerate(tokens)}
    for found in rows:
        place, fields = SHAPES[numbers[found["token_id"]] % 3]
        found["vault"] = f"{fleet.mount}/{place.format(numbers[found['token_id']])}"
        found["secret_field"] = next(k for k, v in fields.items() if v == "{secret}")
    listed(fleet, *rows)
