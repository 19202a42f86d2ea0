"""The visiting card that Airflow reads at every start: what this provider brings, as plain data.

Strategy: :data:`CONNECTION_FIELDS` says once which options a connection of type ``pop3`` has. Airflow draws the form
from it, :mod:`airflow_pop3_gateway.hooks.connection` reads a connection by it, and the reference page lists it.

Invariant: imports nothing; every field is one of :class:`~airflow_pop3_gateway.config.RemoteSite` or of its parts, with
the same words and the same default (a test compares them).
"""

from __future__ import annotations

from typing import Any


def _field(label: str, kind: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "security": _field(
        "Security",
        "string",
        "tls: encrypted from the first octet (port 995). starttls: a plain connection that is encrypted before the "
        "login (port 110). plain: never encrypted, passwords travel readable (port 110).",
        enum=["tls", "starttls", "plain"],
        default="tls",
    ),
    "auth": _field(
        "Authentication",
        "string",
        "auto takes the best way the server offers; on a plain connection it never sends a readable password "
        "unless security says plain.",
        enum=[
            "auto",
            "basic",
            "apop",
            "plain",
            "login",
            "cram-md5",
            "scram-sha-1",
            "scram-sha-256",
            "scram-sha-1-plus",
            "scram-sha-256-plus",
            "xoauth2",
            "oauthbearer",
        ],
        default="auto",
    ),
    "access_token": _field(
        "Access token", "string", "OAuth: a token that lasts, for xoauth2 and oauthbearer.", format="password"
    ),
    "tenant_id": _field(
        "Tenant id",
        "string",
        "OAuth with Microsoft 365: the directory; gives the token URL, and a scope where there is no refresh token.",
    ),
    "token_url": _field(
        "Token URL",
        "string",
        "OAuth with others: where tokens come from, as https://oauth2.googleapis.com/token.",
    ),
    "client_id": _field("Client id", "string", "OAuth: the application that asks for tokens."),
    "client_secret": _field("Client secret", "string", "OAuth: its secret.", format="password"),
    "refresh_token": _field(
        "Refresh token",
        "string",
        "OAuth: what an owner of the mailbox granted; without it the application asks in its own name.",
        format="password",
    ),
    "scope": _field("Scope", "string", "OAuth: what tokens are asked for; words separated by spaces."),
    "alternates": _field(
        "Alternates",
        "string",
        "Up to three further addresses, host or host:port, separated by commas; tried in this order when the main "
        "address cannot be reached.",
    ),
    "server_hostname": _field(
        "Server name", "string", "Name the certificate must carry, when it is not the host."
    ),
    "ca_file": _field("CA file", "string", "PEM file of the authorities to trust instead of the system's."),
    "fingerprint": _field(
        "Certificate fingerprint",
        "string",
        "SHA-256 of the server's certificate, hexadecimal; trusts exactly this certificate.",
    ),
    "client_certificate": _field("Client certificate", "string", "PEM file we present to the server."),
    "client_key": _field("Client key", "string", "PEM file with its key, when it is a file of its own."),
    "retention": _field(
        "Mails on the server",
        "string",
        "delete: delete what is safely stored. keep: leave everything, fetch each mail once.",
        enum=["delete", "keep"],
        default="delete",
    ),
    "retention_days": _field(
        "Delete after days", "number", "With delete: only this many days after it was stored.", minimum=0
    ),
    "max_messages": _field("Mails per session", "integer", "The rest is left for the next run.", minimum=1),
    "max_bytes": _field("Octets per session", "integer", "The rest is left for the next run.", minimum=1),
    "max_message_bytes": _field(
        "Octets per mail", "integer", "Larger mails stay on the server and are counted.", minimum=1
    ),
    "poll_interval": _field(
        "Poll interval",
        "number",
        "Seconds between two looks of a watcher: how soon it rings when mail has come. "
        "Schedules of DAGs are their own.",
        default=60.0,
        minimum=1,
    ),
    "polling_windows": _field(
        "Polling windows",
        "string",
        "When a session may begin, as mon-fri 06:00-20:00; sat 08:00-12:00 @ Europe/Paris. Empty: always.",
    ),
    "application": _field(
        "Application",
        "string",
        "Where files go when no rule chooses another: files/<application>/.",
        default="MAIL",
    ),
    "extract_file": _field(
        "Extract file",
        "boolean",
        "Extract attachments and messages; switched off, the whole mail is kept as one file.",
        default=True,
    ),
    "multiple_attachments": _field(
        "Several attachments",
        "string",
        "recover: keep the whole mail as RECOVER. extract: store each attachment as a file.",
        enum=["recover", "extract"],
        default="recover",
    ),
    "unzip": _field(
        "Unzip",
        "boolean",
        "Take out what is in attached zips as well, within the limits; the zip itself is kept.",
        default=False,
    ),
    "user_message_limit": _field(
        "User message limit",
        "integer",
        "Text up to this many characters stands in the record, longer text becomes a file.",
        minimum=0,
        default=254,
    ),
    "subject_delimiter": _field(
        "Subject delimiter", "string", "What begins parameters in a subject.", default="//XFB"
    ),
    "error_mail_disposal": _field(
        "Mails that cannot be understood",
        "string",
        "recover: keep the whole mail as RECOVER. delete: record the error, no file. leave: record the error and leave "
        "the mail on the server; the good mails are then deleted one session later.",
        enum=["leave", "delete", "recover"],
        default="recover",
    ),
    "acknowledgment_option": _field(
        "Acknowledgments",
        "string",
        "ack_by_monitor: answer every request by itself. ack_by_user: wait for a person. not_to_ack: never answer.",
        enum=["ack_by_monitor", "ack_by_user", "not_to_ack"],
        default="ack_by_monitor",
    ),
    "acknowledge_after": _field(
        "Acknowledge after",
        "string",
        "With ack_by_monitor. stored: when the mail is stored and recorded. processed: when a task says how processing "
        "it ended.",
        enum=["stored", "processed"],
        default="stored",
    ),
    "acknowledge_partners": _field(
        "Receipts by itself for",
        "string",
        "Addresses that receipts may go to by themselves, as orders@partner.example, *@bank.example; others wait for "
        "a person. Empty: all.",
    ),
    "trusted_partners": _field(
        "Receipts without doubt for",
        "string",
        "Addresses that receipts may go to whatever the return path says, in the same form. Empty: none.",
    ),
    "receipts_per_hour": _field(
        "Receipts per hour",
        "integer",
        "To one address; further ones wait for the next hour.",
        minimum=1,
        default=1000,
    ),
    "receipt_retry_count_max": _field(
        "Receipt retries",
        "integer",
        "Further attempts when the relay says later; the delay doubles from one minute to four hours.",
        minimum=0,
        default=30,
    ),
    "receipt_sender": _field(
        "Receipt sender",
        "string",
        "Envelope sender of receipts, for a relay that refuses the null reverse-path. Empty: the null reverse-path.",
    ),
    "smtp_conn_id": _field(
        "SMTP connection", "string", "Connection of type smtp that receipts leave by.", default="smtp_default"
    ),
    "mail_address": _field(
        "Our address",
        "string",
        "The address mails come to here; receipts are given for it. Default: the login where it is an address, else "
        "the only address in To.",
    ),
    "host_name": _field(
        "Our host name", "string", "What our identifiers end in; default: the domain of our address."
    ),
    "smime_certificate": _field(
        "S/MIME certificate",
        "string",
        "PEM file: ours, that partners encrypt for and that goes with our signature.",
    ),
    "smime_key": _field("S/MIME key", "string", "PEM file with its key, when it is a file of its own."),
    "smime_passphrase": _field("S/MIME passphrase", "string", "What opens the key.", format="password"),
    "smime_partners": _field(
        "S/MIME partners",
        "object",
        'Who must or may protect mail, and whose is protected: {"orders@partner.example": {"certificate": '
        '"/path/partner.pem", "require_signed": true, "require_encrypted": true, "sign": true, "encrypt": true, '
        '"request_receipt": true}}. An address may have * and ?.',
    ),
    "connect_timeout": _field(
        "Connect timeout", "number", "Seconds, looking up the name included.", default=30.0, minimum=0.001
    ),
    "handshake_timeout": _field("TLS handshake timeout", "number", "Seconds.", default=30.0, minimum=0.001),
    "reply_timeout": _field(
        "Reply timeout", "number", "Seconds without an octet.", default=120.0, minimum=0.001
    ),
    "session_timeout": _field("Session timeout", "number", "Seconds in all.", default=3600.0, minimum=0.001),
    "retry_count_max": _field(
        "Connection retries", "integer", "Further attempts on all addresses.", default=2, minimum=0
    ),
    "retry_delay_min": _field(
        "First retry delay", "number", "Seconds; doubles with each retry.", default=10.0, minimum=0
    ),
    "retry_delay_max": _field(
        "Longest retry delay", "number", "Seconds; doubling stops here.", default=600.0, minimum=0
    ),
    "pipelining": _field(
        "Pipelining",
        "string",
        "Send many commands ahead of their answers. auto: when the server says it can.",
        enum=["auto", "always", "never"],
        default="auto",
    ),
    "limits": _field(
        "Limits",
        "object",
        'Bounds on one mail by name, for example {"depth": 20}; past one it is quarantined.',
    ),
}


