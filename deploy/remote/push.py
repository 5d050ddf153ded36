"""What runs on the host, in the host's own python3: standard library only, never imported there.

`deploy.ssh` sends this file over stdin and has it carry out one step, whose arguments come as JSON
and whose answer goes back as one line of JSON. A push is two of them: `look` changes nothing;
`apply` does all the rest in this one process, which carries on, or goes back, by itself if the
laptop or the connection is gone. Below these two are plain functions on folders, so they are tested
without any SSH.

What lies in the root folder on the host (`/opt/handwave`):

    venv/                       Python with numpy and onnxruntime, made once by `deploy setup`
    releases/<id>/              one folder a release, never changed once it has its name, but for
                                its modules' bytecode: made here, anew before each push starts it
    releases/.incoming/         an upload under way, or what was left of one
    current -> releases/<id>    the last release that got ready here: what the service starts
    previous -> releases/<id>   what ran before it: started where the current one has spoiled
    history                     one line a release: the last pushed last, before it what ran then
    lock                        held while a push is under way

A release on trial is named by a file in memory (`/run/handwave-trial/service.env`), so that a Pi
whose power is cut during a trial boots what it ran before.

Every push waits for its imports, on the slowest Pi too: dataclasses, typing, tarfile and shutil
together would double that time.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from io import BufferedIOBase
    from typing import Any, BinaryIO

MANIFEST = "MANIFEST"
"""In each release: the SHA-256 of every other file, as `sha256sum --check` reads it."""
SIGNATURE = "MANIFEST.sig"
"""The signature beside it, if any: made by `ssh-keygen -Y sign -n handwave`."""
SIGNERS = "/etc/handwave/allowed_signers"
"""Where this file exists, only bundles signed by one of these are taken (`man ssh-keygen`)."""
BYTECODE = "__pycache__"
"""Beside the modules of a release: made here of what was verified, and in no manifest."""
KEEP = 5
"""Releases kept, including the current one."""
STALL = 60
"""Seconds without a byte after which an upload is given up: the lock must not stay for ever."""
CHECK_SECONDS = 100
"""How long `edge check` may take; the unit's own limit comes first."""
RESTART_SECONDS = 120
"""How long the service may take to be ready; the unit's own limits (90 s to start) come first."""
JOURNAL_LINES = 15


class RemoteError(Exception):
    """A step that cannot be done; the message travels back to the laptop."""


class Place:
    """Where handwave lives here: `deploy.target.Target`, as sent in JSON."""

    def __init__(self, root: str, unit: str, check_unit: str, trial: str) -> None:
        self.root, self.unit, self.check_unit, self.trial = root, unit, check_unit, trial

    @property
    def releases(self) -> Path:
        """The folder of the releases."""
        return Path(self.root) / "releases"

    @property
    def incoming(self) -> Path:
        """The folder of an upload: nothing looks at it until it is checked and has its name."""
        return self.releases / ".incoming"

    @property
    def current(self) -> str | None:
        """The release that the service starts, if it is there."""
        link = Path(self.root) / "current"
        return link.readlink().name if link.is_symlink() and link.is_dir() else None

    @property
    def on_trial(self) -> Path:
        """The file that has the service start another release than the current one."""
        return Path(self.trial) / "service.env"


# --- what a host is asked before anything is planned ---------------------------------------------


def look(place: Place) -> dict[str, object]:
    """Look at the host; change nothing. On stdin: the manifest of a bundle that may go there."""
    manifest = sys.stdin.buffer.read().decode()
    base = Path(place.root)
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    intact = _is_intact(place.releases / digest[:12], digest)
    wanted = set() if intact else set(read_manifest(manifest).values())
    return {
        "user": _user(),
        "python": list(sys.version_info[:2]),
        "root": base.is_dir(),
        "writable": _is_ours(place),
        "read_only": _read_only(place),
        "venv": os.access(base / "venv" / "bin" / "python", os.X_OK),
        "current": place.current,
        "history": history(place),
        "trial": _trial(place),
        "trial_writable": os.access(place.trial, os.W_OK | os.X_OK),
        "busy": _busy(base / "lock"),
        "intact": intact,
        "missing": sorted(wanted - known(place, wanted).keys()),
        "signers": Path(SIGNERS).exists(),
        **_systemd(place),
    }


