"""File names that are safe to store, and what the first octets of a file look like.

Strategy: a name is cleaned by what it may contain, not by what it may not do: the last path segment, printable
characters that show what they are, none of the names Windows keeps, a bound in octets with the extension kept.

Invariant: a safe name is never empty, never ``.`` or ``..``, has no separator, control or direction character, is
valid UTF-8 and at most ``limit`` octets long; two files of one mail never get the same name, whatever their case.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata

_UNSAFE = re.compile(r'[<>:"|?*%\x00-\x1f\x7f]')
_PLAIN = re.compile(r"[A-Za-z0-9_(\[][A-Za-z0-9_()\[\],;=+@&#~-]*(?:[ .][A-Za-z0-9_()\[\],;=+@&#~-]+)*")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|clock\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\.|\Z)", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")
_TYPES = mimetypes.MimeTypes()
_OWN_EXTENSIONS = {
    "application/edifact": ".edi",
    "application/edi-x12": ".edi",
    "application/octet-stream": ".bin",
    "application/x-pkcs7-mime": ".p7m",
    "application/pkcs7-mime": ".p7m",
    "image/jpeg": ".jpg",
    "message/global": ".eml",
    "message/rfc822": ".eml",
    "text/plain": ".txt",
    "text/xml": ".xml",
    "application/xml": ".xml",
}

_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\x78\x9f\x3e\x22", "application/vnd.ms-tnef"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-elf"),
    (b"{\\rtf", "application/rtf"),
    (b"<?xml", "application/xml"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
_SEQUENCE = b"0"  # of ASN.1, which CMS begins with, as many a text does
_ANY_MAGIC = (*(magic for magic, _ in _MAGIC), _SEQUENCE)
_CMS = re.compile(
    rb"0(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)\x06"
    rb"(\x09\*\x86H\x86\xf7\r\x01\x07[\x02\x03]|\x0b\*\x86H\x86\xf7\r\x01\x09\x10\x01[\x09\x17])",
    re.DOTALL,
)
_CMS_CONTENT = {
    0x02: "signed-data",
    0x03: "enveloped-data",
    0x09: "compressed-data",
    0x17: "authEnveloped-data",
}
"""The last number of the content type's identifier → ``smime-type`` (RFC 8551 §3.2.2)."""
MAGIC_OCTETS = 19
"""How much of a file :func:`sniff` looks at."""

# What is declared is no contradiction to what is sniffed when it is built on it.
_BUILT_ON = {
    "application/zip": (
        "zip",
        "openxmlformats",
        "opendocument",
        "epub",
        "java-archive",
        "vnd.",
        "jar",
        "docx",
        "xlsx",
    ),
    "application/gzip": ("gzip", "tar", "tgz", "compressed"),
    "application/x-ole-storage": (
        "msword",
        "ms-",
        "ole",
        "vnd.ms",
        "excel",
        "powerpoint",
        "visio",
        "outlook",
        "publisher",
    ),
    "application/vnd.ms-tnef": ("tnef",),
    "application/xml": ("xml",),
    "application/rtf": ("rtf", "msword"),
    "application/vnd.rar": ("rar",),
    "application/x-bzip2": ("bzip", "bz2", "tar"),
    "application/vnd.microsoft.portable-executable": ("msdownload", "exe", "dosexec", "msdos"),
    "image/jpeg": ("jpeg", "jpg"),
    "image/tiff": ("tif",),
    **{f"application/pkcs7-mime; smime-type={kind}": ("pkcs7",) for kind in _CMS_CONTENT.values()},
}


def sniff(first: bytes) -> str | None:
    """The media type the first octets of a file prove, or ``None`` when they prove none."""
    if not first.startswith(_ANY_MAGIC):
        return None
    if cms := _CMS.match(first):
        return f"application/pkcs7-mime; smime-type={_CMS_CONTENT[cms[1][-1]]}"
    for magic, kind in _MAGIC:
        if first.startswith(magic):
            return kind
    return None


def contradicts(declared: str, sniffed: str) -> bool:
    """Whether the declared type cannot be what was sniffed; ``application/octet-stream`` claims nothing."""
    if declared in ("application/octet-stream", "application/octetstream", "application/x-unknown", sniffed):
        return False
    subtype = declared.partition("/")[2]
    words = _BUILT_ON.get(sniffed, (sniffed.partition("/")[2],))
    return not any(word in subtype for word in words)


def _cut(stem: str, extension: str, limit: int) -> str:
    room = max(1, limit - len(extension.encode()))
    return stem.encode()[:room].decode("utf-8", "ignore") + extension


def safe_name(original: str, limit: int) -> str:
    """The part of a partner's file name that is safe to store; ``""`` when nothing is left of it.

    :param limit: octets of UTF-8.
    """
    if len(original) <= limit and _PLAIN.fullmatch(original) and not _RESERVED.match(original):
        return original
    name = original.encode("utf-8", "replace").decode()
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/ .").rpartition("/")[2]
    name = "".join(
        character
        for character in name
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    name = " ".join(_UNSAFE.sub("_", name).split()).strip(". ")
    if not name:
        return ""
    if _RESERVED.match(name):
        name = f"_{name}"
    if len(name.encode()) > limit:
        extension = _EXTENSION.search(name)
        suffix = extension[0] if extension and len(extension[0]) < limit else ""
        name = _cut(name[: len(name) - len(suffix)], suffix, limit).strip(". ")
    return name


def default_name(path: str, content_type: str) -> str:
    """The name of a file that came without one: its place in the mail and the usual extension of its type."""
    extension = _OWN_EXTENSIONS.get(content_type) or _TYPES.guess_extension(content_type) or ".bin"
    return f"part-{path}{extension}"


_COUNTER = len("-9999999")  # more than there can be files in one mail


class Names:
    """Gives out names that differ within one mail, in time linear in their number. :ivar limit: octets of a name."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def take(self, original: str | None, path: str, content_type: str) -> str:
        """A safe name that no other file of this mail has; a second ``a.txt`` becomes ``a-2.txt``."""
        wanted = safe_name(original or "", self.limit) or default_name(path, content_type)[-self.limit :]
        name = wanted
        if wanted.casefold() in self._taken:
            found = _EXTENSION.search(wanted)
            extension = found[0] if found else ""
            stem = _cut(wanted[: len(wanted) - len(extension)], "", self.limit - len(extension) - _COUNTER)
            key = f"{stem}{extension}".casefold()
            while name.casefold() in self._taken:
                self._numbers[key] = number = self._numbers.get(key, 1) + 1
                name = f"{stem}-{number}{extension}"
        self._taken.add(name.casefold())
        return name
