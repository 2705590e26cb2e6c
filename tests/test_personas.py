"""The sixteen types: complete, told apart, found in any case."""

from itertools import product

import pytest
from lapd.data import mbti

from lapd.errors import UnknownNameError
from lapd.names import all_personas, get_persona, get_personas, opposite_pole, sign_of

AXES = mbti().ends

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
    assert len(persona.system_prompt.split()) >= 20
    assert persona.name not in persona.system_prompt
    assert pole not in all_personas()


def test_an_unknown_code_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"There is no persona 'IMFP'\. Did you mean .*INFP.*`lapd personas`"):
        get_persona("IMFP")


def test_the_sign_is_positive_at_the_first_pole():
    assert [sign_of(axis, pole) for axis, pole in get_persona("ESTJ").poles.items()] == [1, 1, 1, 1]
    assert [sign_of(axis, pole) for axis, pole in get_persona("INFP").poles.items()] == [-1, -1, -1, -1]
    assert [sign_of(axis, pole) for axis, pole in get_persona("ENTP").poles.items()] == [1, -1, 1, -1]
    assert sign_of("E/I", None) == sign_of("some other axis", "I") == 0


def test_the_opposite_of_the_opposite_is_the_pole_itself():
    assert {p: opposite_pole(p) for p in "ESTJ"} == {"E": "I", "S": "N", "T": "F", "J": "P"}
    assert all(opposite_pole(opposite_pole(p)) == p for p in "EISNTFJP")
    with pytest.raises(UnknownNameError, match=r"There is no pole 'X'"):
        opposite_pole("X")


def test_a_persona_can_be_used_as_a_key():
    assert len({get_persona(code) for code in CODES}) == 16
