"""Who may use the service: tokens ``user:secret``, kept as salted hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, bindparam
from sqlalchemy import select as rows
from sqlmodel import Session, SQLModel, col, select

from castline.errors import ServiceError
from castline.service.tables import Token

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
# Read at every request: as a row, that takes a fifth of the time it takes as an object.
_ROW = rows(SQLModel.metadata.tables[str(Token.__tablename__)]).where(col(Token.user) == bindparam("user"))


@dataclass(frozen=True, slots=True)
class User:
    """Attributes:
    admin: sees everybody's jobs, and forgets people.
    edits: may correct what the library shows; administrators may, too.
    reads: may look at the library, whatever ``pages_for`` says.
    """

    name: str
    admin: bool = False
    edits: bool = False
    reads: bool = False

    @property
    def editor(self) -> bool:
        return self.admin or self.edits


class Tokens:
    """The table of tokens.

    A secret made here has 256 bits, so one round of SHA-256 is enough; an imported one is no stronger than it was.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, user: str, *, admin: bool = False, edits: bool = False, secret: str | None = None) -> str:
        """Make a new token for a user; the old one is no longer valid.

        Returns:
            ``user:secret``; it cannot be shown again.

        Raises:
            ServiceError: the name has characters other than letters, digits and ``._@-``.
        """
        if not _USER.fullmatch(user):
            raise ServiceError(f"{user[:60]!r} is not a user name: letters, digits and ._@- only")
        secret = secret or secrets.token_urlsafe(32)
        salt = secrets.token_hex(16)
        row = Token(user=user, salt=salt, hash=_hash(salt, secret), admin=admin, edits=edits, created=time.time())
        with Session(self._engine) as session:
            session.merge(row)
            session.commit()
        return f"{user}:{secret}"

    def revoke(self, user: str) -> bool:
        """Remove a user's token; returns whether there was one."""
        with Session(self._engine) as session:
            row = session.get(Token, user)
            if row:
                session.delete(row)
                session.commit()
            return row is not None

    def list(self) -> list[Token]:
        with Session(self._engine) as session:
            return list(session.exec(select(Token).order_by(Token.user)))

    def import_file(self, file: Path) -> int:
        """Import a users file with lines ``y|n:user:token`` (``y``: administrator).

        Returns:
            How many there were.

        Raises:
            ServiceError: a line has another form; then nothing is imported.
            OSError: the file cannot be read.
        """
        found = []
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            admin, _, rest = line.strip().partition(":")
            user, _, secret = rest.partition(":")
            if admin not in ("y", "n") or not _USER.fullmatch(user) or not secret:
                raise ServiceError(f"{file}, line {number}: not y:user:token or n:user:token")
            found.append((user, secret, admin == "y"))
        for user, secret, admin_ in found:
            self.add(user, admin=admin_, secret=secret)
        return len(found)

    def known(self, user: str) -> tuple[User | None, str]:
        """The user who has a token, and a mark that changes with it; otherwise None and an empty mark."""
        with Session(self._engine) as session:
            row = session.get(Token, user) if _USER.fullmatch(user) else None
        return (User(row.user, row.admin, row.edits), _hash(row.salt, row.hash)[:16]) if row else (None, "")

    def user_of(self, token: str) -> User | None:
        """The user who has a token; an unknown user takes as long as a wrong secret."""
        name, _, secret = token.partition(":")
        with self._engine.connect() as connection:
            row = connection.execute(_ROW, {"user": name}).first() if _USER.fullmatch(name) else None
        salt, expected = (row.salt, row.hash) if row else ("0" * 32, "0" * 64)
        same = hmac.compare_digest(_hash(salt, secret), expected)
        return User(row.user, row.admin, row.edits) if row and same else None


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}:{secret}".encode(errors="surrogateescape")).hexdigest()
