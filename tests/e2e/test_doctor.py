"""Doctor: what an apply will need, checked without a write."""

from __future__ import annotations

from typing import Any

from tests.support.fleet import Fleet, judged
from tests.support.openbao import new_token


def found(fleet: Fleet, code: int, **environ: str | None) -> dict[str, Any]:
    """The checks that are not ok, by id, of a run that ends so and writes nothing."""
    with fleet.untouched():
        done = fleet.attempt("doctor", "--format", "json", environ=environ)
        assert done.code == code, done
        text = fleet.attempt("doctor", environ=environ)
    checks = judged("doctor", done.out)["checks"]
    assert text.code == code
    assert [line.split()[1] for line in text.out.splitlines()[:-1]] == [c["id"] for c in checks]
    assert all(c["message"] for c in checks)
    return {
        c["id"]: (c["status"], c["message"], c["action"]) for c in checks if c["status"] != "ok"
    }


def test_a_fleet_that_is_well(fleet: Fleet) -> None:
    """Nothing fails; before the first bootstrap it is the ledger that is missing;
    without an identity token there is a warning.
    """
    fleet.write({"label": "bot"})
    before = found(fleet, 1)
    assert "run `reconciler bootstrap` with an identity token" in before["ledger"][2]
    assert "exchange" not in before, "one cause is told once"
    fleet.begin({"label": "bot"})
    assert {name for name, (status, *_) in found(fleet, 0).items() if status == "fail"} == set()
    assert found(fleet, 0, LIMITLESS_IDENTITY_TOKEN=None)["identity"][0] == "warn"


def test_what_would_fail_is_named(fleet: Fleet) -> None:
    """The right that is lacking, by path; the scope that is not allowed; the exchange
    that is not the ledger's; a Vault that is not there; a manifest with a mistake.
    """
    fleet.begin({"label": "bot"})
    with fleet.operator() as client:
        place = f"{fleet.mount}/{{}}/{fleet.prefix}/*"
        reader = new_token(
            client,
            {
                place.format("data"): ["read", "create"],
                place.format("metadata"): ["read", "list"],
                place.format("delete"): ["update"],
            },
        )
    status, message, action = found(fleet, 1, VAULT_TOKEN=reader)["vault.rights"]
    assert (status, action) == ("fail", "give its role the policy of docs/install.md")
    assert f"update on {fleet.mount}/data/{fleet.prefix}/_ledger" in message
    elsewhere = found(fleet, 1, LIMITLESS_API_URL="http://127.0.0.1:1")
    assert "it belongs to" in elsewhere["ledger"][1]
    assert elsewhere.keys().isdisjoint({"identity", "exchange"}), "nothing is sent there"
    assert "environment" in found(fleet, 1, VAULT_ADDR="ftp://127.0.0.1")
    fleet.write({"label": "bot", "scopes": ["trading", "unheard_of"]})
    assert "unheard_of" in found(fleet, 1)["scopes"][1]
    fleet.write({"label": "bot", "scopes": 7})
    assert found(fleet, 1)["manifest"][0] == "fail"


def test_what_would_be_faster_is_said(fleet: Fleet) -> None:
    """With the capability one call reads the metadata of all paths. Without it each
    path is a call, as on a Vault that has no SCAN: nothing is wrong with that, and what
    would save it is named.
    """
    fleet.begin({"label": "bot"})
    place = f"{fleet.mount}/{{}}/{fleet.prefix}/*"
    rules = {
        place.format("data"): ["read", "create", "update"],
        place.format("metadata"): ["read", "list"],
        place.format("delete"): ["update"],
    }
    scanned = place.format("detailed-metadata")
    said = {}
    for name, more in (("without", {}), ("with", {scanned: ["scan"]})):
        with fleet.operator() as client:
            token = new_token(client, {**rules, **more})
        done = fleet.must("doctor", "--format", "json", environ={"VAULT_TOKEN": token})
        [check] = [c for c in judged("doctor", done.out)["checks"] if c["id"] == "vault.scan"]
        assert check["status"] == "ok"
        said[name] = check["message"]
    assert said == {
        "without": f"each path is read singly: on OpenBao {scanned} with scan saves that",
        "with": "one call brings the metadata of all paths",
    }


def test_a_schedule_that_misses_a_window(fleet: Fleet) -> None:
    """It is a warning that names both; an hourly one is well."""
    window = "Mon-Thu 09:00-15:00 Europe/Berlin"
    fleet.begin({"label": "bot", "window": window})
    done = fleet.must("doctor", "--schedule", "17 5 * * *")
    (line,) = (line for line in done.out.splitlines() if "schedule" in line)
    assert line.startswith("warn")
    assert f"the schedule never meets {window} (bot): let the apply run every hour" in line
    assert "meets all windows" in fleet.must("doctor", "--schedule", "17 * * * *").out
