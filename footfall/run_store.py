"""What a run's parent does for the store before the workers start, and what the store is called in its identity."""

import os
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

from footfall.errors import UsageError
from footfall.settings import Settings, redacted

_OWNER_WAIT = 30.0


def prepare_store(settings: Settings, stack: ExitStack) -> None:
    """Migrate the store; with several workers, see that an embedded one has an owner they can all ask.

    The owner ends with `stack`, if it was started here.

    Raises:
        UsageError: the folder of an embedded store can't be made or written to.
        FootfallError: the store can't be opened or migrated.
    """
    if settings.store == "none":
        return
    if settings.store.startswith("chdb:"):
        check_folder(settings)
    if settings.workers == 1 and settings.store.startswith("chdb:"):
        return  # the worker opens the folder itself, or asks the owner, and migrates it
    # A client of ClickHouse takes half a second to load, which one worker doesn't need in its parent.
    from footfall.store import open_store, parse_dsn  # noqa: PLC0415
    from footfall.store_owner import ensure_owner  # noqa: PLC0415

    address = parse_dsn(settings.store, database=settings.database)
    if address.kind == "embedded":
        stack.callback(ensure_owner(address, wait=_OWNER_WAIT).close)
    store = open_store(address, wait_for_owner=_OWNER_WAIT)
    try:
        store.migrate()
    finally:
        store.close()


def check_folder(settings: Settings) -> None:
    """See that an embedded store's folder can be made, or written to if it is there.

    Raises:
        UsageError: it can't.
    """
    # What a DSN says is read where the client of ClickHouse is, which takes half a second to load.
    named = unquote(settings.store.removeprefix("chdb://").partition("?")[0])
    folder = Path(named)
    place = next((each for each in (folder, *folder.absolute().parents) if os.path.lexists(each)), Path("/"))
    if not place.is_dir():
        raise UsageError(
            f"store: chdb://{named} can't be made, since {place} is a file; name another with --store"
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(
            f"store: no permission to write in {place}; let this user write there, or name another folder with --store"
        )


def store_name(settings: Settings) -> str | None:
    """The store's name without a password; a relative folder is meant from the working directory."""
    if settings.store == "none":
        return None
    scheme, _, place = redacted(settings.store).partition("://")
    return f"{scheme}://{Path(place).absolute() if scheme == 'chdb' else place}, {settings.database}"
