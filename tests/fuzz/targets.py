"""Every target: a name, what takes the octets, where to begin, and the words that mean something there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fuzz import acks, mail, pop3, seeds, smime


@dataclass(frozen=True)
class Target:
    """Takes any octets; an exception that leaves it is a finding.

    :ivar seeds: gives good input, the best first; :ivar words: for mutations to put in.
    """

    name: str
    take: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[bytes, ...] = ()


TARGETS = {
    target.name: target
    for target in (
        Target("replies", pop3.read_replies, seeds.replies, seeds.SERVER),
        Target("answers", pop3.read_answers, seeds.replies, seeds.SERVER),
        Target("session", pop3.hold_session, seeds.sessions, seeds.SERVER),
        Target("head", mail.read_head, seeds.heads, seeds.FIELDS),
        Target("words", mail.read_words, seeds.fields, seeds.FIELDS),
        Target("names", mail.choose_names, seeds.names),
        Target("encodings", mail.decode, seeds.bodies, seeds.ENCODED),
        Target("structure", mail.walk, seeds.mails, seeds.STRUCTURE),
        Target("letter", mail.understand_letter, seeds.mails, seeds.STRUCTURE),
        Target("reports", acks.read_reports, seeds.reports, seeds.REPORT),
        Target("answer", acks.answer, seeds.heads, seeds.FIELDS + seeds.REPORT),
        Target("winmail", mail.read_winmail, seeds.winmails),
        Target("object", smime.open_object, smime.objects),
        Target("protected", smime.open_letter, smime.letters, seeds.STRUCTURE),
        Target("zip", mail.read_zip, seeds.zips, seeds.ZIP),
        Target("uuencoded", mail.read_uuencoded, seeds.uuencoded, seeds.ENCODED),
    )
}
