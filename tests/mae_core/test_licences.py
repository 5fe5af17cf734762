import pytest

from mae_core.licences import is_non_commercial


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [
        ("cc-by-nc-4.0", True),
        ("CC BY-NC-SA 4.0", True),
        ("fair-noncommercial-research-license", True),
        ("Non-commercial use only", True),
        ("apple-amlr", True),
        ("apache-2.0", False),
        ("cc-by-4.0", False),
        ("license of an encoder", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_what_forbids_commercial_use_is_known_by_its_name(licence: str, forbids: bool) -> None:
    assert is_non_commercial(licence) == forbids
