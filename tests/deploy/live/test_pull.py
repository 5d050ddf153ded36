"""`deploy pull`: the pictures are here, whole, before they are away there."""

import io
import shutil

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

import deploy.cli
import deploy.live.pull
from deploy import DeployError
from deploy.live.pull import pull
from edge.card import Camera
from edge.unsure import Kept, Lot, Unsure
from trainer.dataset import read_dataset

FULL = OSError(28, "No space left on device")


def jpeg(seed):
    image = np.random.default_rng(seed).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(image).save(stream, "JPEG")
    return stream.getvalue()


class Ring(Unsure):
    """One that has kept these pictures, of these labels."""

    def __init__(self, *labels):
        super().__init__(50)
        self.pictures = [
            Kept(number, label, 0.7, 1.0, "70%, between leave and enter", 3.0, jpeg(number))
            for number, label in enumerate(labels, 1)
        ]

    def lot(self):
        return Lot(self._ring, list(self.pictures), self.taken)

    def forget(self, ring, until):
        if ring == self._ring:
            self.pictures = [one for one in self.pictures if one.number > until]
        return 0


@pytest.fixture
def ring(service):
    service.kept = Ring("rock", "palm", "rock")
    return service.kept


@pytest.fixture
def to(tmp_path):
    return tmp_path / "pulled"


def tree(folder):
    return sorted(
        "/".join((path.relative_to(folder).parts[0], path.name)) for path in folder.rglob("*.jpg")
    )


def test_they_come_by_guess_and_session_and_are_gone_there(tunnel, ring, to):
    first = [one.jpeg for one in ring.pictures]
    pulled = pull(tunnel, to)
    assert tree(to) == ["palm/0001.jpg", "rock/0001.jpg", "rock/0002.jpg"]
    assert (to / "rock" / pulled.session / "0002.jpg").read_bytes() == first[2]
    assert pulled.labels == {"rock": 2, "palm": 1}
    assert pulled.problem is None
    assert pulled.session.startswith("pi-2")
    assert ring.pictures == []


def test_the_trainer_reads_them_as_one_session_a_label(tunnel, ring, to):
    session = pull(tunnel, to).session
    dataset = read_dataset(to)
    assert dataset.sessions() == {"palm": {session}, "rock": {session}}
    assert dataset.notes == []


def test_how_the_device_takes_pictures_comes_along(tunnel, ring, to):
    ring.taken = Camera(size=(64, 48), white_balance="daylight", horizontal_flip=True)
    pull(tunnel, to)
    taken = read_dataset(to).taken
    assert (taken.white_balance, taken.horizontal_flip) == ("daylight", True)


def test_of_a_device_left_alone_nothing_is_noted(tunnel, ring, to):
    ring.taken = Camera(size=(64, 48))
    pull(tunnel, to)
    assert not list(to.rglob("*.json"))


def test_nothing_hidden_is_left(tunnel, ring, to):
    pull(tunnel, to)
    assert sorted(path.name for path in to.iterdir()) == ["palm", "rock"]


def test_what_came_since_stays_there(tunnel, ring, to, monkeypatch):
    write = deploy.live.pull._write

    def slow(*arguments):
        ring.pictures.append(Kept(4, "palm", 0.7, 1.0, "", 0.0, jpeg(4)))
        return write(*arguments)

    monkeypatch.setattr(deploy.live.pull, "_write", slow)
    pull(tunnel, to)
    assert [one.number for one in ring.pictures] == [4]