def _is_ours(place: Place) -> bool:
    """Return whether this user may write where a push does; another user may have pushed first."""
    base = Path(place.root)
    made = [path for path in (base / "lock", place.releases) if path.exists()]
    return all(os.access(path, os.W_OK) for path in (base, *made)) and os.access(base, os.X_OK)


def _read_only(place: Place) -> str | None:
    """Return the first folder a push writes to that is on a read-only disk, if any."""
    for folder in (place.root, place.trial):
        with suppress(OSError):
            if os.statvfs(folder).f_flag & os.ST_RDONLY:
                return folder
    return None


def _user() -> str:
    """Return who is logged in; a number where the account has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _trial(place: Place) -> str | None:
    """Return the release left on trial by a push that was cut off."""
    with suppress(OSError):
        found = re.search(r"^RELEASE=.*/([^/\n]+)$", place.on_trial.read_text(), re.MULTILINE)
        if found and found[1] != place.current:
            return found[1]
    return None


def _is_intact(folder: Path, digest: str) -> bool:
    """Return whether a release is there and intact, and signed where it must be."""
    try:
        verify(folder, digest)
        check_signature(folder)
    except (RemoteError, OSError):
        return False
    return True


def known(place: Place, wanted: set[str]) -> dict[str, Path]:
    """Return where the wanted contents (SHA-256) lie in releases already, sound ones only."""
    found: dict[str, Path] = {}
    for manifest in sorted(place.releases.glob(f"[!.]*/{MANIFEST}")):
        if len(found) == len(wanted):
            break
        with suppress(OSError, RemoteError, UnicodeDecodeError):
            for name, digest in read_manifest(manifest.read_text()).items():
                if digest in wanted and digest not in found:
                    path = manifest.parent / name
                    if path.is_file() and _sha256(path) == digest:
                        found[digest] = path
    return found


def _systemd(place: Place) -> dict[str, object]:
    """Return what systemd knows of the two units, and what this user may not do with them."""
    names = "--property=LoadState,ActiveState,ExecStart"
    shown = _output(["systemctl", "show", names, place.unit, place.check_unit])
    if shown is None:
        empty = dict.fromkeys(("load", "check_load", "active", "exec_start"), "")
        return {"systemctl": False, **empty, "denied": []}
    blocks = (shown or "\n\n").split("\n\n")
    service, check = (
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in (*blocks, "", "")[:2]
    )
    needs = [["restart", place.unit], ["stop", place.unit], ["start", place.check_unit]]
    may = ["sudo", "-n", "-l", "systemctl"]
    root = os.getuid() == 0
    return {
        "systemctl": True,
        "load": service.get("LoadState", ""),
        "check_load": check.get("LoadState", ""),
        "active": service.get("ActiveState", ""),
        "exec_start": service.get("ExecStart", ""),
        "denied": [
            " ".join(["systemctl", *need])
            for need in needs
            if not root and not _output([*may, *need])
        ],
    }


def _output(command: list[str]) -> str | None:
    """Return what a command prints: nothing if it fails, None if there is no such program."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else ""


# --- what a push, or going back, does ------------------------------------------------------------


class Job:
    """Everything the steps need to know.

    Attributes:
        place: where.
        release: what the release is called: the first digits of its digest.
        digest: SHA-256 of the manifest, in hex, or the first digits of it.
        limit: bytes that an upload may hold.
        who: whose push it is: user@laptop.
        before: the release that was current.
        incoming: whether the release is being uploaded: it has no name yet.
        goes_back: whether it rolls back to a release that is there.
    """

    def __init__(
        self, place: Place, *, release: str, digest: str, limit: int, who: str,
        before: str | None, incoming: bool, goes_back: bool = False,
    ) -> None:  # fmt: skip
        self.place, self.release, self.digest = place, release, digest
        self.limit, self.who, self.before, self.incoming = limit, who, before, incoming
        self.goes_back = goes_back

    @property
    def folder(self) -> Path:
        """Where the release's files are until it is kept."""
        return self.place.incoming if self.incoming else self.place.releases / self.release


