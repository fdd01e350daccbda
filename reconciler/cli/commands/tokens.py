"""Commands about single tokens, and about those that exist already."""

from __future__ import annotations

from typing import Any

from reconciler.cli.commands.group import CONTEXT, cli
from reconciler.cli.options import (
    GUARDS,
    IDENTITY,
    IDENTITY_VAULT,
    MANIFEST,
    MAX_MISSING,
    METRICS,
    NOTIFY,
    REPORT,
    WAIT,
    YES,
    file_option,
    labels,
    named,
    option,
)


@cli.command(context_settings=CONTEXT)
@option(
    "--from-live",
    is_flag=True,
    help="Write it of what the exchange lists, signed with LIMITLESS_TOKEN_ID and _SECRET.",
)
@file_option(
    "--out",
    text="Write the manifest to this new file; - for standard output.",
    default="tokens.yaml",
    show_default=True,
)
@file_option("--adopt-out", text="Write the list of what can be adopted to this new file.")
def init(**given: Any) -> None:
    """Write a first tokens.yaml.

    Nothing is overwritten. It needs neither Vault nor an identity token.
    """
    from reconciler.cli import init as module

    module.init(module.InitOptions(**given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@IDENTITY
@IDENTITY_VAULT
@WAIT
def bootstrap(**given: Any) -> None:
    """Derive the manager's token and store it.

    Needs the identity token only. It is safe to run again.
    """
    from reconciler.cli import maintain as module
    from reconciler.cli.asked import Options

    module.bootstrap(Options.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--target",
    "targets",
    multiple=True,
    metavar="GLOB",
    callback=named,
    shell_complete=labels,
    help="Rotate this label, or those that it matches (may be repeated).",
)
@option(
    "--token-id",
    metavar="PREFIX",
    callback=named,
    help="Rotate the label whose token has this id; four characters or more of it. "
    "With --compromised, a predecessor's or a reserve's is revoked, and nothing else.",
)
@option("--all", "rotates_all", is_flag=True, help="Rotate every label of the manifest.")
@option(
    "--compromised",
    is_flag=True,
    help="Revoke all predecessors as soon as the successor is in Vault, without overlap.",
)
@option(
    "--distrust-reserve",
    is_flag=True,
    help="With --compromised: revoke the labels' reserves as well, and derive anew.",
)
@option(
    "--anew",
    is_flag=True,
    help="Rotate all of them, although an earlier such rotation is not done.",
)
@GUARDS
@IDENTITY
@IDENTITY_VAULT
@YES
@WAIT
@REPORT
@METRICS
@NOTIFY
def rotate(**given: Any) -> None:
    """Rotate labels now, whatever their age."""
    from reconciler.cli import apply as module

    module.rotate(module.ApplyOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--target",
    required=True,
    metavar="LABEL",
    shell_complete=labels,
    help="The label whose predecessor becomes current again.",
)
@YES
@WAIT
@MAX_MISSING
def rollback(**given: Any) -> None:
    """Make a label's predecessor current again.

    The predecessor must still live at the exchange.
    """
    from reconciler.cli import maintain as module

    module.rollback(module.RollbackOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--label",
    metavar="L",
    shell_complete=labels,
    help="The label of the manifest that one token becomes.",
)
@option("--token-id", metavar="ID", help="That live token's id; its secret comes from stdin.")
@file_option(
    "--from",
    name="from_file",
    text="Adopt the tokens of this list, YAML or JSON (- for standard input).",
)
@option(
    "--from-vault",
    metavar="MOUNT/FOLDER",
    callback=named,
    help="Adopt the tokens whose ids and secrets lie at and below this folder.",
)
@option(
    "--token-id-field",
    metavar="NAME",
    callback=named,
    help="With --from-vault: the field that holds the id (default token_id).",
)
@option(
    "--secret-field",
    metavar="NAME",
    callback=named,
    help="With --from-vault: the field that holds the secret (default secret).",
)
@option("--dry-run", is_flag=True, help="Prove every secret of a list, and write nothing.")
@option(
    "--other-label",
    is_flag=True,
    help="Allow a token whose label at the exchange differs.",
)
@option(
    "--grace",
    metavar="D",
    callback=named,
    help="For so long age is no reason to rotate what is adopted (default 14d).",
)
@YES
@WAIT
@MAX_MISSING
def adopt(**given: Any) -> None:
    """Start managing live tokens.

    One token: you need its secret, which is read from standard input. Many: a list says
    where in Vault each secret lies; all are proven by a signature before anything is
    written.
    """
    from reconciler.cli import adopt as module

    module.adopt(module.AdoptOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option("--token-id", required=True, metavar="ID", help="Its id, or four characters or more of it.")
@YES
@WAIT
@MAX_MISSING
def forget(**given: Any) -> None:
    """Take your word for a token that nobody can judge. You have dealt with it."""
    from reconciler.cli import maintain as module

    module.forget(module.ForgetOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--label",
    "labels",
    multiple=True,
    metavar="L",
    callback=named,
    shell_complete=labels,
    help="Release this label (may be repeated).",
)
@option("--all", "everything", is_flag=True, help="Release every label, the manager included.")
@YES
@WAIT
@MAX_MISSING
def release(**given: Any) -> None:
    """Stop managing labels, without a revocation.

    Their tokens live on as somebody else's, and their secrets stay where they are.
    """
    from reconciler.cli import maintain as module

    module.release_labels(module.ReleaseOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--from",
    "origin",
    required=True,
    metavar="MOUNT/PREFIX",
    callback=named,
    help="Where ledger and secrets lie; the manifest says where they are to go.",
)
@YES
@WAIT
@MAX_MISSING
def move(**given: Any) -> None:
    """Move ledger and secrets to another place in Vault.

    It is the one that the manifest names by now. No token changes. What lies at the old
    place stays readable until its tokens are gone. A move that was cut off goes on with
    the same command.
    """
    from reconciler.cli import move as module

    module.move(module.MoveOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option("--reserve", is_flag=True, help="Sign with each token that is kept ready as well.")
@WAIT
@MAX_MISSING
def verify(**given: Any) -> None:
    """Sign one request with every stored secret.

    Exits with 1 if one of them does not work.
    """
    from reconciler.cli import maintain as module

    module.verify(module.VerifyOptions.of(given))