@pytest.mark.parametrize(
    "fault",
    [(at, problem) for at in ("_write_file", "_sync") for problem in (FULL, KeyboardInterrupt())],
    ids=str,
)
def test_where_they_cannot_be_written_nothing_half_is_here_and_all_is_there(
    tunnel, ring, to, monkeypatch, fault
):
    at, problem = fault
    calls, do = [], getattr(deploy.live.pull, at)

    def fails_later(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise problem
        do(*arguments)

    (to / "rock" / "mine").mkdir(parents=True)
    monkeypatch.setattr(deploy.live.pull, at, fails_later)
    with pytest.raises(DeployError if isinstance(problem, OSError) else KeyboardInterrupt):
        pull(tunnel, to)
    assert len(ring.pictures) == 3
    assert sorted(path.relative_to(to).as_posix() for path in to.rglob("*")) == [
        "rock",
        "rock/mine",
    ]


def test_where_they_cannot_be_taken_away_the_next_pull_brings_none_twice(tunnel, ring, to, service):
    forget, ring.forget = ring.forget, None  # a mistake there
    pulled = pull(tunnel, to)
    assert "a mistake of ours" in pulled.problem
    ring.forget = forget
    ring.pictures.append(Kept(4, "palm", 0.7, 1.0, "", 0.0, jpeg(4)))
    again = pull(tunnel, to)
    assert again.labels == {"palm": 1}
    assert len(tree(to)) == 4
    assert ring.pictures == []


def test_sessions_of_one_second_do_not_mix(tunnel, ring, to, monkeypatch):
    monkeypatch.setattr(deploy.live.pull.time, "strftime", lambda _: "2026-01-02-030405")
    pull(tunnel, to)
    ring.pictures = [Kept(9, "rock", 0.7, 1.0, "", 0.0, jpeg(9))]
    assert pull(tunnel, to).session == "pi-2026-01-02-030405-2"


@pytest.mark.parametrize("label", ["../../etc", "/etc", "..", "a\\b", ".hidden", "\x1b[2J", ""])
def test_a_label_leads_nowhere_else(tunnel, service, to, label):
    service.kept = Ring(label)
    pull(tunnel, to)
    (path,) = to.rglob("*.jpg")
    assert len(path.relative_to(to).parts) == 3
    assert path.parents[1].name.isprintable()
    assert not path.parents[1].name.startswith(".")


def test_what_is_no_picture_is_refused_whole(tunnel, ring, to):
    ring.pictures[1] = Kept(2, "rock", 0.7, 1.0, "", 0.0, ring.pictures[1].jpeg[:300])
    with pytest.raises(DeployError, match="no whole picture"):
        pull(tunnel, to)
    assert not to.exists()
    assert len(ring.pictures) == 3


def test_an_answer_that_is_none_is_one_line(tunnel, ring, to):
    ring.lot = lambda: {"ring": 5}
    with pytest.raises(DeployError, match="cannot be read"):
        pull(tunnel, to)


@pytest.fixture
def run(sshd, to):
    def run(*hosts):
        words = ["pull", *hosts, "--to", str(to), "-F", str(sshd / "ssh_config")]
        return CliRunner().invoke(deploy.cli.main, words)

    return run


def test_what_to_do_next_is_said(run, ring, to):
    done = run("pi")
    assert done.exit_code == 0
    first, then = done.stdout.splitlines()
    assert first.startswith("pi: 2 rock, 1 palm; session pi-")
    assert "cp -r" in then


def test_a_host_that_keeps_none_is_told_how(run, service):
    done = run("pi")
    assert done.exit_code == 1
    assert done.stderr == (
        "deploy: pi: it keeps no pictures; [keep] in its edge.toml: unsure = 50\n"
    )


def test_nothing_to_bring_is_no_error(run, service):
    service.kept = Unsure(50)
    done = run("pi")
    assert (done.exit_code, done.stdout) == (0, "pi: nothing new that it was unsure about\n")


def test_one_host_that_is_off_does_not_stop_the_others(run, ring, to):
    done = run("off", "pi")
    assert done.exit_code == 1
    assert done.stderr.startswith("deploy: off: ")
    assert len(tree(to)) == 3


def test_a_folder_that_cannot_be_is_one_line(run, ring, to):
    to.parent.mkdir(exist_ok=True)
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    (to / "rock").write_text("a file")
    done = run("pi")
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
    assert len(ring.pictures) == 3
