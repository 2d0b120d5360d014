"""Exceptions as programs print them: which answer or failure each tells of, and which rule comes first."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.explain.case import Case, explain_case
from ehlo.explain.exceptions import read_exception
from ehlo.report.document import case_to_json


class Said(NamedTuple):
    """A text, and what is to be read from it: the rule of the first case, and what is set of that case."""

    software: str
    rule: str
    text: str
    case: Case = Case()


def said(software: str, rule: str, text: str, **fields: object) -> Said:
    return Said(software, rule, text, Case(**fields))  # type: ignore[arg-type]


SAID = (
    # Python.
    said("smtplib", "body-not-ascii", r"""
Traceback (most recent call last):
  File "/srv/app/mail.py", line 9, in <module>
    server.sendmail(sender, to, message)
  File "/usr/lib/python3.12/smtplib.py", line 876, in sendmail
    msg = _fix_eols(msg).encode('ascii')
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
UnicodeEncodeError: 'ascii' codec can't encode character '\xfc' in position 43: ordinal not in range(128)
""", error="body-not-ascii", stage="message"),
    said("smtplib", "sender-needs-smtputf8", r"""
  File "/usr/lib/python3.12/smtplib.py", line 540, in mail
    self.putcmd("mail", "FROM:%s%s" % (quoteaddr(sender), optionlist))
  File "/usr/lib/python3.12/smtplib.py", line 357, in send
    s = s.encode(self.command_encoding)
UnicodeEncodeError: 'ascii' codec can't encode character '\xfc' in position 12: ordinal not in range(128)
""", error="smtputf8-not-offered"),
    said("smtplib", "gmail-password-login", r"""
Traceback (most recent call last):
  File "/srv/app/mail.py", line 12, in <module>
    server.login(user, password)
  File "/usr/lib/python3.12/smtplib.py", line 750, in login
    raise last_exception
