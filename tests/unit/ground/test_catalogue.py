"""Every error that the code can raise is explained to people."""

import importlib
import pkgutil

import octra
from octra import catalogue
from octra.errors import OctraError


def every_error() -> list[type[OctraError]]:
    for module in pkgutil.walk_packages(octra.__path__, "octra."):
        is_library = module.name.rpartition(".")[2].startswith("_")  # or __main__
        if not is_library and not module.name.endswith(".worker"):
            importlib.import_module(module.name)
    found: list[type[OctraError]] = []
    open_classes: list[type[OctraError]] = [OctraError]
    while open_classes:
        found.append(kind := open_classes.pop())
        open_classes.extend(kind.__subclasses__())
    return found


def test_every_error_class_names_a_row_of_the_catalogue() -> None:
    missing = sorted(
        {f"{kind.__name__}: {kind.oct_code}" for kind in every_error() if kind.oct_code not in catalogue.ROWS}
    )
    assert not missing


def test_every_row_says_what_to_do() -> None:
    for row in catalogue.ROWS.values():
        assert row.remedy.endswith((".", "!")), row.text
        assert row.cause.endswith(".")
        assert row.exit in catalogue.EXIT_MEANINGS
        if 4000 <= row.code < 5100:
            assert row.http == row.code // 10 or row.code < 4100 or row.code in (4001, 4011, 4031, 4041)


def test_an_unlisted_code_shows_as_our_mistake() -> None:
    assert catalogue.row(12345).code == 9002
