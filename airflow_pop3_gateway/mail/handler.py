"""What the parser tells becomes what the mail is: what each part is for, where its octets go, and the verdict.

Strategy: what a part is for is decided when it starts (``classify.ROLES``), what the mail is when it has ended
(``classify.RULES``). The only file of a mail is written as it arrives but published when the verdict stands; where
several files are allowed, each is published as it ends.

Invariant: a content error is a result, never an exception; a part that ended is accounted for, whatever becomes of the
mail; nothing stays published of a mail that is not taken. At most five files are open at a time: an attachment, two
message texts too long for memory, what was signed and its signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded
from airflow_pop3_gateway.mail import classify
from airflow_pop3_gateway.mail.account import Account
from airflow_pop3_gateway.mail.classify import Rule, Shape, role_of
from airflow_pop3_gateway.mail.encodings import Identity, decoder_for
from airflow_pop3_gateway.mail.evidence import Evidence
from airflow_pop3_gateway.mail.files import File, Files, OpenFile
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.names import safe_name
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.mail.text import MessageText
from airflow_pop3_gateway.mail.understanding import Captured, Policy, Understanding
from airflow_pop3_gateway.mail.unpack import Kept, looks_like_tnef
from airflow_pop3_gateway.mail.zips import Zips, looks_like_zip
from airflow_pop3_gateway.records import Defect, Leaf, Reason, StoredFile

MOST_DEFECTS = 100
"""Defects that are written down; a mail that has more is not better described by more."""


_NONE_YET = Policy()


def _alternative_above(part: Part) -> Part | None:
    found, above = None, part.parent
    while above is not None:
        found, above = (above if above.content_type == "multipart/alternative" else found), above.parent
    return found


class Extraction:
    """The parser's handler: one for each mail."""

    def __init__(self, choose: Callable[[Head], Policy], open_file: OpenFile) -> None:
        self._choose = choose
        self._open_file = open_file
        self.head: Head | None = None
        self.policy = _NONE_YET
        self.shape = Shape()
        self.accounts: list[Account] = []  # of parts that have ended, in the order they began once all have
        self.captured: list[Captured] = []
        self.defects: list[Defect] = []
        self.whole = False
        self._open: dict[Part, Account] = {}
        self._held: File | None = None  # the only file, not yet published
        self._text: Account | None = None
        self._carrier: Part | None = None
        self._started = 0
        self._kept = self._captured = 0  # octets, over all parts

    # -- what the parser tells ----------------------------------------------------------------------------------

    def begin(self, head: Head) -> Limits | None:
        """Choose the Application; a whole mail that is no report needs no parser."""
        self.policy = policy = self._choose(head)
        self.files = Files(self._open_file, policy.limits.name_bytes)
        self.evidence = Evidence(self.files)
        self.zips = Zips(policy.limits)
        self.head = head
        self.shape.several = policy.multiple_attachments == "extract"
        self.whole = not policy.extract_file and head.content_type.value != "multipart/report"
        return None if self.whole else policy.limits

    def start(self, part: Part) -> None:
        """Decide what the part is for."""
        self._look_at_structure(part)
        role = role_of(part)
        if role == "file" and self.shape.has_notification and part.kind == "message":
            role = "report"  # the returned mail of a report that does not call itself one
        identity = part.kind == "message" or part.content_type.startswith("multipart/")
        decoder = Identity("binary") if identity else decoder_for(part.head.encoding)
        self._started += 1
        self._open[part] = account = Account(part, role, decoder, self._started)
        if part.content_type in classify.PGP_ENCRYPTED and role in ("file", "structure"):
            self.shape.pgp_encrypted = True
        if role == "file":
            self._start_file(account)
        elif role == "text":
            self._start_text(account)
        elif role == "signature":
            self.evidence.signature(account)
        elif role == "absent":
            self.shape.absent = self.shape.absent or part.content_type
        elif role == "report" or (role == "enclosed" and self._of_a_report(part)):
            self._start_report(account)
        elif part.content_type == "multipart/alternative" and part.parent is None:
            account.text = MessageText(part, self.policy.application, self.files)

    def _of_a_report(self, part: Part) -> bool:
        """Of an enclosed mail: what a report returns, or a report in it."""
        above = part.parent
        returned = above is not None and above.kind == "message" and self._open[above].role == "report"
        return returned or classify.within(part, "multipart/report")

    def _start_report(self, account: Account) -> None:
        part, parent = account.part, account.part.parent
        if account.role == "report" and part.content_type.startswith("message/"):
            account.why = "notification"
        if part.content_type in classify.NOTIFICATIONS and self.head is not None:
            self.shape.has_notification |= account.role == "report" or self.head.from_system
        if parent is not None and parent.kind == "message":
            block = b"".join(b"%b: %b\r\n" % (name, value.rstrip()) for name, value in part.head.fields)
            self._capture(parent, block)
        elif part.kind == "leaf" and part.content_type in classify.CAPTURED:
            account.capture = bytearray()

    def _look_at_structure(self, part: Part) -> None:
        shape, parent = self.shape, part.parent
        if parent is None:
            shape.content_type = shape.carried = part.content_type
            shape.smime_type = classify.smime_type_of(part)
        elif parent is self._carrier and parent.children == 1:
            shape.carried = part.content_type
            shape.smime_type = classify.smime_type_of(part)
        if part.content_type == "multipart/signed" and shape.carried == "multipart/signed":
            self._carrier = part
        if part.content_type.startswith("multipart/"):
            if part.kind == "leaf":
                self.defect(Defect("no-boundary", part.path))
        else:
            shape.parts += 1

    def _start_file(self, account: Account) -> None:
        part, shape = account.part, self.shape
        account.why = "attachment"
        if part.parent is None and not part.content_type.startswith("text/"):
            return  # by the table this is RECOVER, whatever it is
        shape.files += 1
        shape.marked = part.parent is None
        if shape.files > 1 and not shape.several:
            if self._held is not None:
                self._held.discard()
                self._held = None
            return
        name = part.name
        account.file = self.files.open(name, name, part.content_type, part.path)
        if looks_like_tnef(part):
            account.kept = Kept(part, text=False)
        elif self.policy.unzip and looks_like_zip(part):
            account.zip = self.zips.begin()

    def _start_text(self, account: Account) -> None:
        part, before = account.part, self._text
        self.shape.has_text = True
        if part.content_type == "text/plain":
            account.kept = Kept(part, text=True)
        if before is not None:
            alternative = _alternative_above(part)
            if alternative is None or alternative is not _alternative_above(before.part):
                return
            if part.content_type != "text/plain" or before.part.content_type == "text/plain":
                account.outcome, account.why = "alternative", ""
                return
            before.outcome, before.why = "alternative", ""
            if before.text is not None:
                before.text.discard()
        account.text = MessageText(part, self.policy.application, self.files)
        account.outcome, account.why = "user_message", ""
        self._text = account

    def data(self, part: Part, piece: memoryview) -> None:
        """Octets of a part."""
        account = self._open[part]
        account.feed(piece)
        if account.capture is not None and account.size > self._room_for_report:
            self._keep_capture(account)
        if account.kept is not None:
            self._bound_kept(account)

    def enclosed(self, part: Part, piece: bytes) -> None:
        """Octets of an enclosed mail, or of what is signed."""
        if part.kind == "message":
            self._open[part].feed(piece)
        else:
            self.evidence.content(part, piece)

    def end(self, part: Part) -> None:
        """Account for the part."""
        account = self._open.pop(part)
        account.forget_head()
        if part.kind == "multipart":
            if part.children:
                return
            if account.text is not None:
                self._text, account.outcome, account.why = account, "user_message", "no-parts"
                self.defect(Defect("no-parts", part.path))
        for code in sorted(account.finish()):
            self.defect(Defect(code, part.path))
        if self.shape.smime_type and account.role == "file" and account.sniffed:
            self.shape.smime_type = (
                account.sniffed.partition("smime-type=")[2].lower() or self.shape.smime_type
            )
        self._keep_capture(account)
        if account.kept is not None:
            self._bound_kept(account)
            self._kept += len(account.kept.octets) if account.kept else 0
        if account.file is not None and account.role == "file":
            if self.shape.several:
                account.key = account.file.commit()
            else:
                self._held = account.file
        self.accounts.append(account)

    def _keep_capture(self, account: Account) -> None:
        if account.capture is None:
            return
        self._capture(account.part, account.capture)
        account.capture = None

    @property
    def _room_for_report(self) -> int:
        return self.policy.limits.report_bytes - self._captured

    def _capture(self, part: Part, octets: bytes | bytearray) -> None:
        if len(octets) > self._room_for_report:
            self.defect(Defect("report-too-long", part.path))
        start = bytes(octets[: self._room_for_report])
        self._captured += len(start)
        self.captured.append(Captured(part.content_type, start, part.path))

    def _bound_kept(self, account: Account) -> None:
        if account.kept and self._kept + len(account.kept.octets) > self.policy.limits.unpack_bytes:
            account.kept = None
            self.defect(Defect("unpack-limit", account.part.path))

    def defect(self, defect: Defect) -> None:
        """Note what is wrong."""
        if len(self.defects) < MOST_DEFECTS:
            self.defects.append(defect)

    def discard(self) -> None:
        """Forget every file that is still open."""
        if self.head is not None:
            self.files.discard()
            self.zips.close()

    # -- the verdict --------------------------------------------------------------------------------------------

    def conclude(self, octets: int, exceeded: LimitExceeded | None) -> Understanding:
        """The mail has ended, or a bound was passed."""
        head = self.head or Head([])
        self.accounts.sort(key=lambda account: account.number)
        if self.whole and exceeded is None:
            return self._whole(head, octets)
        rule = classify.rule_of(self.shape)
        if exceeded is None and rule.type == "XFER" and not rule.reason:
            exceeded = self._look_into_zips()
        rule = classify.LIMIT if exceeded else rule
        reason = Reason(exceeded.limit, exceeded.message) if exceeded else None
        if rule.reason:
            reason = Reason(rule.reason, f"{self.shape.content_type}: rule {rule.id}")
        message: str | None = None
        message_file: StoredFile | None = None
        files: tuple[StoredFile, ...] = ()
        unpacked: tuple[StoredFile, ...] = ()
        evidence: tuple[StoredFile, ...] = ()
        if reason is not None:
            self._take_back()
        else:
            self._publish(rule)
            message, message_file = self._message(rule)
            files = tuple([stored for account in self.accounts if (stored := account.stored()) is not None])
            if rule.type == "MSG" and message_file is not None:
                files = (message_file,)
            unpacked = tuple(self._unpack()) if rule.type != "EERP" else ()
            evidence = self.evidence.publish()
        if self.captured or rule.type == "EERP":
            self._check_report(rule)
        name = {"recover": "RECOVER", "of-the-file": files[0].name if files else ""}
        return Understanding(
            head=head,
            type=rule.type,
            file_name="RECOVER" if reason else name.get(rule.file_name, self.policy.application),
            rule=rule.id,
            octets=octets,
            leaves=tuple([account.leaf() for account in self.accounts]),
            files=files,
            unpacked=unpacked,
            evidence=evidence,
            user_message=message,
            user_message_file=message_file.path if message_file else None,
            noted=tuple(self.defects),
            rejected=reason,
            captured=tuple(self.captured) if rule.type == "EERP" else (),
        )

    def _whole(self, head: Head, octets: int) -> Understanding:
        rule, kind = classify.WHOLE_MAIL, head.content_type.value
        leaf = Leaf("", kind, "", None, head.encoding, octets, octets, "", "file", rule.id)
        name = safe_name(f"{self.policy.application}.eml", self.policy.limits.name_bytes)
        return Understanding(head, rule.type, name, rule.id, octets, (leaf,))

    def _take_back(self) -> None:
        for account in self.accounts:
            account.key = None
            if account.outcome != "refused":
                account.outcome = "within_recover"

    def _publish(self, rule: Rule) -> None:
        for account in self.accounts:
            if account.role != "file":
                continue
            if account.file is not None and account.key is None and rule.type == "XFER":
                account.key = account.file.commit()
            if account.outcome == "file" and account.key is None:
                account.outcome = "ignored"

    def _look_into_zips(self) -> LimitExceeded | None:
        """Before anything is published. :returns: the bound that was passed."""
        for account in self.accounts:
            if account.zip is not None:
                try:
                    defect = account.zip.look()
                except LimitExceeded as exceeded:
                    return exceeded
                if defect:
                    self.defect(Defect(defect, account.part.path))
        return None

    def _unpack(self) -> Iterator[StoredFile]:
        """Publish the files within parts."""
        for account in self.accounts:
            if account.role == "file" and account.key is None:
                continue
            part = account.part
            found: Iterable[tuple[str, Iterable[bytes | memoryview]]] = ()
            if account.zip is not None:
                found = account.zip.files()
            elif account.kept is not None:
                kept, defect = account.kept.files()
                found = ((name, [octets]) for name, octets in kept)
                if defect:
                    self.defect(Defect(defect, part.path))
            for name, pieces in found:
                file = self.files.open(name, name, "application/octet-stream", part.path)
                size, digest = 0, hashlib.sha256()
                for piece in pieces:
                    file.write(bytes(piece))
                    digest.update(piece)
                    size += len(piece)
                yield file.stored(file.commit(), size, digest.hexdigest())

    def _message(self, rule: Rule) -> tuple[str | None, StoredFile | None]:
        account = self._text
        if account is None or account.text is None:
            return None, None
        if rule.type == "EERP":
            account.text.discard()
            account.outcome = "report"
            return None, None
        message, stored = account.text.finish(self.policy.user_message_limit, rule.type == "XFER")
        account.key = stored.path if stored else None
        for code in sorted(account.text.defects):
            self.defect(Defect(code, account.part.path))
        return message, stored

    def _check_report(self, rule: Rule) -> None:
        kinds = {captured.content_type for captured in self.captured}
        if rule.type != "EERP":
            kinds = {account.part.content_type for account in self.accounts if account.role == "report"}
        if kinds.isdisjoint(classify.NOTIFICATIONS):
            if "message/feedback-report" in kinds:
                self.defect(Defect("feedback-report"))
            elif rule.type == "EERP":
                self.defect(Defect("report-without-notification"))
