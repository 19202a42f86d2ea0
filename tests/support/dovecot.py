"""Debian's Dovecot, POP3 only: one port in the clear that offers STLS, one with TLS from the first octet."""

from __future__ import annotations

import grp
import os
import shutil

from support.programs import Maildirs, Program, account, free_ports

from airflow_pop3_gateway.testing.certificates import Certificates

CONFIGURATION = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
auth_mechanisms = plain login apop cram-md5 scram-sha-1 scram-sha-256 {token_mechanisms}
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 0
pop3_lock_session = yes
pop3_no_flag_updates = yes
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users/%u
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""
WITHOUT_ROOT = """
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
service anvil {{
  chroot =
}}
service pop3-login {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
"""Every process of it is one account's, and none is locked up."""


BY_TOKEN = """
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/tokens.conf
}}
"""
ABOUT_TOKENS = """
introspection_mode = post
introspection_url = {introspection_url}
force_introspection = yes
active_attribute = active
active_value = true
username_attribute = username
tls_ca_cert_file = {ca}
"""


class Dovecot(Program, Maildirs):
    """Logins exist once they were added; their mail lies in Maildirs that others may fill.

    :param introspection_url: where to ask about tokens (RFC 7662); with it tokens log in, too.
    :ivar port: in the clear and STLS; :ivar tls_port: TLS.
    """

    name = "dovecot"
    package = "dovecot-pop3d"
    host = "127.0.0.1"
    password = "secret"

    def __init__(self, certificates: Certificates, introspection_url: str = "") -> None:
        Program.__init__(self)
        Maildirs.__init__(self, self.mail)
        self.port, self.tls_port = free_ports(2)
        self._certificates = certificates
        self._introspection_url = introspection_url
        self._users = self.folder / "users"
        self._users.mkdir()

    def command(self) -> list[str]:
        owner = account()
        file = self.folder / "dovecot.conf"
        parts = [CONFIGURATION]
        if os.geteuid() != 0:
            parts.append(WITHOUT_ROOT)
        if self._introspection_url:
            parts.append(BY_TOKEN)
            ca = shutil.copy(self._certificates.ca_file, self.folder / "ca.pem")
            about = ABOUT_TOKENS.format(introspection_url=self._introspection_url, ca=ca)
            (self.folder / "tokens.conf").write_text(about)
        file.write_text(
            "".join(parts).format(
                folder=self.folder,
                token_mechanisms="xoauth2 oauthbearer" if self._introspection_url else "",
                chain=self._certificates.chain_file,
                key=self._certificates.key_file,
                user=owner.pw_name,
                group=grp.getgrgid(owner.pw_gid).gr_name,
                uid=owner.pw_uid,
                gid=owner.pw_gid,
                port=self.port,
                tls_port=self.tls_port,
            )
        )
        return [self.path, "-F", "-c", str(file)]

    def ports(self) -> list[int]:
        return [self.port, self.tls_port]

    def add(self, login: str, *mails: bytes) -> str:
        """A new login with these mails; gives it back."""
        (self._users / login).write_text(f"{login}:{self.password}\n")
        self.path_of(login)
        for mail in mails:
            self.deliver(login, mail)
        return login
