"""Files that nobody should send to a page, the same for the same seed."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

from tiny_model import pictures

NAMES = ("../../../../etc/passwd.jpg", "..\\..\\secret.png", "/etc/shadow", "nul\0l.jpg", "", ".jpg", "new\nline.png")
NAMES += ("<img src=x onerror=alert(1)>.png", "Hündchen.jpg", "%2e%2e%2fpasswd.png", "CON", "~", "$(id).gif", "a" * 300)
TEXTS = (b"", b"\0", b"GIF89a", b"%PDF-1.7\n", b"PK\x03\x04" + b"\0" * 30, b"<svg onload='alert(1)'/>", b"\x7fELF\x02")
TEXTS += (b"<script>alert(1)</script>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 ", b"a dog")


def hostile(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """(name, content) of `count` uploads: cut short, damaged, of another kind, too large, oddly named, or good."""
    dice = random.Random(seed)
    kinds = (cut, damaged, other_kind, bomb, good)
    for number in range(count):
        content = kinds[number % len(kinds)](dice)
        usual = f"{number}.{dice.choice(('jpg', 'png', 'webp', 'gif', 'mp4', 'txt'))}"
        yield dice.choice(NAMES) if dice.random() < 0.3 else usual, content


@cache
def photo(kind: str) -> bytes:
    file = io.BytesIO()
    pictures(1, 96)[0].save(file, kind, **({"progressive": True} if kind == "JPEG" else {}))
    return file.getvalue()


def good(dice: random.Random) -> bytes:
    return photo(dice.choice(("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")))


def cut(dice: random.Random) -> bytes:
    whole = good(dice)
    return whole[: dice.randrange(len(whole))]


def damaged(dice: random.Random) -> bytes:
    content = bytearray(good(dice))
    for _ in range(dice.choice((1, 5, 50))):
        content[dice.randrange(min(len(content), dice.choice((64, 10**9))))] = dice.randrange(256)
    return bytes(content)


def other_kind(dice: random.Random) -> bytes:
    return dice.choice(TEXTS) + dice.randbytes(dice.choice((0, 10, 3000)))


def bomb(dice: random.Random) -> bytes:
    """Few bytes that stand for very many pixels."""
    side = dice.choice((8_000, 30_000, 60_000, 2**31 - 1))
    kind = dice.choice(("png", "gif", "bmp", "ppm", "jpeg"))
    if kind == "png":
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        body = zlib.compress(bytes(100_000), 9)
        chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
        packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
        return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
    if kind == "gif":
        frame = struct.pack("<HHHH", 0, 0, 65535, 65535)
        return b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + bytes(6) + b"," + frame + b"\0\x02\x01\0;"
    if kind == "bmp":
        header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, *[0] * 6)
        return b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + header
    if kind == "ppm":
        return f"P6 {side} {side} 255\n".encode() + bytes(1000)
    content = bytearray(photo("JPEG"))
    place = content.find(b"\xff\xc2")
    content[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    return bytes(content)