def apply(place: Place, steps: list[str], **order: Any) -> dict[str, str]:
    """Do the steps of a plan in order, reporting each; stdin is the upload's tar.

    Args:
        place: where.
        steps: names of `WORK`.
        **order: `release`, `digest`, `limit`, `who` and `goes_back` of the `Job`.

    Returns:
        Nothing, or which step `failed`, `why`, and what the host runs `now`.
    """
    for name in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(name, signal.SIG_IGN)  # the laptop may go; what has begun is finished
    with locked(Path(place.root) / "lock", order["who"]):
        job = Job(place, before=place.current, incoming="upload" in steps, **order)
        for step in steps:
            emit(step=step)
            try:
                WORK[step](job)
            except (RemoteError, OSError, subprocess.TimeoutExpired) as error:
                undo = go_back if step in {"restart", "activate"} else discard
                return {"failed": step, "why": _why(error, place), "now": undo(job)}
    return {}


def _why(error: Exception, place: Place) -> str:
    """Return what went wrong, in words."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        # A write error does not name the file: report the fullest of the places.
        full = min((place.root, str(place.releases), place.trial), key=_free)
        return f"{full}: its disk is full ({_free(full):.0f} MB are free); make room"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error).replace(f"{place.incoming}/", "")  # where nothing is any more


def _free(folder: str) -> float:
    """Return how many megabytes may still be written there; endless where there is no folder."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return float("inf")
    return disk.f_bavail * disk.f_frsize / 1e6


def emit(**event: str) -> None:
    """Tell the laptop, if it still listens."""
    with suppress(OSError):
        print(json.dumps(event), flush=True)


@contextmanager
def locked(path: Path, who: str) -> Iterator[None]:
    """Allow one push at a time; the kernel frees the lock however we end."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RemoteError(f"{_holder(path)} is pushing to it; try again when done") from error
        file.truncate(0)
        file.write(f"{who} {_now()}\n")
        file.flush()
        yield


def _busy(path: Path) -> str | None:
    """Return who holds the lock, if somebody does."""
    with suppress(FileNotFoundError, PermissionError), path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _holder(path)
    return None


def _holder(path: Path) -> str:
    who, _, since = path.read_text(errors="replace")[:200].strip().partition(" ")
    return f"{who or 'somebody'} (since {since or 'now'})"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def upload(job: Job) -> None:
    """Unpack the tar on stdin into a new folder, and add what other releases hold already."""
    import shutil

    job.place.releases.mkdir(exist_ok=True)
    discard(job)  # left by a push that was cut off; nobody else's, as we hold the lock
    job.folder.mkdir()
    unpack(sys.stdin.buffer, job.folder, job.limit)
    wanted = read_manifest((job.folder / MANIFEST).read_text())
    has = known(job.place, set(wanted.values()))
    for name, digest in wanted.items():
        path = job.folder / name
        if not path.exists() and digest in has:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(has[digest], path)
    # Releases that never got ready; the last was kept in case it was pushed again.
    stay = {job.before, _trial(job.place), job.folder.name}
    stay |= {row["release"] for row in history(job.place)}
    for folder in job.place.releases.iterdir():
        if folder.name not in stay:
            _remove(folder)


def unpack(stream: BufferedIOBase | BinaryIO, folder: Path, limit: int) -> None:
    """Write each member as a new plain file; `tarfile.extractall` trusts more than we need to.

    Raises:
        RemoteError: it is no whole tar; a member is no plain file, leaves the folder, or all are
            more than `limit` bytes; or nothing comes for `STALL` seconds.
    """
    import tarfile

    signal.signal(signal.SIGALRM, _stalled)
    try:
        with tarfile.open(fileobj=Awaited(stream), mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                limit -= member.size
                if content is None or not is_safe(member.name) or limit < 0:
                    raise RemoteError(f"refused: {member.name!r}, {member.size} bytes")
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    while piece := content.read(1 << 16):
                        file.write(piece)
    except tarfile.TarError as problem:
        raise RemoteError(str(problem)) from problem
    finally:
        signal.alarm(0)


class Awaited:
    """A stream that fails when nothing arrives for `STALL` seconds."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return what has come, at most so many bytes; nothing at the end."""
        signal.alarm(STALL)
        come: bytes = self._stream.read1(size)
        return come


