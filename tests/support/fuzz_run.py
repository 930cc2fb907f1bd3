"""Runs readers over damaged files in a process of their own, which may crash, and says what failed.

From the root: ``python tests/support/fuzz_run.py [READER|all] [HOW MANY] [SEED]``. A failure is
told by its reader, seed and number: ``… READER 1 SEED --from NUMBER --keep FOLDER`` does it again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

SECONDS = 10  # that one file may take
MEMORY = 768 * 2**20  # bytes beyond what the process has before
MOST_FAILURES = 20


class Worker:
    """A process that reads damaged files; started again where it has crashed."""

    def __init__(self):
        self._process = None

    def start(self):
        self._number = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-u", __file__, "--worker", str(self._number.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[self._number.fileno()],
            text=True,
        )

    def run(self, reader, seed, start, stop):
        """Return counts of outcomes, and failures, of files by their numbers."""
        counts, failures = Counter(), []
        while start < stop and len(failures) < MOST_FAILURES:
            if self._process is None:
                self.start()
            json.dump([reader, seed, start, stop], self._process.stdin)
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            if answer:
                found = json.loads(answer)
                counts.update(found["counts"])
                failures += found["failures"]
                break
            code = self._process.wait()
            at = int(os.pread(self._number.fileno(), 20, 0) or start)
            ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            ended = f"longer than {SECONDS} s" if ended == "SIGALRM" else ended
            failures.append({"number": at, "what": ended})
            counts["done"] += at + 1 - start
            start = at + 1
            self.close()
        return counts, failures

    def close(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process, _ = None, self._number.close()


def work(number_file):
    """Answer jobs, a line each, until there are no more."""
    # Only now, in the process that may crash.
    from fuzz_readers import READERS

    known, answers = {}, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print
    in_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        for line in sys.stdin:
            name, seed, start, stop = json.loads(line)
            if name not in known:
                (here := Path(folder) / name.replace(" ", "-")).mkdir()
                known[name] = Run(name, READERS[name], here)
            found = known[name].numbers(seed, start, stop, number_file)
            json.dump(found, answers)
            answers.write("\n")
            answers.flush()


class Run:
    """A reader, its samples, and what they hold."""

    def __init__(self, name, reader, folder):
        self.name, self.reader, self.folder = name, reader, folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (before := folder / "made").mkdir()
            self.samples = reader.samples(before)
            self.right = [self._right(i) for i in range(len(self.samples))]

    def _right(self, i):
        """Write a sample, and return what is read of it."""
        sample = self.samples[i]
        if self.reader.text:
            return self._outcome(sample)
        for file, content in sample.files.items():
            path = self.folder / str(i) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return values(self.reader.read(self.folder / str(i) / sample.main))

    def _outcome(self, text):
        from gpulr.errors import GpulrError

        with contextlib.suppress(GpulrError):
            return values(self.reader.read(text))

    def numbers(self, seed, start, stop, number_file):
        counts, failures = Counter(), []
        with limited():
            for number in range(start, stop):
                os.pwrite(number_file, b"%-20d" % number, 0)
                signal.setitimer(signal.ITIMER_REAL, SECONDS)
                began = time.perf_counter()
                outcome, failure = self.one(seed, number)
                took = time.perf_counter() - began
                counts.update([outcome, "done"])
                if failure:
                    failures.append({"number": number, "what": failure})
                    if len(failures) >= MOST_FAILURES:
                        break
                counts["ms"] = max(counts["ms"], round(1000 * took))
            signal.setitimer(signal.ITIMER_REAL, 0)
        return {"counts": counts, "failures": failures}

    def one(self, seed, number):
        """Damage one file, and read it: return the outcome, and what is wrong with it."""
        from fuzz import damaged_text
        from fuzz_readers import damages
        from gpulr.errors import GpulrError

        rng = random.Random(f"{self.name} {seed} {number}")
        i = rng.randrange(len(self.samples))
        sample, raw, path = self.samples[i], False, None
        if self.reader.text:
            given = damaged_text(sample, rng)
        else:
            file = rng.choice(sample.to_damage)
            damage = rng.choice(damages(file))
            raw = damage is damages(file)[0]
            path, given = self.folder / str(i) / file, self.folder / str(i) / sample.main
            content = damage(sample.files[file], rng)
            path.unlink()  # never write into what may still be mapped
            path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter(
                    "error", RuntimeWarning
                )  # of NumPy's, at what was let through
                found = values(self.reader.read(given))
        except (GpulrError, MemoryError) as error:  # that of Blosc's alone; see there
            if lacks_memory(error):
                return "failed", f"memory: {first_lines(error)}"
            return "refused", None
        except BaseException as error:
            return "failed", first_lines(error)
        finally:
            if path is not None:
                path.unlink()
                path.write_bytes(sample.files[file])
        if raw and sample.certain and found != self.right[i]:
            return "failed", "what was read is not what was in the file"
        return "read", None


def lacks_memory(error):
    """Whether an error, or one of its causes, is that memory did not suffice."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        # Python's parser says so of brackets in brackets, and Blosc asks for as many bytes as a
        # chunk says it has, up to 2 GiB (SECURITY.md).
        last = Path(frames[-1].filename).as_posix() if frames else ""
        parsed = last.endswith(("/ast.py", "numcodecs/blosc.pyx"))
        if not parsed and (isinstance(error, MemoryError) or "Unable to allocate" in str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def first_lines(error):
    where = [
        f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)
    ]
    return f"{type(error).__name__}: {str(error)[:200]!a} at {' '.join(where[-6:])}"


