"""`tally keys create` and `tally keys show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("keys", rich_help_panel=PROVE, epilog="Example: tally keys create && tally keys show > public.key")(
        keys
    )


def keys(
    what: Annotated[str, typer.Argument(metavar="create|show", help="Make a new key, or print the public one.")],
    as_json: AsJson = False,
) -> None:
    """The Ed25519 key that signs evidence: a file of its owner alone (0600), named by TALLY_SIGNING_KEY.

    `show` prints the public key, which whoever verifies evidence needs and should have from you, not from the file.
    """
    from agents.cli.failures import Refused
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.signing import create_key, load_key, public_text

    file = key_file(load().signing_key)
    if what not in ("create", "show"):
        raise Refused(f"{what}: must be create or show")
    public = create_key(file) if what == "create" else public_text(load_key(file))
    screen = Screen(json_only=as_json)
    if as_json:
        screen.document({"public_key": public, "file": str(file)})
    elif what == "show":
        screen.say(public)
    else:
        screen.say(f"{file} (0600)\npublic key {public}\nNext: tally evidence INVOICE")


def key_file(setting: Path | None) -> Path:
    """Where the signing key is: the setting, else beside the local system's state."""
    from deploy.local.places import default_home

    return setting if setting is not None else default_home() / "signing-key.pem"
