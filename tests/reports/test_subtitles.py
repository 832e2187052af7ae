"""A subtitle file, read back by FFmpeg, has the sentences and the times that went into it."""

import html
import io

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioning.reports.subtitles import KINDS, Cue, clock, subtitles

FORMATS = {"srt": "srt", "vtt": "webvtt"}
texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co")), min_size=1, max_size=30)
gaps, lengths = st.floats(0, 90_000), st.floats(0.001, 100)


def read_back(text, kind):
    """(begin in ms, end in ms, text) of every cue, by the reader of FFmpeg."""
    with av.open(io.BytesIO(text.encode()), format=FORMATS[kind]) as file:
        packets = [packet for packet in file.demux() if packet.size]
    return [(packet.pts, packet.pts + packet.duration, bytes(packet).decode()) for packet in packets]


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.tuples(gaps, lengths, texts), max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read_back(kind, parts):
    cues, at = [], 0.0
    for gap, length, said in parts:
        cues.append(Cue(at + gap, at + gap + length, said))
        at += gap + length
    text = "".join(subtitles(cues, kind))
    expected = [
        (round(1000 * cue.begin), max(round(1000 * cue.end), round(1000 * cue.begin) + 1), " ".join(cue.text.split()))
        for cue in cues
        if cue.text.strip()
    ]
    found = [(a, b, html.unescape(said) if kind == "vtt" else said) for a, b, said in read_back(text, kind)]
    if kind == "srt":
        expected = [(a, b, said.replace("-->", "→")) for a, b, said in expected]
    assert found == expected


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_can_end_a_cue_or_begin_another(kind):
    cues = [Cue(0, 1, "one\n\n2\n00:00:05,000 --> 00:00:06,000\nfalse"), Cue(1, 1, "<i>two</i>"), Cue(2, 3, " \n")]
    found = read_back("".join(subtitles(cues, kind)), kind)
    assert [(a, b) for a, b, _ in found] == [(0, 1000), (1000, 1001)]
    assert "\n" not in found[0][2]


def test_a_web_subtitle_file_says_what_it_is_even_when_it_is_empty():
    assert "".join(subtitles([], "vtt")) == "WEBVTT\n\n" and "".join(subtitles([], "srt")) == ""


def test_the_clock_carries():
    assert clock(3_599_999) == "00:59:59.999" and clock(3_600_000, ",") == "01:00:00,000"
    assert clock(400_000_000) == "111:06:40.000"
