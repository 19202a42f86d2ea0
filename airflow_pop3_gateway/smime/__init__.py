"""S/MIME (RFC 8551): what protects a mail is taken off or put on. Octets in, results out; no store, no file."""

from airflow_pop3_gateway.smime.keys import Keyring
from airflow_pop3_gateway.smime.opening import Opened, is_protected, objection, open_mail
from airflow_pop3_gateway.smime.protecting import Protected, protect, sign_entity

__all__ = [
    "Keyring",
    "Opened",
    "Protected",
    "is_protected",
    "objection",
    "open_mail",
    "protect",
    "sign_entity",
]
