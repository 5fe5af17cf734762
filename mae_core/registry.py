"""What is found by name: our own, a config's `custom_imports`, and installed packages'."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from mae_core.errors import UserError, suggest

T = TypeVar("T")
# Entry points by which other packages name their modules.
ENCODER_POINTS, METHOD_POINTS = "mae_bench.encoders", "mae_bench.methods"


class Registry(Generic[T]):
    """Entries by name, from modules that register them when they are imported.

    Our own modules are imported at the first look-up. Others are imported by who reads a config,
    for its `custom_imports`, or where an installed package names them under an entry point; those
    of packages only where a name is not known without, so that a broken one disturbs nobody else.

    Args:
        kind: of the entries, as messages say it.
        modules: our own.
        group: the entry points of other packages, `mae_bench.<kinds>`.
    """

    def __init__(self, kind: str, modules: tuple[str, ...], group: str) -> None:
        self.kind, self.modules, self.group = kind, modules, group
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Register. Raises ValueError if another entry has the name."""
        known = self._entries.setdefault(name, entry)
        if repr(known) != repr(entry):  # a module that is imported again stays the same
            raise ValueError(f"the {self.kind} '{name}' is {known!r} already, now also {entry!r}")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
        """The entry of a name. Raises UserError, with the nearest one, if there is none."""
        for load in (self._import_own, self._import_packages):
            if name in self._entries:
                break
            load()
        if name not in self._entries:
            raise UserError(
                f"no {self.kind} is called '{name}'{suggest(name, self._entries)}. One of another "
                "package is found if the config's custom_imports name its module, or if the "
                f"package is installed with an entry point in '{self.group}'"
            )
        return self._entries[name]

    def names(self) -> list[str]:
        """All names, ours first. Raises UserError if a package's module cannot be imported."""
        self._import_own()
        self._import_packages()
        return list(self._entries)

    def known(self) -> dict[str, T]:
        """All entries by name that were registered by now."""
        return dict(self._entries)

    def _import_own(self) -> None:
        for module in self.modules:
            import_module(module)

    def _import_packages(self) -> None:
        for point in entry_points(group=self.group):
            try:
                point.load()
            except Exception as error:  # another's code: anything may come out of it
                raise UserError(
                    f"the entry point {point.name} = {point.value} of {self.group} cannot be "
                    f"imported ({type(error).__name__}: {error}): mend or uninstall its package"
                ) from error