def _stalled(*_: object) -> None:
    raise RemoteError(f"nothing arrived for {STALL} s")


def verified(job: Job) -> None:
    """Check the files on the host's disk against the manifest, and the manifest's signature."""
    verify(job.folder, job.digest)
    check_signature(job.folder)


def keep_bytecode(base: Path) -> None:
    """Compile a release's modules, so that no start has to; what was there goes.

    The service may not write here. Where there is no room, it starts as well, only later.
    """
    import compileall

    for folder in list(base.rglob(BYTECODE)):
        _remove(folder)
        if folder.exists():
            raise RemoteError(f"{folder}: cannot be removed; whose is it?")
    compileall.compile_dir(base / "edge", quiet=2)


def check(job: Job) -> None:
    """Let the bundle's own `edge check` prove it here, as the service's user and in its limits."""
    keep_bytecode(job.folder)
    _name(Path(job.place.trial) / "check.env", job.folder)
    begun = f"--since=@{time.time():.6f}"
    why = _systemctl("start", job.place.check_unit, CHECK_SECONDS)
    said = _journal(f"_SYSTEMD_UNIT={job.place.check_unit}", begun, tries=20 if why else 2)
    if why:
        raise RemoteError(f"edge check: {(said or [why])[-1].removeprefix('edge: ')}")
    for line in said:
        if line.startswith("edge: "):
            emit(note=line.removeprefix("edge: ").replace(f"{job.folder}/", ""))
    if job.incoming:  # proved: it gets its name
        os.sync()  # the files are on the disk before a name promises that they are
        place = job.place.releases / job.release
        if place.exists():  # a damaged copy, or one that nobody signed; it may be what runs
            _exchange(job.folder, place)
            aside = job.place.releases / f".damaged-{time.time_ns()}"
            job.folder.rename(aside)
            _remove(aside)
        else:
            job.folder.rename(place)


def _exchange(one: Path, other: Path) -> None:
    """Exchange two folders' names atomically.

    Source: renameat2(2), RENAME_EXCHANGE.
    """
    import ctypes

    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))


def restart(job: Job) -> None:
    """Let the service start the release, on trial, and wait until it has decided a frame."""
    release = job.place.releases / job.release
    if job.before == job.release:  # a restart alone: no check came before
        keep_bytecode(release)
    _name(job.place.on_trial, release)
    why = _systemctl("restart", job.place.unit, RESTART_SECONDS)
    if why:
        said = _journal(f"_SYSTEMD_INVOCATION_ID={_invocation(job.place.unit)}", tries=20)
        for line in said:
            emit(journal=line)
        ours = [line for line in said if re.match("edge: (?!watching |ended)", line)]
        last = ours[-1].removeprefix("edge: ") if ours else why
        raise RemoteError(f"{job.release} did not get ready: {last}")
    if job.before == job.release:  # no trial: it was current before
        job.place.on_trial.unlink(missing_ok=True)


def _name(path: Path, release: Path) -> None:
    """Write the file that tells a unit which release to start."""
    write(path, f"RELEASE={release}\nPYTHONPATH={release}\nHANDWAVE_BEFORE=\n")


def activate(job: Job) -> None:
    """Keep it: one rename decides what the service starts from now on, at the next boot too."""
    if job.before and job.before != job.release:
        _point(job.place, "previous", job.before)
    _point(job.place, "current", job.release)
    os.sync()
    job.place.on_trial.unlink(missing_ok=True)
    with suppress(OSError):  # it runs, and will at the next boot: a missing note is no failure
        remember(job)


