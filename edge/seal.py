"""The model file's seal: a checksum of all of it, so that damage is found before it is opened.

Golden frames find wrong arithmetic, but not a flipped bit in a weight that no golden frame uses.
The seal finds every one. It is the last entry of the file's metadata, and so part of the ONNX file:
28 bytes that any ONNX reader takes for `handwave.crc32` = eight hexadecimal digits.

CRC-32 is against accidents (a worn SD card, half a copy), which it never overlooks up to 32 bits in
a row and else once in four thousand million. Against people there is SSH, and the digests of
`deploy`. docs/decisions/0019-damaged-models.md has the figures.
"""

from __future__ import annotations

import zlib

from edge.errors import ModelError

SEAL_KEY = "handwave.crc32"
# ModelProto's field 14 (metadata_props), 26 bytes long: field 1 (key), 14 long; field 2, 8 long.
_MARK = b"\x72\x1a\x0a\x0e" + SEAL_KEY.encode() + b"\x12\x08"
_SIZE = len(_MARK) + 8


def seal(content: bytes) -> bytes:
    """Return a serialised ONNX model with a seal at its end, in place of one that is there."""
    body = content[:-_SIZE] if content[-_SIZE:].startswith(_MARK) else content
    return body + _MARK + b"%08x" % zlib.crc32(body)


def check_seal(content: bytes, where: str) -> bool:
    """Return whether a model file is sealed; older ones are not.

    Raises:
        ModelError: the file is not what was sealed.
    """
    if not content[-_SIZE:].startswith(_MARK):
        return False
    if content[-8:] != b"%08x" % zlib.crc32(memoryview(content)[:-_SIZE]):
        raise ModelError(
            f"{where}: damaged, or changed since it was made (its checksum is another's); "
            "send or train it again"
        )
    return True
