"""Ed25519 keys in files, signatures, and their check. The private key never leaves its file. Source: RFC 8032.

A private key is PKCS #8 in PEM, readable by its owner only (0600); a file that others may read is refused. A public key
is told as 64 hex digits.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from schemas.evidence import Signature

HEX_KEY = re.compile(r"[0-9a-f]{64}")


class KeyRefused(Exception):
    """A key file that is missing, that others may read, that holds no Ed25519 key, or that is there already."""


def create_key(file: Path) -> str:
    """Writes a new private key with mode 0600; its public key. Raises KeyRefused if the file is there already."""
    file.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyRefused(
            f"{file} is there already; a key is never overwritten, evidence signed by it may be out"
        ) from None
    with os.fdopen(handle, "wb") as out:
        out.write(text)
    return public_text(key)


def load_key(file: Path) -> Ed25519PrivateKey:
    """The private key of a file. Raises KeyRefused."""
    if not file.exists():
        raise KeyRefused(f"{file}: no signing key; `tally keys create` makes one, TALLY_SIGNING_KEY names another file")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise KeyRefused(f"{file} may be read by others (mode {mode:04o}); chmod 600 it, or make a new key")
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as fault:
        raise KeyRefused(f"{file} holds no private key in PEM: {fault}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused(f"{file} holds a key of another kind than Ed25519")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """The public key as 64 hex digits."""
    return key.public_key().public_bytes_raw().hex()


def sign(key: Ed25519PrivateKey, content: bytes) -> Signature:
    """The signature of some bytes: the same bytes and key give the same signature."""
    return Signature(key=public_text(key), value=key.sign(content).hex())


def read_public_key(text: str) -> str:
    """A public key given as 64 hex digits, or as a file that holds them. Raises KeyRefused."""
    found = text.strip()
    if not HEX_KEY.fullmatch(found) and Path(found).is_file():
        found = Path(found).read_text(encoding="utf-8").strip()
    if not HEX_KEY.fullmatch(found):
        raise KeyRefused(f"{text}: must be a public key of 64 hex digits, or a file that holds one (`tally keys show`)")
    return found


def signed_by(signature: Signature, content: bytes, public_key: str) -> bool:
    """Whether a signature of some bytes is right, and by this key."""
    if signature.key != public_key or not re.fullmatch(r"[0-9a-f]{128}", signature.value):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature.value), content)
    except InvalidSignature:
        return False
    return True