def _point(place: Place, name: str, release: str) -> None:
    """Let a link beside the releases lead to one of them, in one rename."""
    fresh = Path(place.root) / f".{name}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(f"releases/{release}")
    fresh.replace(Path(place.root) / name)


def discard(job: Job) -> str:
    """Remove an upload that will not become a release; return what runs."""
    _remove(job.place.incoming)
    return f"it still runs {job.before}" if job.before else "it runs nothing yet"


def _remove(folder: Path) -> None:
    """Remove a folder and everything in it, as far as possible; it may be missing."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def go_back(job: Job) -> str:
    """End the trial, and run what ran before; return how that went."""
    job.place.on_trial.unlink(missing_ok=True)
    if job.before == job.release:
        return "it goes on trying"
    if job.before is None:
        _systemctl("stop", job.place.unit, RESTART_SECONDS)
        return "stopped it"
    why = _systemctl("restart", job.place.unit, RESTART_SECONDS)
    if why:
        return f"went back to {job.before}, which does not get ready either ({why})"
    return f"went back to {job.before}, which runs again"


def _systemctl(verb: str, unit: str, seconds: int) -> str:
    """Run `systemctl VERB UNIT`; return why it failed, or nothing."""
    sudo = [] if os.getuid() == 0 else ["sudo", "-n"]
    command = [*sudo, "systemctl", verb, unit]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done in {seconds} s"
    if done.returncode == 0:
        return ""
    complaints = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    # systemctl's own reason; around it, sudo may grumble and systemctl tells where to read more
    reasons = [line for line in complaints if line.startswith("Job for ")]
    return (reasons or complaints or [f"exit code {done.returncode}"])[-1].rstrip(".")


def _invocation(unit: str) -> str:
    """Return what systemd calls the unit's last run."""
    show = ["systemctl", "show", "--property=InvocationID", "--value", unit]
    return (_output(show) or "").strip()


def _journal(*which: str, tries: int) -> list[str]:
    """Return the last lines that some processes wrote; none where we may not read the journal.

    The journal lags a moment: it is read up to `tries` times, a twentieth of a second apart.
    """
    command = ["journalctl", *which, f"--lines={JOURNAL_LINES}", "--no-pager", "--output=cat"]
    for number in range(tries):
        if number:
            time.sleep(0.05)
        try:
            told = _output([*command, "--quiet"]) or ""
        except (OSError, subprocess.TimeoutExpired):
            break
        if lines := [line for line in told.splitlines() if line.strip()]:
            return lines
    return []


WORK: dict[str, Callable[[Job], None]] = {
    "upload": upload, "verify": verified, "check": check, "restart": restart, "activate": activate,
}  # fmt: skip


# --- releases: folders that say what they must hold ----------------------------------------------


def is_safe(name: str) -> bool:
    """Return whether `name` is a plain relative path that stays inside its folder."""
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name and str(path) == name
    return plain and name != "." and not path.is_absolute() and ".." not in path.parts


def read_manifest(text: str) -> dict[str, str]:
    """Return name -> SHA-256 in hex.

    Raises:
        RemoteError: a line is not a digest, two spaces and a safe name.
    """
    digests: dict[str, str] = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}", digest) or not is_safe(name):
            raise RemoteError(f"{MANIFEST}: cannot read the line {line!r}")
        digests[name] = digest
    return digests


