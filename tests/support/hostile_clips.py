"""Files that are called clips and are something else: lists, scripts, descriptions, tables without measure."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

RUN = struct.Struct(">II")


def lists(target: str) -> dict[str, bytes]:
    """Kind -> a text that would have FFmpeg open `target`, or a port, or a device."""
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 0.0.0.0\nt=0 0\n"
    sdp += "m=video 45990 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT4S">'
        f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    texts = {
        "concat": f"ffconcat version 1.0\nfile {target}\n",
        "concat with options": f"ffconcat version 1.0\nfile {target}\noption safe 0\ninpoint 0\nduration 1\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n",
        "hls key": f'#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:4,\nx.ts\n',
        "sdp": sdp,
        "sdp multicast": sdp.replace("0.0.0.0", "224.2.17.12/127"),
        "dash": dash,
        "smooth": f'<SmoothStreamingMedia MajorVersion="2"><StreamIndex Url="{target}"/></SmoothStreamingMedia>',
        "imf": f"<CompositionPlaylist><Asset>{target}</Asset></CompositionPlaylist>",
        "asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
        "redirect": f"rtsptext\nrtsp://127.0.0.1/{target}\n",
        "reference": f"[Reference]\nRef1=http://127.0.0.1/{target}\n",
        "avisynth": f'FFmpegSource2("{target}")\n',
        "vapoursynth": f'import vapoursynth as vs\nopen("{target}")\n',
        "metadata": f";FFMETADATA1\ntitle={target}\n",
        "srt": f"1\n00:00:00,000 --> 00:00:04,000\n{target}\n\n",
        "webvtt": f"WEBVTT\n\n00:00.000 --> 00:04.000\n{target}\n",
        "ass": f"[Script Info]\n; x\n[Events]\nDialogue: 0,0:00:00.00,0:00:04.00,*,x,0,0,0,,{target}\n",
        "sub": f"{{0}}{{25}}{target}\n",
        "tedcaptions": f'{{"captions":[{{"duration":1,"content":"{target}"}}]}}',
        "lrc": f"[00:01.00]{target}\n",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{target}"/></svg>',
        "image sequence": f"{target}%03d.png\n",
        "lavfi": "color=c=red:s=64x64:d=4\n",
        "playlist of winamp": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    }
    return {kind: text.encode() for kind, text in texts.items()}


def invented_lists(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """(kind, content) of `count` such texts: other targets, line ends, marks and padding in front and behind."""
    dice = random.Random(seed)
    targets = ("private.png", "./private.png", "file:private.png", "../x/private.png", "concat:private.png|private.png")
    targets += ("udp://127.0.0.1:45991", "tcp://127.0.0.1:45992?listen=1", "subfile,,start,0,end,9,,:private.png")
    for _ in range(count):
        kind, content = dice.choice(list(lists(dice.choice(targets)).items()))
        content = content.replace(b"\n", dice.choice((b"\n", b"\r\n", b"\n\n")))
        front = dice.choice((b"", b"", b"\xef\xbb\xbf", b"\n", b" ", b"# x\n"))
        yield kind, front + content + dice.choice((b"", b"", b"\0" * 5000, b" " * 5000, dice.randbytes(2000)))


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def table(kind: bytes, *numbers: int) -> bytes:
    return box(kind, bytes(4), *(struct.pack(">I", number % 2**32) for number in numbers))


def mp4(tracks: int = 1, **tables: bytes) -> bytes:
    """An MP4 of empty tracks whose sample tables are replaced by these, by their kind."""
    side = 64 << 16
    matrix = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    entry = struct.pack(">I4sII", 86, b"avc1", 0, 1) + bytes(16) + struct.pack(">HH", 64, 64) + bytes(50)
    usual = {
        b"stsd": box(b"stsd", struct.pack(">II", 0, 1), entry),
        b"stts": table(b"stts", 1, 1, 40),
        b"stsc": table(b"stsc", 1, 1, 1, 1),
        b"stsz": table(b"stsz", 100, 1),
        b"stco": table(b"stco", 1, 48),
    }
    edits = tables.pop("elst", b"")
    usual |= {kind.encode(): content for kind, content in tables.items()}
    trak = box(
        b"trak",
        box(b"tkhd", struct.pack(">IIIIII", 7, 0, 0, 1, 0, 4000), bytes(16), matrix, struct.pack(">II", side, side)),
        box(b"edts", edits) if edits else b"",
        box(
            b"mdia",
            box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 1000, 4000, 0, 0)),
            box(b"hdlr", bytes(8), b"vide", bytes(13)),
            box(b"minf", box(b"vmhd", bytes(12)), box(b"stbl", *usual.values())),
        ),
    )  # fmt: skip
    mvhd = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 4000), bytes(76), struct.pack(">I", 2))
    return box(b"ftyp", b"isom", bytes(4), b"isom") + box(b"moov", mvhd, trak * tracks) + box(b"mdat", bytes(100))


def bottomless(samples: int) -> dict[str, bytes]:
    """Kind of table -> an MP4 of a few hundred bytes whose table of that kind claims so many samples."""
    runs = table(b"stts", 2, samples // 2, 1, samples - samples // 2, 1)
    sizes = table(b"stsz", 4, samples)
    fragment = box(b"moof", table(b"mfhd", 1), box(b"traf", table(b"tfhd", 1), table(b"trun", samples)))
    many_edits = box(b"elst", struct.pack(">II", 0, 1000), struct.pack(">IiI", 4000, 0, 65536) * 1000)
    return {
        "sizes": mp4(stsz=sizes, stts=table(b"stts", 1, samples, 1)),
        "sizes alone": mp4(stsz=sizes),
        "compact sizes": mp4(stsz=table(b"stz2", 8, samples)),
        "durations": mp4(stts=runs),
        "offsets": mp4(ctts=table(b"ctts", 1, samples, 1)),
        "four tracks": mp4(4, stsz=table(b"stsz", 4, samples // 4)),
        "fragment": mp4() + fragment,
        "edits": mp4(stsz=table(b"stsz", 4, samples // 1000), elst=many_edits),
    }


def invented_tables(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """(kind, content) of `count` MP4 files whose tables claim more than is there, or lie about themselves."""
    dice = random.Random(seed)
    for _ in range(count):
        kind, content = dice.choice(list(bottomless(dice.choice((10**6, 6 * 10**7, 2**31 - 1, 2**32 - 1))).items()))
        changed = bytearray(content)
        for _ in range(dice.choice((0, 0, 1, 3))):
            changed[dice.randrange(24, len(changed))] = dice.randrange(256)
        yield kind, bytes(changed)
