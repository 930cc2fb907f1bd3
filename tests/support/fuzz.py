"""Damages files: bytes anywhere, numbers in headers, and what a checksum or compression hides.

Each function takes bytes (or JSON's values) and a `random.Random`, and returns others, the same for
the same state of the generator.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import struct
import zipfile
import zlib
from copy import deepcopy

import numpy as np

NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1]
NUMBERS += [2**24, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
WORDS = [
    *("-1", "0", "1", "3.5", "1e999", "-1e-999", "nan", "inf", "1_0", "9" * 25, "9" * 400),
    *("", " ", '"', "'", ",", ";", "\t", "\n", "\r", "\0", "\ufeff", "٣", "é", "\ud800", "(" * 300),
    *("None", "True", "|O", "<M8", "<U0", "S99999999", "<f16", "[" * 99, "__class__", "pickle"),
]
VALUES = [None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, 1e308, math.inf, math.nan]
VALUES += ["", "x", "|O", "\ud800", "9" * 50, [], {}, [[]], [None], {"": {}}, [0] * 50]
HEAD = 256  # bytes, at either end, where formats say how large things are
LONGEST = 2**20  # bytes; files do not grow without end


def damaged(content: bytes, rng) -> bytes:
    """Return bytes some of which are changed, left out, repeated, exchanged, or other numbers."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        rng.choice(EDITS)(content, rng)
        if not content or len(content) > LONGEST:
            break
    return bytes(content)


def _place(content, rng):
    """Return where to edit: anywhere, or as often in a header or a footer."""
    n = len(content)
    where = rng.randrange(4)
    if where == 0:
        return rng.randrange(min(n, HEAD))
    if where == 1:
        return n - 1 - rng.randrange(min(n, HEAD))
    return rng.randrange(n)


def _flip(content, rng):
    content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _byte(content, rng):
    content[_place(content, rng)] = rng.randrange(256)


def _truncate(content, rng):
    del content[_place(content, rng) :]


def _extend(content, rng):
    start = rng.randrange(len(content))
    content += rng.choice([b"\0" * 16, rng.randbytes(16), content[start : start + 4096]])


def _remove(content, rng):
    at = _place(content, rng)
    del content[at : at + rng.choice([1, 2, 4, 8, 64])]


def _repeat(content, rng):
    at, n = _place(content, rng), rng.choice([1, 2, 4, 8, 64, 1024])
    content[at:at] = content[at : at + n]


def _splice(content, rng):
    at, other, n = _place(content, rng), _place(content, rng), rng.choice([1, 2, 4, 8, 64])
    content[at : at + n] = content[other : other + n]


def _swap(content, rng):
    n = rng.choice([1, 4, 16, 64])
    a, b = sorted((_place(content, rng), _place(content, rng)))
    content[a : a + n], content[b : b + n] = content[b : b + n], content[a : a + n]


def _number(content, rng):
    """Overwrite, or add to, a number of 1 to 8 bytes in either order."""
    size, order = rng.choice([1, 2, 4, 4, 8]), rng.choice(["little", "big"])
    at = _place(content, rng)
    at -= at % size * rng.randrange(2)  # as often at a multiple of its size
    number = rng.choice(NUMBERS)
    if rng.randrange(2):
        number = int.from_bytes(content[at : at + size], order) + rng.choice([-1, 1, 8, 2**16])
    content[at : at + size] = (number % 256**size).to_bytes(size, order)


def _digits(content, rng):
    """Overwrite a number that is written out by another, or by what is none."""
    text = bytes(content)
    found = list(re.finditer(rb"[0-9][0-9.]*", text[:4096]))
    if found:
        match = rng.choice(found)
        content[match.start() : match.end()] = encoded(rng.choice(WORDS))


def _word(content, rng):
    at = _place(content, rng)
    content[at:at] = encoded(rng.choice(WORDS))


EDITS = [_flip, _byte, _truncate, _extend, _remove, _repeat, _splice, _swap]
EDITS += [_number, _number, _number, _digits, _word]


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def damaged_text(text: str, rng) -> str:
    """Return other text, of a line that a user might type."""
    return damaged(encoded(text) or b" ", rng).decode("utf-8", "surrogateescape")


def damaged_json(value, rng):
    """Return JSON's values of which one is another, gone, twice there, or under another name."""
    value = deepcopy(value)
    for _ in range(rng.choice([1, 1, 2, 4])):
        places = list(_places(value))
        if not places:
            return deepcopy(rng.choice(VALUES))
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(WORDS)] = holder.pop(key)
        elif kind == 1:
            holder.insert(key, holder[key])
        elif kind == 2:
            holder[key] = [holder[key]]
        elif kind == 3:
            other, name = rng.choice(places)
            if name in (other if isinstance(other, dict) else range(len(other))):
                holder[key] = deepcopy(other[name])
        elif kind == 4 and isinstance(holder[key], int | float):
            holder[key] += rng.choice([-1, 1, 0.5, 2**40])
        else:
            holder[key] = deepcopy(rng.choice([*VALUES, *WORDS]))
    return value


def _places(value):
    """Return every place in JSON's values: what holds it, and its name or number there."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])


def damaged_json_text(content: bytes, rng) -> bytes:
    return encoded(json.dumps(damaged_json(json.loads(content), rng), ensure_ascii=False))


def damaged_gzip(content: bytes, rng, inner=damaged) -> bytes:
    """Return a gzip file of damaged content, whose checksum is right."""
    return gzip.compress(inner(gzip.decompress(content), rng), 1, mtime=0)


def damaged_zip(content: bytes, rng, inner=damaged) -> bytes:
    """Return a zip archive one of whose members is damaged, renamed, gone or twice there."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at, kind = rng.randrange(len(members)), rng.randrange(12)
    name, body = members[at]
    if kind == 0:
        del members[at]
    elif kind == 1:
        members[at] = rng.choice(members)[0], body
    elif kind == 2:
        members[at] = damaged_text(name, rng).encode(errors="replace").decode(), body
    else:
        members[at] = name, inner(body, rng)
    written = io.BytesIO()
    how = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(written, "w", how) as archive:
        for name, body in members:
            archive.writestr(zipfile.ZipInfo(name or "x"), body, how)
    return written.getvalue()


def damaged_mat(content: bytes, rng) -> bytes:
    """Return a .mat file of version 7 with damage in what it compresses, and right checksums."""
    parts, position = [content[:128]], 128
    while position < len(content):
        kind, size = struct.unpack_from("<2I", content, position)
        parts.append((kind, content[position + 8 : position + 8 + size]))
        position += 8 + size
    at = rng.randrange(1, len(parts))
    for i, (kind, body) in enumerate(parts[1:], 1):
        if i == at:
            body = zlib.compress(damaged(zlib.decompress(body), rng), 1)
        parts[i] = struct.pack("<2I", kind, len(body)) + body
    return b"".join(parts)


def damaged_png(content: bytes, rng) -> bytes:
    """Return a PNG file one of whose chunks is damaged, and right checksums."""
    position, parts = 8, []
    while position < len(content):
        (size,) = struct.unpack_from(">I", content, position)
        chunk = content[position + 4 : position + 8 + size]
        parts.append([chunk[:4], chunk[4:]])
        position += 12 + size
    chosen, kind = rng.choice(parts), rng.randrange(4)
    if kind == 0:
        chosen[0] = damaged(chosen[0], rng)[:4].ljust(4, b"a")
    elif chosen[0] == b"IDAT" and kind == 1:
        chosen[1] = zlib.compress(damaged(zlib.decompress(chosen[1]), rng), 1)
    else:
        chosen[1] = damaged(chosen[1] or b"\0", rng)
    return content[:8] + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def damaged_model(content: bytes, rng) -> bytes:
    """Return a model's file with other arrays, or another text, and the right sha256 of these."""
    from safetensors.numpy import load, save

    from gpulr.model import storage

    (size,) = struct.unpack_from("<Q", content)
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    tensors, text = load(content), metadata["model"]
    for _ in range(rng.choice([1, 1, 2, 3])):
        if rng.randrange(2):
            _damage_an_array(tensors, rng)
        elif rng.randrange(4):
            with_text = json.dumps(damaged_json(json.loads(text), rng))
            text = with_text if len(with_text) < LONGEST else text
        else:
            text = damaged_text(text, rng).encode(errors="replace").decode()
            break  # it may be JSON no more
    metadata |= {"model": text, "sha256": storage._digest(tensors, text)}
    if not rng.randrange(8):
        metadata[rng.choice(sorted(metadata))] = rng.choice(["", "1", "2", "3", "x"])
    return save(tensors, metadata=metadata)


def damaged_checkpoint(content: bytes, rng) -> bytes:
    """Return a checkpoint with other arrays, or another tree, and the right sha256 of these."""
    from safetensors.numpy import load, save

    from gpulr.families import checkpoint_file

    (size,) = struct.unpack_from("<Q", content)
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    tensors = load(content)
    for _ in range(rng.choice([1, 1, 2, 3])):
        if rng.randrange(2):
            _damage_an_array(tensors, rng)
        else:
            tree = json.dumps(damaged_json(json.loads(metadata["tree"]), rng))
            metadata["tree"] = tree if len(tree) < LONGEST else metadata["tree"]
    metadata["sha256"] = checkpoint_file._digest(metadata, tensors)
    if not rng.randrange(8):
        metadata[rng.choice(sorted(metadata))] = rng.choice(["", "1", "2", "{}", "x"])
    return save(tensors, metadata=metadata)


def _damage_an_array(tensors, rng):
    if not tensors:
        return
    name, kind = rng.choice(sorted(tensors)), rng.randrange(6)
    array = tensors[name]
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[rng.choice(["x", "center", "thresholds", "refreshes"])] = array
    elif kind == 2:
        dtypes = ["f2", "f4", "f8", "i1", "i8", "u8", "?"]
        with np.errstate(all="ignore"):
            tensors[name] = array.astype(rng.choice(dtypes))
    elif kind == 3:
        shapes = [(-1,), (1, -1), (-1, 1), (-1, 1, 1), array.shape[::-1]]
        tensors[name] = np.ascontiguousarray(array.reshape(rng.choice(shapes)))
    elif kind == 4:
        tensors[name] = np.ascontiguousarray(array[: len(array) // 2] if array.ndim else array)
    elif array.size:
        extremes = [math.nan, math.inf, -math.inf, -1, 0, 1e300, 1e-300, 127]
        changed = array.copy()
        with np.errstate(all="ignore"):
            changed.ravel()[rng.randrange(array.size)] = np.float64(rng.choice(extremes)).astype(
                array.dtype
            )
        tensors[name] = changed


def damaged_safetensors(content: bytes, rng) -> bytes:
    """Return a safetensors file whose header, JSON, says other things."""
    (size,) = struct.unpack_from("<Q", content)
    header = encoded(json.dumps(damaged_json(json.loads(content[8 : 8 + size]), rng)))
    return struct.pack("<Q", len(header)) + header + content[8 + size :]
