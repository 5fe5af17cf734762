"""A local MLflow database whose folder was moved or copied: its files are beside it again.

MLflow writes the absolute place of each run's files into the database, and would go on writing to
the old one.
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

from sqlalchemy import Engine, MetaData, Table, create_engine, func, inspect, literal, update

ARTIFACTS = "mlartifacts"  # beside a local database
# Where MLflow keeps places of files, in tables of which older databases do not have all.
PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def bring_along(database: Path, location: str, say: Callable[[str], None]) -> bool:
    """Whether the places in a database were changed, from `location` to the folder beside it.

    They are if that folder is there, or `location` is not, and both have the name that we choose:
    a place of the user's own choice stays.

    Args:
        database: of SQLite.
        location: of the experiment's files, an address.
        say: told of the change, and of files that did not come along.
    """
    old, new = Path(unquote(urlparse(location).path)), database.absolute().parent / ARTIFACTS
    if urlparse(location).scheme != "file" or old.name != ARTIFACTS or same(old, new):
        return False
    if old.exists() and not new.exists():
        return False
    say(f"the MLflow database {database} was moved: the files of its runs are now below {new}")
    if not new.exists():
        say(
            f"there are none below {new}, and none below {old} where they were: bring that folder "
            "along, or older runs have numbers only"
        )
    engine = create_engine(f"sqlite:///{database}")
    try:
        rewrite(engine, location, new.as_uri())
    finally:
        engine.dispose()
    return True


def same(one: Path, other: Path) -> bool:
    """Whether two paths mean one folder, which need not be there."""
    return one.resolve() == other.resolve()


def rewrite(engine: Engine, old: str, new: str) -> None:
    """Change the beginning `old` of all places in a database to `new`."""
    known = set(inspect(engine).get_table_names())
    with engine.begin() as connection:
        for name in PLACES.keys() & known:
            table = Table(name, MetaData(), autoload_with=engine)
            for column in (table.c[key] for key in PLACES[name] if key in table.c):
                begins = func.substr(column, 1, len(old)) == old
                rest = func.substr(column, len(old) + 1)
                connection.execute(
                    update(table).where(begins).values({column: literal(new) + rest})
                )
