"""S/MIME on sending: what is built for partners goes as their entries say.

Strategy: everybody who gets the mail is looked up; what one of them wants, all get, for it is one mail.

Invariant: a mail that must be encrypted is encrypted for everybody who gets it, or not sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.outgoing import Protected
from airflow_pop3_gateway.gateway.signing import keyring_of
from airflow_pop3_gateway.mail.compose import Entity
from airflow_pop3_gateway.partners import Smime
from airflow_pop3_gateway.smime import Keyring, protect
from airflow_pop3_gateway.smime import entity as mime
from airflow_pop3_gateway.smime.keys import PartnerKeys
from airflow_pop3_gateway.smime.protecting import RECEIPT_OPTIONS


@dataclass(frozen=True)
class Protection:
    """What is done to a mail for certain recipients. :ivar receipt: a signed receipt is asked for."""

    keyring: Keyring
    partners: tuple[PartnerKeys, ...]
    receipt: bool
    at: datetime
    limits: Limits

    def __call__(self, entity: Entity) -> Protected:
        """Protect what was built.

        :raises ConfigurationError: it is too large to be protected, or a certificate has ended.
        """
        if entity.length > self.limits.smime_bytes:  # before it is read
            raise ConfigurationError(
                f"What is to be protected has {entity.length} octets; "
                f"limits.smime_bytes is {self.limits.smime_bytes}.",
                field="limits",
            )
        protected = protect(b"".join(entity.octets()), self.keyring, self.partners, self.at)
        read = mime.Entity(protected.entity)
        fields = tuple((name.decode().title(), value.decode()) for name, value in read.head.fields)
        options = (("Disposition-Notification-Options", RECEIPT_OPTIONS),) if self.receipt else ()
        mic = protected.mic if self.receipt else None
        return Protected(Entity(fields, lambda: (read.body,), len(read.body)), mic, options)


def protection_for(
    smime: Smime, recipients: Iterable[str], at: datetime, limits: Limits = Limits()
) -> Protection | None:
    """What is done to a mail for these recipients; ``None``: nothing, for none of them is a partner who wants it.

    :param at: now: a certificate that has ended is not used.
    :raises ConfigurationError: the mail must be encrypted, and somebody who gets it is no partner.
    """
    keyring = keyring_of(smime)
    found = [(address, keyring.partner(address)) for address in recipients]
    partners = tuple(keys for _, keys in found if keys is not None)
    wanted = [keys.partner for keys in partners]
    if not any(partner.sign or partner.encrypt or partner.request_receipt for partner in wanted):
        return None
    strangers = [address for address, keys in found if keys is None]
    if strangers and any(partner.encrypt for partner in wanted):
        raise ConfigurationError(
            f"The mail must be encrypted, and smime_partners does not name {', '.join(strangers)}.",
            field="smime_partners",
        )
    receipt = any(partner.request_receipt for partner in wanted)
    return Protection(keyring, partners, receipt, at, limits)