def values(found):
    """Return what stands in arrays, so that it can be compared; they may be within others."""
    if isinstance(found, tuple | list):
        return [values(each) for each in found]
    if hasattr(found, "toarray"):
        return [values(np.asarray(each)) for each in (found.data, found.indices, found.indptr)]
    array = np.asarray(found)
    return [str(array.dtype), array.shape, array.tobytes()]


@contextlib.contextmanager
def limited():
    """Limit the memory of this process to what it has and ``MEMORY`` more, where that can be."""
    if sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", nargs="?", default="all")
    parser.add_argument("count", nargs="?", type=int, default=1_000_000)
    parser.add_argument("seed", nargs="?", default=str(random.SystemRandom().getrandbits(32)))
    parser.add_argument("--from", dest="start", type=int, default=0)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(arguments.worker)
        return 0
    from fuzz_readers import READERS

    wanted = [name for name in READERS if arguments.reader in (name, "all")]
    if not wanted:
        parser.error(f"no reader {arguments.reader!r}; there are: {', '.join(READERS)}")
    failed = False
    for name in wanted:
        if absent := READERS[name].absent:
            print(f"{name}: left out, as {', '.join(absent)} is missing", flush=True)
            continue
        failed |= report(name, arguments)
    return int(failed)


def report(name, arguments):
    """Run one reader on all processors, and print what came of it."""
    began, step = time.perf_counter(), 1000
    last = arguments.start + arguments.count
    pool = ThreadPoolExecutor(arguments.processes)
    idle = [Worker() for _ in range(arguments.processes)]

    def run(start):
        worker = idle.pop()
        try:
            return worker.run(name, arguments.seed, start, min(last, start + step))
        finally:
            idle.append(worker)

    counts, failures = Counter(), []
    with pool:
        for found, failed in pool.map(run, range(arguments.start, last, step)):
            slowest = max(counts["ms"], found.pop("ms", 0))
            counts.update(found)
            counts["ms"] = slowest
            for failure in failed:
                failures.append(failure)
                print(
                    f"  {name} {arguments.seed} {failure['number']}: {failure['what']}", flush=True
                )
    for worker in idle:
        worker.close()
    seconds = time.perf_counter() - began
    print(
        f"{name}, seed {arguments.seed}: {dict(counts)}, {len(failures)} failures, {seconds:.1f} s",
        flush=True,
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
