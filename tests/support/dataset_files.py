"""Builds small valid files, and a mirror on this machine that serves or withholds them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import struct
import threading

import numpy as np

from gpulr.datasets import download, mnist

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def saved(save, *args, **options):
    """What ``save(file, …)`` writes."""
    stream = io.BytesIO()
    save(stream, *args, **options)
    return stream.getvalue()


def zipped(content, suffix=".gz"):
    return gzip.compress(content, mtime=0) if suffix else content


def head(code, *shape):
    """Header of an IDX file."""
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


def idx_bytes(array):
    values = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return head(CODES[array.dtype.str.lstrip("<>|=")], *array.shape) + values


def npy(array):
    return saved(np.lib.format.write_array, array)


def npy_with_header(text, body=b"", version=b"\x01\x00"):
    """Return a .npy file with this header, whatever it says."""
    text = text.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + body


def npy_claiming(descr, shape, body=b"", **version):
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    return npy_with_header(repr(fields), body, **version)


def known_file(name, plain):
    stored = gzip.compress(plain, mtime=0)
    file = download.KnownFile(
        name,
        len(stored),
        hashlib.sha256(stored).hexdigest(),
        len(plain),
        hashlib.sha256(plain).hexdigest(),
    )
    return file, stored


def tiny_mnist(n_train=12, n_test=4):
    """Known files with random 28×28 images, and their bytes by name."""
    rng = np.random.default_rng(0)
    parts = []
    for file, n in zip(mnist.FILES, (n_train, n_train, n_test, n_test), strict=True):
        shape, top = ((n, 28, 28), 256) if "images" in file.name else ((n,), 10)
        parts.append(known_file(file.name, idx_bytes(rng.integers(0, top, shape, np.uint8))))
    return tuple(file for file, _ in parts), {file.name: stored for file, stored in parts}


@contextlib.contextmanager
def mirror(answer):
    """Serve on 127.0.0.1: ``answer(handler, file_name)``; yields (URL, names asked for)."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            asked.append(name)
            with contextlib.suppress(ConnectionError):
                answer(self, name)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/mnist/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serving(contents, status=200, length=None):
    """Answer with files by name; optionally claim another length than is sent."""

    def answer(handler, name):
        content = contents[name]
        handler.send_response(status)
        handler.send_header("Content-Length", str(length or len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer
