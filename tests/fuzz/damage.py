"""Damage to a file's bytes, whatever they mean: what cards, cables and half a copy do."""

from __future__ import annotations

import zlib

ODD_NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)


def flip(rng, content):
    """Flip a bit, or several."""
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def cut_off(rng, content):
    """Lose the end."""
    del content[rng.randrange(len(content)) :]


def lose(rng, content):
    """Lose a piece in the middle."""
    start = rng.randrange(len(content))
    del content[start : start + rng.choice([1, 2, 4, 16, 512])]


def repeat(rng, content):
    """Have a piece twice."""
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice([1, 4, 16, 512, 4096])]
    place = rng.randrange(len(content))
    content[place:place] = piece * rng.choice([1, 1, 2, 50])


def move(rng, content):
    """Overwrite a piece with another."""
    size = rng.choice([1, 4, 16, 512, 4096])
    start, place = rng.randrange(len(content)), rng.randrange(len(content))
    piece = content[start : start + size]
    content[place : place + len(piece)] = piece


def blank(rng, content):
    """Lose a sector of a disk: all zeros, all ones, or noise."""
    start = rng.randrange(len(content)) // 512 * 512
    size = min(rng.choice([512, 4096]), len(content) - start)
    content[start : start + size] = rng.choice([bytes(size), b"\xff" * size, rng.randbytes(size)])


def odd_number(rng, content):
    """Write a number that nobody expects over another: sizes, counts and offsets are such."""
    size, order = rng.choice([1, 2, 4]), rng.choice(["big", "little"])
    number = rng.choice(ODD_NUMBERS) % (1 << 8 * size)
    # Where headers are, most of the time.
    start = rng.randrange(rng.choice([64, 1024, len(content)]))
    content[start : start + size] = number.to_bytes(size, order)


KINDS = (flip, cut_off, lose, repeat, move, blank, odd_number, odd_number)


def damaged(rng, content):
    """Return the bytes with one to four such things done to them."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if content:
            rng.choice(KINDS)(rng, content)
    return bytes(content)


def with_sound_chunks(content):
    """Return a PNG whose chunks' checksums are right again, so that readers look inside."""
    fixed, place = bytearray(content[:8]), 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        body = content[place + 4 : place + 8 + length]
        fixed += content[place : place + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        place += 12 + length
    return bytes(fixed)