def verify(base: Path, digest: str) -> None:
    """Check that a folder holds exactly the files of the manifest with this SHA-256.

    Bytecode, of which no manifest knows, is left out: `keep_bytecode` makes it anew.

    Args:
        base: the folder.
        digest: the manifest's, in hex; its first 12 digits are enough where nobody knows more.

    Raises:
        RemoteError: a file is missing, damaged, or too many.
    """
    if not (base / MANIFEST).is_file():
        raise RemoteError(f"{base}: {MANIFEST} did not arrive")
    manifest = (base / MANIFEST).read_bytes()
    if not hashlib.sha256(manifest).hexdigest().startswith(digest):
        raise RemoteError(f"{base / MANIFEST}: damaged")
    digests = read_manifest(manifest.decode())
    files = [path for path in base.rglob("*") if path.is_symlink() or not path.is_dir()]
    sent = [path for path in files if path.parent.name != BYTECODE]
    found = {path.relative_to(base).as_posix() for path in sent} - {SIGNATURE}
    for name in sorted(found ^ {*digests, MANIFEST}):
        raise RemoteError(f"{base / name}: {'nobody sent it' if name in found else 'missing'}")
    for name, wanted in digests.items():
        path = base / name
        if path.is_symlink() or _sha256(path) != wanted:
            raise RemoteError(f"{path}: damaged")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_signature(base: Path) -> None:
    """Check that one of this host's signers signed the manifest, where it has such a list.

    Raises:
        RemoteError: nobody on the list did.
    """
    if not Path(SIGNERS).exists():
        return
    signature = base / SIGNATURE
    if not signature.is_file() or signature.is_symlink():
        raise RemoteError("it takes signed bundles only: `deploy push --sign KEY`")
    about = ["-f", SIGNERS, "-s", str(signature)]
    names = (_output(["ssh-keygen", "-Y", "find-principals", *about]) or "").split("\n")
    words = ["ssh-keygen", "-Y", "verify", *about, "-n", "handwave", "-I", names[0]]
    with (base / MANIFEST).open("rb") as manifest:
        done = subprocess.run(words, stdin=manifest, capture_output=True, check=False, timeout=30)
    if not names[0] or done.returncode != 0:
        raise RemoteError(f"it is signed by nobody whom {SIGNERS} names")


def write(path: Path, text: str) -> None:
    """Write a small file, all of it or nothing."""
    fresh = path.with_name(f".{path.name}")
    try:
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise


def history(place: Place) -> list[dict[str, str]]:
    """Return the releases that are here, the last pushed last: `release`, `time`, `who`."""
    lines = []
    with suppress(OSError):
        lines = (Path(place.root) / "history").read_text(errors="replace").splitlines()
    rows = [
        dict(zip(("time", "release", "who"), line.split(" ", 2), strict=False)) for line in lines
    ]
    return [row for row in rows if "who" in row and (place.releases / row["release"]).is_dir()]


def remember(job: Job) -> None:
    """Note a push, and remove what is too old.

    The release that ran until now becomes the last but one, so that going back leads to it, however
    often it was pushed before. Going back does not reorder: twice leads to the one before that.
    """
    rows = {row["release"]: row for row in history(job.place)}
    if not (job.goes_back and job.release in rows):
        if job.before and job.before != job.release:
            # A push whose note found no room on the disk is not in the history.
            unknown = {"time": _now(), "release": job.before, "who": "-"}
            rows[job.before] = rows.pop(job.before, unknown)
        rows.pop(job.release, None)
        rows[job.release] = {"time": _now(), "release": job.release, "who": job.who}
    must = {job.release, job.before} & rows.keys()
    others = [name for name in reversed(rows) if name not in must]
    stay = must | set(others[: KEEP - len(must)])
    lines = [f"{row['time']} {name} {row['who']}\n" for name, row in rows.items() if name in stay]
    write(Path(job.place.root) / "history", "".join(lines))
    for folder in job.place.releases.iterdir():
        if folder.name not in stay:
            _remove(folder)


def main(step: str, arguments: str) -> int:
    """Do one step; print its answer as JSON, or on stderr the one line why it failed."""
    os.umask(0o022)  # the service's user must be able to read what this user writes
    given: dict[str, Any] = json.loads(arguments)
    given["place"] = Place(**given["place"])
    steps: dict[str, Callable[..., Mapping[str, object]]] = {"look": look, "apply": apply}
    try:
        answer = steps[step](**given)
    except (RemoteError, OSError, subprocess.TimeoutExpired) as error:
        print(_why(error, given["place"]), file=sys.stderr)
        return 1
    with suppress(OSError):
        print(json.dumps(answer), flush=True)
    return int("failed" in answer)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[2:]))
