"""The sixteen types: complete, told apart, found in any case."""

from itertools import product

import pytest
from lapd.data import FOLDER

from lapd.errors import DataError, StoreError, UnknownNameError
from lapd.files.whole import read_json, write_json
from lapd.names import all_personas, get_persona, get_personas
from lapd.personas import AXES, opposite_pole, read_personas, read_poles

CODES = {"".join(letters) for letters in product(*AXES.values())}


def test_there_are_the_sixteen_types():
    assert len(CODES) == 16
    assert set(all_personas()) == CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_type_has_a_pole_on_each_axis_and_a_prompt_that_describes_and_does_not_name_it(code):
    persona = get_persona(code)
    assert list(persona.poles) == list(AXES)
    assert "".join(persona.poles.values()) == code
    assert len(persona.description.split()) >= 20
    assert len(persona.system_prompt.split()) >= 20
    assert code not in persona.system_prompt


def test_no_two_types_share_a_name_description_or_prompt():
    personas = all_personas().values()
    for field in ("name", "description", "system_prompt"):
        assert len({getattr(p, field) for p in personas}) == 16


def test_a_code_is_found_in_any_case():
    assert get_persona("infp") is get_persona("INFP") is get_persona("InFp")
    assert [p.code for p in get_personas(["estj", "INTP"])] == ["ESTJ", "INTP"]


@pytest.mark.parametrize("pole", "EISNTFJP")
def test_a_single_pole_is_a_persona_that_takes_one_side(pole):
    persona = get_persona(pole.lower())
    axis = next(axis for axis, ends in AXES.items() if pole in ends)
    assert (persona.code, persona.poles) == (pole, {axis: pole})
    assert [other for other in AXES if persona.sign(other)] == [axis]
    assert len(persona.system_prompt.split()) >= 20
    assert persona.name not in persona.system_prompt
    assert pole not in all_personas()


def test_a_file_without_a_pole_is_refused(tmp_path):
    record = read_json(FOLDER / "personas" / "mbti.json")
    assert len({pole.system_prompt for pole in read_poles(FOLDER / "personas" / "mbti.json")}) == 8
    del record["axes"][1]["poles"]["N"]["system_prompt"]
    write_json(tmp_path / "personas.json", record)
    with pytest.raises(DataError, match=r"pole N of S/N has no 'system_prompt'"):
        read_poles(tmp_path / "personas.json")


def test_an_unknown_code_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"There is no persona 'IMFP'\. Did you mean .*INFP.*`lapd personas`"):
        get_persona("IMFP")


def test_the_sign_is_positive_at_the_first_pole():
    assert [get_persona("ESTJ").sign(axis) for axis in AXES] == [1, 1, 1, 1]
    assert [get_persona("INFP").sign(axis) for axis in AXES] == [-1, -1, -1, -1]
    assert [get_persona("ENTP").sign(axis) for axis in AXES] == [1, -1, 1, -1]
    assert get_persona("INFP").sign("some other axis") == 0


def test_the_opposite_of_the_opposite_is_the_pole_itself():
    assert {p: opposite_pole(p) for p in "ESTJ"} == {"E": "I", "S": "N", "T": "F", "J": "P"}
    assert all(opposite_pole(opposite_pole(p)) == p for p in "EISNTFJP")
    with pytest.raises(UnknownNameError, match=r"There is no pole 'X'"):
        opposite_pole("X")


def test_a_persona_can_be_used_as_a_key():
    assert len({get_persona(code) for code in CODES}) == 16


def test_a_personas_file_is_checked(tmp_path):
    path = tmp_path / "personas.json"
    entry = read_json(FOLDER / "personas" / "mbti.json")["personas"][0]
    write_json(path, {"schema": "lapd.personas/1", "personas": [entry]})
    assert read_personas(path)[0].code == entry["code"]
    write_json(path, {"schema": "lapd.personas/1", "personas": [{**entry, "code": "INFX"}]})
    with pytest.raises(DataError, match=r"'INFX' is not one of the sixteen types"):
        read_personas(path)
    write_json(path, {"schema": "lapd.personas/1", "personas": [{**entry, "code": "INFPX"}]})
    with pytest.raises(DataError, match=r"'INFPX' is not one of the sixteen types"):
        read_personas(path)
    del entry["system_prompt"]
    write_json(path, {"schema": "lapd.personas/1", "personas": [entry]})
    with pytest.raises(DataError, match=r"a persona has no 'system_prompt'"):
        read_personas(path)
    write_json(path, {"schema": "lapd.personas/2", "personas": []})
    with pytest.raises(StoreError, match=r"newer LAPD"):
        read_personas(path)
