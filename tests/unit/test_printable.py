"""Text from elsewhere cannot steer the terminal that it is printed on."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from q8s_infra.printable import printable

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NASTY = st.text(
    alphabet=st.one_of(
        st.characters(max_codepoint=0x9F),
        st.sampled_from(BIDI),
        st.sampled_from("\x1b[]\x07\x9b\x9d;m0"),
        st.characters(),
    )
)


@given(NASTY)
def test_no_control_character_survives(text: str) -> None:
    said = printable(text)
    assert not [each for each in said if each not in "\n\t" and unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not set(said) & set(BIDI)
    assert printable(said) == said


@given(st.text(alphabet=st.one_of(st.sampled_from("\n\t äöü漢字🙂é"), st.characters(categories=["L", "N", "P", "S"]))))
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07left", "left"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1bcreset", "reset"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("\x1b]0;no end\nnext", "\nnext"),
        ("demo-0: ok\rdemo-1: failed", "demo-0: ok demo-1: failed"),
        ("a\r\nb\r\r\n", "a\nb\n"),
        ("abc\u202edcba", "abcdcba"),
        ("bell\x07 back\x08space nul\x00", "bell backspace nul"),
    ],
)
def test_sequences_are_removed_whole(text: str, said: str) -> None:
    assert printable(text) == said
