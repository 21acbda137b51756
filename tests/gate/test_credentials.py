"""The stack's keys: random, kept, and readable by their owner only."""

from __future__ import annotations

import stat
from pathlib import Path

import boto3
import pytest

from castline.errors import LocalStackError, SettingsError
from castline.gate.credentials import Credentials, Keyring, ensure_credentials, read_credentials
from castline.gate.private import open_private, private_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_found_again(tmp_path: Path) -> None:
    made = ensure_credentials(tmp_path)
    assert ensure_credentials(tmp_path) == read_credentials(tmp_path) == made
    assert mode(tmp_path / "credentials") == 0o600
    (tmp_path / "credentials").chmod(0o644)
    ensure_credentials(tmp_path)
    assert mode(tmp_path / "credentials") == 0o600


def test_every_stack_has_its_own_keys(tmp_path: Path) -> None:
    others = [Credentials.random() for _ in range(50)]
    assert len({each.secret_key for each in others} | {each.access_key for each in others}) == 100
    assert all(each.secret_key.isalnum() for each in others), "a leading dash would be an option"
    # ministack treats twelve digits as an account.
    assert not any(each.access_key.isdigit() for each in others)


def test_aws_tools_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ensure_credentials(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    found = boto3.Session().get_credentials()
    assert (found.access_key, found.secret_key) == (made.access_key, made.secret_key)


@pytest.mark.parametrize("content", [None, "", "[default]\n", "nonsense", "[default]\naws_access_key_id = a\n", "\xff"])
def test_missing_keys_are_reported_with_the_remedy(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "credentials").write_bytes(content.encode("latin-1"))
    with pytest.raises(LocalStackError, match="delete the file and start the stack again"):
        read_credentials(tmp_path)


def test_the_secret_is_not_shown() -> None:
    keyring = Keyring(Credentials("a", "hush"), Credentials("b", "hush"))
    assert "hush" not in f"{keyring!r} {keyring}"


def test_files_and_folders_belong_to_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert mode(private_folder(folder)) == 0o700
    private_folder(folder / "a" / "b")
    assert {mode(folder / "a"), mode(folder / "a" / "b")} == {0o700}
    file = folder / "log"
    file.write_bytes(b"1")
    file.chmod(0o666)
    with open_private(file) as log:
        log.write(b"2")
    assert (mode(file), file.read_bytes()) == (0o600, b"12")


def test_existing_files_keep_their_mode(tmp_path: Path) -> None:
    """``--library /etc/passwd``, run as root, once made that file unreadable for everybody else."""
    videos = tmp_path / "videos"
    videos.mkdir()
    videos.chmod(0o755)
    (videos / "talk.mp4").write_bytes(b"x")
    assert mode(private_folder(videos)) == 0o755
    (videos / "talk.mp4").chmod(0o644)
    with pytest.raises(SettingsError):
        private_folder(videos / "talk.mp4")
    assert mode(videos / "talk.mp4") == 0o644
