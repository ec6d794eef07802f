"""``lrm rekey``: another key for an encrypted log, or a first one for a log that is not."""

from __future__ import annotations

import os

import click

from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import document, say_line, talk

NEW_KEY_VARIABLE = "LRM_NEW_LOG_KEY"


@click.command()
@click.option("--new-key-file", metavar="FILE", help="The new key; otherwise the one in LRM_NEW_LOG_KEY.")
@click.option("--new-data-key", is_flag=True, help="Encrypt what is written from now on with a fresh data key too.")
@on_a_log
def command(*, new_key_file: str | None, new_data_key: bool, request: Request) -> None:
    """Lock a log that nobody owns with another key. Nothing is encrypted anew, so it takes no time.

    The old key opens the log no more; it still opens copies that were made before. A log that is not encrypted is from
    now on: the events that are in it stay as they are.
    """
    from eventstore.encrypting.keyring import key_from_environment, key_from_file
    from eventstore.opening import open_reader, open_store

    if new_key_file is None and not os.environ.get(NEW_KEY_VARIABLE, "").strip():
        raise click.UsageError(f"give the new key: --new-key-file FILE, or {NEW_KEY_VARIABLE}")
    new = key_from_environment(NEW_KEY_VARIABLE) if new_key_file is None else key_from_file(new_key_file)
    path = request.path()
    with open_reader(path, unknown="placeholder") as reader:  # a log must be there: opening it to write would make one
        was_encrypted = reader.locked
    key = request.key() if was_encrypted else new
    with open_store(path, unknown="placeholder", key=key) as store:
        if was_encrypted:
            store.rotate_key(new, new_data_key=new_data_key)
        head = store.head
    if request.json:
        document("rekey", {"path": str(path), "was_encrypted": was_encrypted, "head": head})
    elif was_encrypted:
        say_line(f"{path}: locked with the new key; the old one opens it no more")
    else:
        say_line(f"{path}: encrypted from now on")
        if head:
            talk(f"its events up to #{head} stay as they are; a new log would have none of them")
