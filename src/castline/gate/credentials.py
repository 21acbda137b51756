"""The keys of a local stack: made at random, kept in its state folder, valid for this stack only.

The file has the form of the AWS tools' own credentials file, so that ``AWS_SHARED_CREDENTIALS_FILE`` may name it.
"""

from __future__ import annotations

import configparser
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from castline.errors import LocalStackError
from castline.gate.private import open_private

_FILE = "credentials"
_PROFILE = "default"
_ACCESS, _SECRET = "aws_access_key_id", "aws_secret_access_key"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key and its secret, which no ``repr`` shows."""

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def random(cls) -> Credentials:
        # ministack treats an access key of twelve digits as an account number; the prefix prevents that. Hexadecimal,
        # because a secret that begins with a dash would be an option on a command line.
        return cls(f"CASTLINE{secrets.token_hex(6).upper()}", secrets.token_hex(20))

    @property
    def environment(self) -> dict[str, str]:
        """The two variables that every AWS tool reads."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys whose signatures the gate accepts.

    Attributes:
        user: for commands, tools and the functions: data and invocations, no code and no configuration.
        deployer: for the deploy step; it exists in the memory of two processes and nowhere else.
    """

    user: Credentials
    deployer: Credentials

    def find(self, access_key: str) -> Credentials | None:
        return next((each for each in (self.user, self.deployer) if each.access_key == access_key), None)


def read_credentials(state_dir: Path) -> Credentials:
    """The user's keys of the stack in a state folder.

    Raises:
        LocalStackError: there are no keys, or the file is damaged.
    """
    path = state_dir / _FILE
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text())
        return Credentials(parser[_PROFILE][_ACCESS], parser[_PROFILE][_SECRET])
    except (OSError, ValueError, KeyError, configparser.Error) as error:
        raise LocalStackError(f"no keys in {path}: delete the file and start the stack again") from error


def ensure_credentials(state_dir: Path) -> Credentials:
    """As ``read_credentials``, but created if there are none. They stay the same until the file is deleted.

    Raises:
        LocalStackError: the file is damaged.
    """
    path = state_dir / _FILE
    if path.exists():
        path.chmod(0o600)
        return read_credentials(state_dir)
    made = Credentials.random()
    draft = path.with_suffix(".tmp")
    with open_private(draft, os.O_TRUNC) as file:
        file.write(f"[{_PROFILE}]\n{_ACCESS} = {made.access_key}\n{_SECRET} = {made.secret_key}\n".encode())
    draft.replace(path)
    return made