def get_provider_info() -> dict[str, Any]:
    """The provider's description, valid against Airflow's ``provider_info.schema.json``."""
    name = "POP3 Gateway"
    rooms = {
        "hooks": ["pop3", "smtp"],
        "operators": [
            "retrieve",
            "classify",
            "hand_on",
            "acknowledge",
            "answer",
            "ask",
            "purge",
            "send",
            "track",
        ],
        "sensors": ["acknowledgment", "mail"],
        "triggers": ["acknowledgment", "mail", "mailbox"],
    }
    return {
        "package-name": "airflow-pop3-gateway",
        "name": name,
        "description": "POP3 mailboxes as a trustworthy data source: poll, retrieve, classify, extract, acknowledge.",
        "integrations": [
            {
                "integration-name": name,
                "external-doc-url": "https://www.rfc-editor.org/rfc/rfc1939",
                "tags": ["protocol"],
            }
        ],
        **{
            room: [
                {
                    "integration-name": name,
                    "python-modules": [f"airflow_pop3_gateway.{room}.{module}" for module in modules],
                }
            ]
            for room, modules in rooms.items()
        },
        "connection-types": [
            {
                "connection-type": "pop3",
                "hook-class-name": "airflow_pop3_gateway.hooks.pop3.Pop3Hook",
                "hook-name": "POP3",
                "conn-fields": CONNECTION_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "extra"],
                    "relabeling": {"login": "Account"},
                    "placeholders": {
                        "host": "pop.example.com",
                        "port": "995 for tls, 110 otherwise",
                        "login": "orders@example.com",
                        "alternates": "pop2.example.com, pop3.example.com:1995",
                    },
                },
            }
        ],
        "extra-links": ["airflow_pop3_gateway.hooks.links.TransfersLink"],
        "asset-uris": [
            {
                "schemes": ["pop3", "pop3-application"],
                "handler": "airflow_pop3_gateway.uris.sanitize_uri",
                "factory": "airflow_pop3_gateway.hooks.lineage.create_asset",
                "to_openlineage_converter": "airflow_pop3_gateway.hooks.lineage.to_openlineage",
            }
        ],
        "cli": ["airflow_pop3_gateway.cli.airflow_commands"],
        "config": {
            "pop3_gateway": {
                "description": "Where the gateway keeps mails, files, records and receipts.",
                "options": {
                    "base_path": {
                        "description": (
                            "Base path of everything durable, as a URL that ObjectStoragePath understands: a folder "
                            "(file:///data/gateway) or S3 (s3://connection_id@bucket/prefix). All workers must see "
                            "the same. Empty: the folder pop3_gateway below AIRFLOW_HOME, for one machine."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/gateway",
                        "default": None,
                    },
                    "watcher_sessions": {
                        "description": (
                            "How many POP3 sessions the watchers of one triggerer may have open at the same time, a "
                            "quarter of them at one server, so that a slow one keeps nobody else waiting."
                        ),
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": "20",
                        "default": "100",
                    },
                },
            }
        },
    }
