"""The catalogue is whole: every case has a test or says why not, and the page in the documents shows each of them."""

import re

from tests.attacks.catalogue import HERE, ROOT, attacks, cases, id_in
from tests.attacks.write_table import PAGE, places


def test_every_case_has_a_test_or_says_why_it_does_not_apply() -> None:
    found, known = attacks(), {case.id: case for case in cases()}
    assert len(known) == len(cases()) == 94
    assert set(found) <= set(known), "a test names a case that there is not"
    assert {case.id for case in known.values() if case.applies} == set(found)


def test_every_test_of_this_folder_names_its_case() -> None:
    unnamed = [
        name
        for path in HERE.glob("test_*.py")
        if path.name != "test_catalogue.py"
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
        if id_in(name) is None and not re.match(r"test_x\d+_", name)  # a fault that was found by trying, not a case
    ]
    assert unnamed == []


def test_what_a_remark_points_to_is_there() -> None:
    for case in cases():
        for path, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", case.remark):
            assert (ROOT / path).exists(), case.id
            assert not name or f"def {name}(" in (ROOT / path).read_text(), case.id


def test_the_page_shows_every_case_and_where_it_is_tested() -> None:
    """After `python -m tests.attacks.write_table`."""
    rows = {
        line.split("|")[1].strip(): line
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| [A-Z]{3}-\d\d ", line)
    }
    assert list(rows) == [case.id for case in cases()]
    for case in cases():
        assert case.title in rows[case.id]
        assert places(case) in rows[case.id], f"{case.id}: write the page anew"