smtplib.SMTPAuthenticationError: (534, b'5.7.9 Application-specific password required.\n5.7.9  See there - gsmtp')
""", code=534, status="5.7.9", stage="auth"),
    said("thunderbird", "starttls-not-offered",
         "Unable to establish a secure link with Outgoing server (SMTP) mail.example.com using STARTTLS since it"
         " doesn't advertise that feature. Switch off STARTTLS for that server or contact your service provider.",
         error="starttls-not-offered", stage="starttls"),
    said("thunderbird", "credentials-wrong",
         "Sending of the message failed.\nUnable to authenticate to Outgoing server (SMTP) mail.example.com. Please"
         " check the password and verify the 'Authentication Method' in 'Account Settings | Outgoing server (SMTP)'.",
         code=535, stage="auth"),
    said("nodemailer", "no-recipient-given", "Error: No recipients defined", error="no-recipient-given"),
    said("wordpress", "no-recipient-given",
         "wp_mail() failed: You must provide at least one recipient email address.", error="no-recipient-given"),
    said("phpmailer", "php-mail-failed", "Mailer Error: Could not instantiate mail function."),
    said("wordpress", "php-mail-failed",
         "The email could not be sent.\nPossible reason: your host may have disabled the mail() function. WordPress",
         error="php-mail-failed"),
    said("", "filter-unavailable", "warning: connect to Milter service inet:localhost:8891: Connection refused",
         error="milter-unreachable"),
    said("", "no-such-socket", "connect to mail.example.com[private/dovecot-lmtp]: No such file or directory",
         error="no-such-socket", server="private/dovecot-lmtp"),
    said("", "login-not-set-up", "warning: SASL: Connect to private/auth failed: No such file or directory"),
    said("postfix", "no-common-mechanism", "SASL authentication failed; cannot authenticate to server mail.example.com"
         "[192.0.2.1]: no mechanism available", error="no-common-mechanism", stage="auth"),
    said("postfix", "no-common-mechanism", "warning: SASL authentication failure: No worthy mechs found"),
    said("", "mailer-not-running", "postdrop: warning: unable to look up public/pickup: No such file or directory"),
    said("", "message-unanswered", "SMTP timeout after end of data (12345 bytes written)", error="timed-out",
         stage="message"),
    said("", "php-mail-failed", 'PHP Warning:  mail(): Failed to connect to mailserver at "localhost" port 25, verify'
         ' your "SMTP" and "smtp_port" setting in php.ini or use ini_set()', error="php-mail-failed"),
    said("phpmailer", "message-not-built", "Mailer Error: Could not access file: /tmp/x.pdf"),
    said("phpmailer", "message-not-built", "Mailer Error: Message body empty"),
    said("phpmailer", "php-extension-missing", "Mailer Error: Extension missing: openssl"),
    said("smtplib", "credentials-wrong",
         "SMTPAuthenticationError: (535, b'5.7.8 Error: authentication failed: UGFzc3dvcmQ6')", code=535, stage="auth"),
    said("smtplib", "recipient-unknown",
         "smtplib.SMTPRecipientsRefused: {'nobody@example.com': (550, b'5.1.1 <nobody@example.com>: Recipient address"
         " rejected: User unknown in local recipient table')}",
         code=550, status="5.1.1", stage="rcpt", recipient="nobody@example.com"),
    said("smtplib", "login-wanted",
         "smtplib.SMTPSenderRefused: (530, b'5.7.0 Authentication Required. For more information, go to\\n5.7.0 "
         " https://support.example.com', 'sender@yourdomain.com')",
         code=530, stage="mail", sender="sender@yourdomain.com"),
    said("smtplib", "message-too-large",
         "smtplib.SMTPDataError: (552, b'5.3.4 Message size exceeds fixed limit')", code=552, stage="message"),
    said("smtplib", "greeting-refused",
         "smtplib.SMTPConnectError: (554, b'mx.example.com no service for you')", code=554, stage="banner"),
    said("smtplib", "helo-not-full",
         "smtplib.SMTPHeloError: (550, b'Access denied - Invalid HELO name (See RFC2821 4.1.1.1)')", stage="ehlo"),
    said("smtplib", "connection-lost",
         'Traceback (most recent call last):\n  File "mail.py", line 3, in <module>\n'
         '  File "/usr/lib/python3.11/smtplib.py", line 739, in login\n'
         "smtplib.SMTPServerDisconnected: Connection unexpectedly closed", error="closed", stage="auth"),
    said("smtplib", "lost-somewhere",
         "smtplib.SMTPServerDisconnected: Connection unexpectedly closed", error="closed"),
    said("smtplib", "not-connected", "smtplib.SMTPServerDisconnected: please run connect() first"),
    said("smtplib", "silent-somewhere", "TimeoutError: timed out", error="timed-out"),
    said("smtplib", "silent-somewhere", "socket.timeout: timed out", error="timed-out"),
    said("smtplib", "connection-timed-out",
         '  File "/usr/lib/python3.12/smtplib.py", line 319, in _get_socket\n    return socket.create_connection(\n'
         '  File "/usr/lib/python3.12/socket.py", line 851, in create_connection\n    raise exceptions[0]\n'
         "TimeoutError: timed out", error="timed-out", stage="connect"),
    said("smtplib", "imap-server-answers",
         "smtplib.SMTPConnectError: (-1, b'[CAPABILITY IMAP4rev1 IDLE] Dovecot ready.')", stage="banner"),
    said("smtplib", "connection-refused",
         "ConnectionRefusedError: [WinError 10061] Es konnte keine Verbindung hergestellt werden", error="refused"),
    said("smtplib", "auth-not-offered",
         "smtplib.SMTPNotSupportedError: SMTP AUTH extension not supported by server.", stage="auth"),
    said("smtplib", "starttls-not-offered",
         "smtplib.SMTPNotSupportedError: STARTTLS extension not supported by server.", stage="starttls"),
    said("smtplib", "no-common-mechanism",
         "smtplib.SMTPException: No suitable authentication method found.", stage="auth"),
    said("smtplib", "tls-on-plaintext-port",
         "ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", error="tls-failed"),
    said("smtplib", "certificate-unknown-issuer",
         "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local"
         " issuer certificate (_ssl.c:1006)", certificate="unknown-issuer"),
    said("smtplib", "certificate-expired",
         "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has"
         " expired (_ssl.c:1129)", certificate="expired"),
    said("smtplib", "certificate-wrong-name",
         "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch,"
         " certificate is not valid for 'smtp.example.com'. (_ssl.c:1129)", certificate="wrong-name"),
    said("smtplib", "certificate-self-signed",
         "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"
         " certificate (_ssl.c:1007)", certificate="self-signed"),
    said("smtplib", "no-such-host", "socket.gaierror: [Errno -2] Name or service not known", error="no-such-host"),
    said("smtplib", "connection-refused", "ConnectionRefusedError: [Errno 111] Connection refused", error="refused"),
    said("smtplib", "connection-timed-out",
         'File "/usr/lib/python3.11/smtplib.py", line 341, in connect\nTimeoutError: [Errno 110] Connection timed out',
         error="timed-out", stage="connect"),
    said("smtplib", "connection-unreachable", "OSError: [Errno 101] Network is unreachable", error="unreachable"),
    said("aiosmtplib", "recipient-unknown",
         "aiosmtplib.errors.SMTPRecipientsRefused: [SMTPRecipientRefused(550, '5.1.1 <nobody@example.com>: Recipient"
         " address rejected: User unknown in local recipient table', 'nobody@example.com')]",
         code=550, stage="rcpt", recipient="nobody@example.com"),
    said("aiosmtplib", "credentials-wrong",
         "aiosmtplib.errors.SMTPAuthenticationError: (535, '5.7.8 Error: authentication failed')", stage="auth"),
    said("aiosmtplib", "connection-timed-out",
         "aiosmtplib.errors.SMTPConnectTimeoutError: Timed out connecting to smtp.example.com on port 25",
         error="timed-out", stage="connect", server="smtp.example.com"),
    said("django", "closed-before-greeting", """
  File "/venv/django/core/mail/backends/smtp.py", line 90, in open
    self.connection = self.connection_class(
  File "/usr/lib/python3.12/smtplib.py", line 255, in __init__
    (code, msg) = self.connect(host, port)
  File "/usr/lib/python3.12/smtplib.py", line 405, in getreply
    raise SMTPServerDisconnected("Connection unexpectedly closed")
smtplib.SMTPServerDisconnected: Connection unexpectedly closed
""", error="closed", stage="banner"),
    said("django", "tls-required", r"""
  File "/site-packages/django/core/mail/backends/smtp.py", line 131, in send_messages
    sent = self._send(message)
  File "/usr/lib/python3.11/smtplib.py", line 887, in sendmail
    raise SMTPSenderRefused(code, resp, from_addr)
smtplib.SMTPSenderRefused: (530, b'5.7.0 Must issue a STARTTLS command first. 4-2002 - gsmtp', 'webmaster@localhost')
""", code=530, stage="mail", sender="webmaster@localhost"),
    # nodemailer.
    said("nodemailer", "gmail-password-login", """
Error: Invalid login: 535-5.7.8 Username and Password not accepted. For more information, go to
535 5.7.8  https://support.google.com/mail/?p=BadCredentials 5b1f17b1804b1 - gsmtp
    at SMTPConnection._formatError (/app/node_modules/nodemailer/lib/smtp-connection/index.js:798:19)
    at SMTPConnection._actionAUTHComplete (/app/node_modules/nodemailer/lib/smtp-connection/index.js:1577:34) {
  code: 'EAUTH',
  response: '535-5.7.8 Username and Password not accepted. For more information, go to\\n' +
    '535 5.7.8  https://support.google.com/mail/?p=BadCredentials 5b1f17b1804b1 - gsmtp',
  responseCode: 535,
  command: 'AUTH PLAIN'
}
""", code=535, status="5.7.8", stage="auth"),
    said("nodemailer", "recipient-unknown",
         "{ code: 'EENVELOPE', response: '550 5.1.1 <nobody@example.com>: user unknown', responseCode: 550,"
         " command: 'RCPT TO' }", code=550, stage="rcpt", recipient="nobody@example.com"),
    said("nodemailer", "connection-refused",
         "Error: connect ECONNREFUSED 127.0.0.1:587\n    at TCPConnectWrap.afterConnect [as oncomplete]"
         " (node:net:1595:16) {\n  errno: -111,\n  code: 'ESOCKET',\n  command: 'CONN'\n}", error="refused"),
    said("nodemailer", "connection-timed-out",
         "Error: Connection timeout\n    at SMTPConnection._formatError (index.js:1) {\n  code: 'ETIMEDOUT',\n"
         "  command: 'CONN'\n}", error="timed-out", stage="connect"),
    said("nodemailer", "silent-server",
         "Error: Greeting never received\n    at SMTPConnection._formatError (index.js:1) {\n  code: 'ETIMEDOUT',\n"
         "  command: 'CONN'\n}", error="timed-out", stage="banner"),
    said("nodemailer", "tls-on-plaintext-port",
         "Error: 140735:error:1408F10B:SSL routines:ssl3_get_record:wrong version number:ssl3_record.c:332: {\n"
         "  library: 'SSL routines',\n  reason: 'wrong version number',\n  code: 'ESOCKET',\n  command: 'CONN'\n}",
         error="tls-failed"),
    said("nodemailer", "certificate-unknown-root",
         "Error: self signed certificate in certificate chain\n    at TLSSocket.onConnectSecure (node:_tls_wrap:1)"
         " {\n  code: 'ESOCKET',\n  command: 'CONN'\n}", certificate="unknown-root"),
    said("nodemailer", "certificate-wrong-name",
         "Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host:"
         " mail.example.com. is not in the cert's altnames: DNS:*.hoster.example", certificate="wrong-name"),
    said("nodemailer", "login-impossible",
         "Error: Missing credentials for \"PLAIN\"\n    at SMTPConnection._formatError {\n  code: 'EAUTH',\n"
         "  command: 'API'\n}", error="login-impossible", stage="auth"),
    said("nodemailer", "host-setting-wrong",
         "Error: queryA EBADNAME mail.example.com:465\n    at QueryReqWrap.onresolve [as oncomplete] (node:dns:228) {"
         "\n  code: 'EDNS',\n  command: 'CONN'\n}"),
    said("nodemailer", "host-setting-wrong", "Error: getaddrinfo ENOTFOUND smtp://mail.example.com"),
    said("nodemailer", "lost-somewhere", "read ECONNRESET", error="reset"),
    said("nodemailer", "closed-before-greeting",
         "Error: read ECONNRESET\n    at TCP.onStreamRead (node:internal/stream_base_commons:217:20) {\n"
         "  code: 'ESOCKET',\n  syscall: 'read',\n  command: 'CONN'\n}", error="reset", stage="banner"),
    said("nodemailer", "pop3-server-answers",
         "Error: Invalid greeting. response=+OK ready: +OK ready\n    at SMTPConnection._formatError (index.js:1)",
         stage="banner"),
    said("nodemailer", "no-such-host",
         "Error: getaddrinfo ENOTFOUND smtp.exmaple.com\n    at GetAddrInfoReqWrap.onlookup [as oncomplete]"
         " (node:dns:107:26) {\n  code: 'EDNS'\n}", error="no-such-host", server="smtp.exmaple.com"),
    said("nodemailer", "message-too-large",
         "Error: Message failed: 552 5.3.4 Message size exceeds fixed limit\n  code: 'EMESSAGE',\n  responseCode: 554,"
         "\n  command: 'DATA'", code=552, stage="message"),
    # PHP.
    said("phpmailer", "credentials-wrong", "SMTP Error: Could not authenticate.", stage="auth"),
    said("phpmailer", "connection-timed-out",
         "SMTP ERROR: Failed to connect to server: Connection timed out (110)\nSMTP connect() failed."
         " https://github.com/PHPMailer/PHPMailer/wiki/Troubleshooting\nMailer Error: SMTP connect() failed.",
         error="timed-out", stage="connect"),
    said("phpmailer", "content-by-rule",
         "SMTP Error: data not accepted.SMTP server error: DATA END command failed Detail: Message rejected due to"
         " content SMTP code: 550 Additional SMTP info: 5.7.0", code=550, status="5.7.0", stage="message"),
    said("phpmailer", "recipient-unknown",
         "Mailer Error: SMTP Error: The following recipients failed: nobody@example.com: <nobody@example.com>:"
         " Recipient address rejected: User unknown in virtual mailbox table",
         stage="rcpt", recipient="nobody@example.com"),
    said("phpmailer", "sender-not-owned",
         "The following From address failed: boss@example.com : MAIL FROM command failed,<boss@example.com>: Sender"
         " address rejected: not owned by user alice,553,5.7.1", code=553, status="5.7.1", sender="boss@example.com"),
    said("phpmailer", "certificate-wrong-name",
         "Warning: stream_socket_enable_crypto(): Peer certificate CN=`*.hoster.example' did not match expected"
         " CN=`mail.example.com' in /var/www/vendor/phpmailer/phpmailer/src/SMTP.php on line 476",
         certificate="wrong-name"),
    said("phpmailer", "certificate-not-verified",
         "stream_socket_enable_crypto(): SSL operation failed with code 1. OpenSSL Error messages: error:1416F086:SSL"
         " routines:tls_process_server_certificate:certificate verify failed", certificate="not-verified"),
    said("phpmailer", "certificate-not-verified",
         "stream_socket_enable_crypto(): SSL operation failed with code 1. OpenSSL Error messages:\n"
         "error:0A000086:SSL routines::certificate verify failed", certificate="not-verified"),
    said("phpmailer", "connection-failed",
         "SMTP connect() failed. https://github.com/PHPMailer/PHPMailer/wiki/Troubleshooting", error="connect-failed"),
    said("phpmailer", "socket-not-permitted",
         "SMTP ERROR: Failed to connect to server: Permission denied (13)\nSMTP connect() failed.",
         error="not-permitted"),
    said("wordpress", "credentials-wrong",
         "PHP Warning: SMTP Error: Could not authenticate. in /var/www/wp-includes/PHPMailer/SMTP.php on line 1"),
    said("laravel", "tls-required",
         '[2026-03-01 10:00:00] production.ERROR: Expected response code "250" but got code "530", with message "530'
         ' 5.7.0 Must issue a STARTTLS command first" {"exception":"[object] (Symfony..."}', code=530),
    said("phpmailer", "no-such-host",
         "SMTP ERROR: Failed to connect to server: php_network_getaddresses: getaddrinfo failed: Name or service not"
         " known (0)", error="no-such-host"),
    said("symfony", "recipient-unknown",
         'Symfony\\Component\\Mailer\\Exception\\UnexpectedResponseException: Expected response code "250/251/252" but'
         ' got code "550", with message "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown".',
         code=550, status="5.1.1", recipient="nobody@example.com"),
    said("symfony", "connection-refused",
         'Connection could not be established with host "ssl://smtp.example.com:465": stream_socket_client(): Unable to'
         " connect to ssl://smtp.example.com:465 (Connection refused)", error="refused", server="smtp.example.com"),
    said("symfony", "credentials-wrong",
         'Failed to authenticate on SMTP server with username "alice" using the following authenticators: "LOGIN",'
         ' "PLAIN". Authenticator "LOGIN" returned "Expected response code "235" but got code "535", with message "535'
         ' 5.7.8 Error: authentication failed".".', code=535, stage="auth"),
    said("symfony", "tls-required",
         'Swift_TransportException: Expected response code 250 but got code "530", with message "530 5.7.0 Must issue a'
         ' STARTTLS command first', code=530),
    # Java.
    said("javamail", "gmail-password-login",
         "javax.mail.AuthenticationFailedException: 535-5.7.8 Username and Password not accepted. Learn more at\n"
         "535 5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp\n"
         "\n\tat com.sun.mail.smtp.SMTPTransport$Authenticator.authenticate(SMTPTransport.java:965)",
         code=535, stage="auth"),
    said("javamail", "recipient-unknown", """
javax.mail.SendFailedException: Invalid Addresses;
  nested exception is:
\tcom.sun.mail.smtp.SMTPAddressFailedException: 550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown
\tat com.sun.mail.smtp.SMTPTransport.rcptTo(SMTPTransport.java:2064)
""", code=550, stage="rcpt", recipient="nobody@example.com"),
    said("javamail", "connection-refused", """
com.sun.mail.util.MailConnectException: Couldn't connect to host, port: smtp.example.com, 25; timeout -1;
  nested exception is:
\tjava.net.ConnectException: Connection refused (Connection refused)
""", error="refused", server="smtp.example.com"),
    said("javamail", "connection-failed",
         "com.sun.mail.util.MailConnectException: Couldn't connect to host, port: mail.example.com, 25; timeout -1",
         error="connect-failed"),
    said("javamail", "tls-on-plaintext-port",
         "javax.net.ssl.SSLException: Unsupported or unrecognized SSL message", error="tls-failed"),
    said("spring", "credentials-wrong",
         "org.springframework.mail.MailAuthenticationException: Authentication failed; nested exception is"
         " javax.mail.AuthenticationFailedException: 535 5.7.8 Error: authentication failed", code=535, stage="auth"),
    said("javamail", "closed-before-greeting",
         "javax.mail.MessagingException: Could not connect to SMTP host: smtp.example.com, port: 465, response: -1",
         error="closed", stage="banner", server="smtp.example.com"),
    said("javamail", "certificate-unknown-issuer", """
javax.mail.MessagingException: Could not convert socket to TLS;
  nested exception is:
\tjavax.net.ssl.SSLHandshakeException: sun.security.validator.ValidatorException: PKIX path building failed: \
sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid certification path to requested target
""", certificate="unknown-issuer"),
    said("javamail", "tls-on-plaintext-port",
         "javax.net.ssl.SSLException: Unrecognized SSL message, plaintext connection?", error="tls-failed"),
    said("javamail", "tls-version",
         "javax.net.ssl.SSLHandshakeException: No appropriate protocol (protocol is disabled or cipher suites are"
         " inappropriate)", error="tls-failed"),
    said("javamail", "tls-required",
         "com.sun.mail.smtp.SMTPSendFailedException: 530 5.7.0 Must issue a STARTTLS command first. - gsmtp", code=530),
    # Go.
    said("go", "connection-timed-out", "dial tcp 192.0.2.7:25: i/o timeout", error="timed-out", stage="connect"),
    said("go", "connection-timed-out", "2026/03/01 10:00:00 dial tcp 192.0.2.7:25: connect: connection timed out"),
    said("go", "no-such-host", "dial tcp: lookup smtp.exmaple.com on 127.0.0.53:53: no such host",
         server="smtp.exmaple.com"),
    said("go", "credentials-wrong", "panic: 535 5.7.8 Error: authentication failed: authentication failure", code=535),
    said("go", "tls-on-plaintext-port", "tls: first record does not look like a TLS handshake", error="tls-failed"),
    said("go", "certificate-unknown-issuer",
         "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    said("go", "certificate-wrong-name", "x509: certificate is valid for *.hoster.example, not mail.example.com"),
    said("go", "certificate-expired",
         "x509: certificate has expired or is not yet valid: current time 2026-03-01T10:00:00Z is after 2026-01-01"),
    said("go", "auth-not-offered", "smtp: server doesn't support AUTH", error="auth-not-offered"),
    said("go", "auth-in-clear", "unencrypted connection", error="auth-in-clear"),
    said("go", "mechanism-refused", "gomail: could not dial: 504 5.7.4 Unrecognized authentication type", code=504),
    said("go", "lost-somewhere", "gomail: could not send email 1: EOF", error="closed"),
    said("go", "lost-somewhere", "2026/03/01 10:00:00 EOF", error="closed"),
    said("go", "login-impossible", "wrong host name", stage="auth"),
    said("go", "port-missing", "dial tcp: address mail.example.com: missing port in address"),
    said("go", "host-setting-wrong", "dial tcp: address mail.example.com:25:25: too many colons in address"),
    said("go", "imap-server-answers", "short response: * OK [CAPABILITY IMAP4rev1] ready", stage="banner"),
    # .NET.
    said("dotnet", "tls-required",
         "System.Net.Mail.SmtpException: The SMTP server requires a secure connection or the client was not"
         " authenticated. The server response was: 5.7.0 Must issue a STARTTLS command first. - gsmtp",
         code=530, status="5.7.0"),
    said("dotnet", "login-wanted",
         "System.Net.Mail.SmtpException: The SMTP server requires a secure connection or the client was not"
         " authenticated. The server response was: 5.7.0 Authentication Required.", code=530),
    said("dotnet", "recipient-unknown",
         "System.Net.Mail.SmtpFailedRecipientException: Mailbox unavailable. The server response was: 5.1.1"
         " <nobody@example.com>: Recipient address rejected: User unknown in local recipient table",
         code=550, status="5.1.1", recipient="nobody@example.com"),
    said("dotnet", "basic-auth-off",
         "System.Net.Mail.SmtpException: The SMTP server requires a secure connection or the client was not"
         " authenticated. The server response was: 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139"
         " Authentication unsuccessful, basic authentication is disabled.", code=530),
    said("dotnet", "silent-somewhere", "System.Net.Mail.SmtpException: The operation has timed out.",
         error="timed-out"),
    said("dotnet", "certificate-not-verified",
         "MailKit.Security.SslHandshakeException: An error occurred while attempting to establish an SSL or TLS"
         " connection.\n\nThe server's SSL certificate could not be validated for the following reasons:\n"
         "\u2022 The server certificate has the following errors:\n  \u2022 The revocation function was unable to"
         " check revocation for the certificate.", certificate="not-verified"),
    said("dotnet", "certificate-not-verified",
         "MailKit.Security.SslHandshakeException: An error occurred while attempting to establish an SSL or TLS"
         " connection.\n\nThis usually means that the SSL certificate presented by the server is not trusted by the"
         " system for one or more of the following reasons:\n\n1. The server is using a self-signed certificate which"
         " cannot be verified.", certificate="not-verified"),
    said("dotnet", "tls-on-plaintext-port",
         "MailKit.Security.SslHandshakeException: An error occurred while attempting to establish an SSL or TLS"
         " connection.\n ---> System.IO.IOException: Cannot determine the frame size or a corrupted frame was"
         " received.", error="tls-failed"),
    said("dotnet", "lost-somewhere",
         "System.Net.Mail.SmtpException: Failure sending mail. ---> System.IO.IOException: Unable to read data from the"
         " transport connection: net_io_connectionclosed.", error="closed"),
    said("dotnet", "connection-refused",
         "System.Net.Mail.SmtpException: Failure sending mail.\n ---> System.Net.Sockets.SocketException (10061): No"
         " connection could be made because the target machine actively refused it. 192.0.2.7:25", error="refused"),
    said("dotnet", "credentials-wrong",
         "MailKit.Security.AuthenticationException: 535: 5.7.8 Error: authentication failed", code=535),
    said("dotnet", "recipient-unknown",
         "MailKit.Net.Smtp.SmtpCommandException: 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown",
         status="5.1.1", recipient="nobody@example.com"),
    said("dotnet", "certificate-wrong-name",
         "System.Security.Authentication.AuthenticationException: The remote certificate is invalid according to the"
         " validation procedure: RemoteCertificateNameMismatch", certificate="wrong-name"),
    said("dotnet", "tls-on-plaintext-port",
         "MailKit.Security.SslHandshakeException: An error occurred while attempting to establish an SSL or TLS"
         " connection.\n ---> System.IO.IOException: The handshake failed due to an unexpected packet format.",
         error="tls-failed"),
    # Ruby, Perl, programs, Rust.
    said("ruby", "gmail-password-login",
         "Net::SMTPAuthenticationError (535-5.7.8 Username and Password not accepted. For more information, go to\n"
         "535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp):", code=535, stage="auth"),
    said("ruby", "sender-not-owned",
         "Net::SMTPFatalError (550 5.7.60 SMTP; Client does not have permissions to send as this sender)", code=550),
    said("ruby", "connection-refused",
         'Errno::ECONNREFUSED: Failed to open TCP connection to mail.example.com:25 (Connection refused - connect(2)'
         ' for "mail.example.com" port 25)\n/usr/lib/ruby/3.2.0/net/smtp.rb:1:in `initialize\'',
         error="refused", server="mail.example.com"),
    said("rails", "credentials-wrong",
         "Error performing ActionMailer::MailDeliveryJob: Net::SMTPAuthenticationError (535 5.7.8 Error:"
         " authentication failed)", code=535, stage="auth"),
    said("ruby", "credentials-wrong", "Net::SMTPAuthenticationError: 535 5.7.8 Error: authentication failed", code=535),
    said("ruby", "recipient-unknown",
         "/usr/lib/ruby/3.1.0/net/smtp.rb:1076:in `check_response': 550 5.1.1 <nobody@example.com>: Recipient address"
         " rejected: User unknown (Net::SMTPFatalError)", code=550, recipient="nobody@example.com"),
    said("ruby", "certificate-wrong-name",
         'OpenSSL::SSL::SSLError (hostname "localhost" does not match the server certificate)'),
    said("ruby", "connection-timed-out", "Net::OpenTimeout: execution expired", stage="connect"),
    said("perl", "no-such-host", "Net::SMTP: Bad hostname 'smtp.exmaple.com' at send.pl line 7."),
    said("msmtp", "credentials-wrong",
         "msmtp: authentication failed (method PLAIN)\nmsmtp: server message: 535 5.7.8 Error: authentication failed\n"
         "msmtp: could not send mail (account default from /home/alice/.msmtprc)", code=535),
    said("msmtp", "certificate-not-verified",
         "msmtp: TLS certificate verification failed: the certificate fingerprint does not match",
         certificate="not-verified"),
    said("msmtp", "starttls-not-offered", "msmtp: the server does not support TLS via the STARTTLS command"),
    said("msmtp", "connection-refused", "msmtp: cannot connect to 127.0.0.1, port 1: Connection refused"),
    said("msmtp", "certificate-unknown-issuer",
         "msmtp: TLS certificate verification failed: The certificate is NOT trusted. The certificate issuer is"
         " unknown.", certificate="unknown-issuer"),
    said("ssmtp", "credentials-wrong", "ssmtp: Authorization failed (535 5.7.8 https://support.google.com/mail)"),
    said("curl", "credentials-wrong", "curl: (67) Login denied"),
    said("curl", "no-such-host", "curl: (6) Could not resolve host: smtp.exmaple.com"),
    said("curl", "certificate-self-signed", "curl: (60) SSL certificate problem: self signed certificate"),
    said("lettre", "recipient-unknown",
         'thread main panicked: lettre::transport::smtp::Error { kind: Permanent(Code { severity:'
         ' PermanentNegativeCompletion, category: MailSystem, detail: Zero }), source: "5.1.1 <nobody@example.com>:'
         ' Recipient address rejected: User unknown" }', status="5.1.1"),
    said("lettre", "recipient-unknown", "permanent error (550): 5.1.1 <nobody@example.com>: User unknown", code=550),
    said("lettre", "connection-refused", "Connection error: Connection refused (os error 111)"),
    said("", "connection-refused", "Connection refused"),
)  # fmt: skip

#: What a rule that knows less may say instead.
_GENERAL = {
    "tls-on-plaintext-port": {"tls-on-plaintext-port", "tls-failed"},
    "login-wanted": {"login-wanted", "login-required"},
    "gmail-password-login": {"gmail-password-login", "app-password-needed", "credentials-wrong"},
    "content-by-rule": {"content-by-rule", "content-refused"},
    "tls-version": {"tls-old-version"},
}


@pytest.mark.parametrize("it", SAID, ids=lambda it: f"{it.software}-{it.rule}")
def test_each_exception(it: Said) -> None:
    cases = read_exception(it.text)
    assert cases
    case = cases[0]
    assert case.software == it.software
    for field, wanted in it.case._asdict().items():
        if wanted:
            assert getattr(case, field) == wanted, (field, case)
    finding = explain_case(case)
    assert finding.rule in _GENERAL.get(it.rule, {it.rule}), (finding.rule, case)
    assert case.seen
    assert len(cases) == 1, cases


#: What Windows and .NET say in ten languages, and the failure that it is.
FOREIGN_WORDS = (
    ("refused", "da der Zielcomputer die Verbindung verweigerte 192.0.2.7:25"),
    ("refused", "Aucune connexion n'a pu être établie car l'ordinateur cible l'a expressément refusée"),
    ("refused", "ya que el equipo de destino denegó expresamente dicha conexión"),
    ("refused", "Impossibile stabilire la connessione. Rifiuto persistente del computer di destinazione"),
    ("refused", "porque a máquina de destino as recusou ativamente"),
    ("refused", "omdat de doelcomputer de verbinding actief heeft geweigerd"),
    ("refused", "ponieważ komputer docelowy aktywnie go odmawia"),
    ("refused", "т.к. конечный компьютер отверг запрос на подключение"),
    ("refused", "対象のコンピューターによって拒否されたため、接続できませんでした。"),
    ("refused", "由于目标计算机积极拒绝，无法连接。"),
    ("timed-out", "da die Gegenstelle nach einer bestimmten Zeitspanne nicht richtig reagiert hat"),
    ("timed-out", "Risposta non corretta della parte connessa dopo l'intervallo di tempo"),
    ("timed-out", "omdat de verbonden partij niet correct heeft gereageerd na een bepaalde periode"),
    ("timed-out", "ponieważ połączona strona nie odpowiedziała poprawnie"),
    ("reset", "Eine vorhandene Verbindung wurde vom Remotehost geschlossen"),
    ("no-such-host", "Der Remotename konnte nicht aufgelöst werden: 'smtp.example.com'"),
    ("not-verified", "Das Remotezertifikat ist laut Validierungsverfahren ungültig."),
    ("not-verified", "Le certificat distant n'est pas valide selon la procédure de validation."),
    ("not-verified", "O certificado remoto é inválido, de acordo com o procedimento de validação."),
    ("not-verified", "Het externe certificaat is ongeldig volgens de validatieprocedure."),
    ("not-verified", "Удаленный сертификат недействителен согласно результатам проверки подлинности."),
    ("not-verified", "検証プロシージャによると、リモート証明書は無効です。"),
    ("not-verified", "根据验证过程，远程证书无效。"),
)


@pytest.mark.parametrize(("failure", "words"), FOREIGN_WORDS)
def test_windows_in_other_languages(failure: str, words: str) -> None:
    (case,) = read_exception(f"System.Net.Mail.SmtpException: x ---> System.Net.WebException: {words}")
    assert (case.software, case.error or case.certificate) == ("dotnet", failure)


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        (10013, "socket-not-permitted"), (10051, "connection-unreachable"), (10053, "lost-somewhere"),
        (10054, "lost-somewhere"), (10060, "connection-timed-out"), (10061, "connection-refused"),
        (10065, "connection-unreachable"), (11001, "no-such-host"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["System.Net.Sockets.SocketException ({}): Xyzzy", "Erreur {}", "0x{:08X}: Xyzzy"])
def test_a_number_of_winsock_decides_in_any_language(number: int, rule: str, text: str) -> None:
    (case,) = read_exception(text.format(number))
    assert explain_case(case).rule == rule


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        ("0x800CCC0D", "no-such-host"), ("0x800CCC0E", "connection-failed"), ("0x800CCC0F", "lost-somewhere"),
        ("0x800CCC13", "connection-unreachable"), ("0x800CCC19", "silent-somewhere"),
        ("0x800CCC7D", "starttls-not-offered"),
    ],
)  # fmt: skip
def test_so_does_a_number_of_outlook(number: str, rule: str) -> None:
    (case,) = read_exception(f"Task 'a@example.com - Sending' reported error ({number}): 'Xyzzy'")
    assert explain_case(case).rule == rule


@pytest.mark.parametrize("text", ["smtp.example.com:10061", "port 10060", "550 queued as 10054", "5.7.10061"])
def test_other_numbers_are_none_of_winsock(text: str) -> None:
    assert read_exception(text) == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Postfach nicht verfügbar. Die Serverantwort war: 5.1.1 <a@example.com>: User unknown", 0),
        ("Boîte aux lettres non disponible. La réponse du serveur était : 5.1.1 <a@example.com>: User unknown", 0),
        ("El servidor SMTP requiere una conexión segura o el cliente no se autenticó. La respuesta del servidor fue:"
         " 5.7.0 Authentication Required", 530),
        ("Il server SMTP richiede una connessione protetta oppure il client non è stato autenticato. Risposta del"
         " server: 5.7.1 Client was not authenticated", 530),
        ("邮箱不可用。 服务器响应为:5.1.1 <a@example.com>: User unknown", 0),
    ],
)  # fmt: skip
def test_answers_in_other_languages(said: str, code: int) -> None:
    (case,) = read_exception(f"System.Net.Mail.SmtpException: {said}")
    assert (case.software, case.code) == ("dotnet", code)
    assert case.status
    assert explain_case(case).rule in ("recipient-unknown", "login-required", "microsoft-not-logged-in")


@pytest.mark.parametrize("text", ["read ECONNRESET", "EOF", "socket.timeout: timed out"])
def test_a_step_that_nobody_names_is_not_guessed(text: str) -> None:
    finding = explain_case(read_exception(text)[0])
    assert finding.stage is None
    assert finding.certainty == "likely"
    assert len(finding.alternatives) > 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SMTP Error: Could not authenticate.", None),
        ("SMTP Error: The following recipients failed: nobody@example.com: 5.1.1 User unknown", None),
        ("AuthenticationFailedException: Authentication failed", None),
        ("SMTP ERROR: Password command failed: 535 5.7.8 Wrong", 535),
        # .NET has names for the codes.
        ("System.Net.Mail.SmtpException: Mailbox unavailable. The server response was: no", 550),
    ],
)
def test_a_code_that_nobody_said_is_not_shown(text: str, shown: int | None) -> None:
    case = read_exception(text)[0]
    finding = explain_case(case)
    assert (finding.reply and finding.reply.code) == shown
    assert str(case.code) not in finding.seen or shown
    assert case_to_json(case, finding)["reply"] == shown


def test_several_recipients() -> None:
    cases = read_exception(
        "smtplib.SMTPRecipientsRefused: {'a@example.com': (550, b'5.1.1 unknown user'),"
        " 'b@example.com': (452, b'4.2.2 mailbox full')}"
    )
    assert [(case.recipient, case.code) for case in cases] == [("a@example.com", 550), ("b@example.com", 452)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "550 5.7.1 Service unavailable; client host blocked",
        "421 4.4.2 mail.example.com Error: timeout exceeded, connection closed",
        "5.1.1",
        "host mx.example.com[192.0.2.1] said: 450 4.2.0 Greylisted (in reply to RCPT TO command)",
        "Dear colleagues, lunch is at noon.",
        'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\nKeyError: 3',
    ],
)
def test_what_is_no_exception(text: str) -> None:
    assert read_exception(text) == []


def shown(case: Case) -> str:
    return "\n".join(value for value in case if isinstance(value, str))


@given(st.text() | st.lists(st.sampled_from([it.text for it in SAID]) | st.text(), max_size=5).map("\n".join))
def test_any_text(text: str) -> None:
    for case in read_exception(text):
        assert all(char.isprintable() for char in shown(case).replace("\n", ""))
        explain_case(case)


def test_control_characters_are_not_passed_on() -> None:
    (case,) = read_exception("smtplib.SMTPDataError: (554, b'5.7.1 \\x1b[31mred\\x07 \x1b]0;title\x07 \u202etxt')")
    assert "\x1b" not in shown(case)
    assert "\u202e" not in shown(case)


@pytest.mark.parametrize(
    "line",
    [
        "smtplib.SMTPAuthenticationError: (535, b'",
        "smtplib.SMTPAuthenticationError: (535, b'\\\\",
        "Invalid login: 535-",
        "The following recipients failed: " + "a" * 200 + "@",
        "SMTP server error: " + "A " * 50,
        "550 550-550 ",
        "connect" * 200,
        "certificate is valid for " * 40,
        "a.go:1 lookup " + "a." * 100,
        "x" * 1_000_000,
        "\n" * 1000 + "535-",
    ],
)
def test_a_hostile_megabyte(line: str) -> None:
    began = time.process_time()
    for text in (line * (1_000_000 // len(line)), (line + "\n") * (1_000_000 // len(line))):
        for case in read_exception("smtplib nodemailer\n" + text):
            explain_case(case)
    assert time.process_time() - began < 5
