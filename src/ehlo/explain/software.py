"""Which program wrote a text: told by the names and words that it leaves in its messages and stack traces.

A framework is asked for before the library that it hands mail to, since its settings are the ones that its user has
(`ehlo.knowledge.products.BUILT_ON`). To teach it a program, add a line to `PROGRAMS` or to `FRAMEWORKS`.
"""

from __future__ import annotations

import re

from ehlo.explain import windows
from ehlo.knowledge.products import BUILT_ON


def _table(*entries: tuple[str, str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((software, re.compile(pattern, re.MULTILINE)) for software, pattern in entries)


#: Frameworks, by what only they write.
FRAMEWORKS = _table(
    ("django", r"\bdjango[./]|EMAIL_USE_(?:TLS|SSL)|EMAIL_HOST"),
    ("wordpress", r"\bwp_mail\b|\bwp-(?:includes|content|admin)\b|\bWP_(?:Error|Mail|PHPMailer)\b|\bWordPress\b"
                  r"|\bWP Mail SMTP\b|\bwp_phpmailer"),
    ("laravel", r"\bIlluminate\\|\bLaravel\b|\blaravel/framework|/laravel\b|\bphp artisan\b"
                r"|^\[\d{4}-\d\d-\d\d[T ][\d:.+]+\] (?:local|production|staging|development|testing)\.[A-Z]+: "),
    ("spring", r"\borg\.springframework\b|\bspring\.mail\.|\bJavaMailSender|\bMailSendException\b"
               r"|\bMailAuthenticationException\b|\bMail server connection failed\b|\bSpring Boot\b"),
    ("rails", r"\bActionMailer\b|\baction_?mailer\b|\bapp/mailers/|\bActiveJob\b|\bactivejob\b|\bactionpack\b"
              r"|\brailties\b|\bRuby on Rails\b|\bsmtp_settings\b|\bdeliver_(?:now|later)\b"),
)  # fmt: skip

#: All programs. The first that fits.
PROGRAMS = _table(
    ("aiosmtplib", r"\baiosmtplib\b"),
) + FRAMEWORKS + _table(
    ("smtplib", r"\bsmtplib\b|(?<!::)\bSMTP(?:Authentication|Connect|Helo|Data|Response|NotSupported)"
                r"(?:Error|Exception)\b|(?<!::)\bSMTP(?:RecipientsRefused|SenderRefused|ServerDisconnected)\b"
                r"|(?<!\.)\bssl\.SSL|\bsocket\.(?:gaierror|timeout)|\bConnection(?:Refused|Reset|Aborted)Error\b"
                r"|\bTimeoutError: (?:timed out|\[|The (?:read|write|handshake) operation)"
                r"|\[(?:Errno|WinError) -?\d+\]|\[SSL: [A-Z_]+\]|File \"[^\n\"]{1,300}\.py\""),
    ("symfony", r"Symfony\\|Swift_|Expected response code|Connection could not be established with host"
                r"|Failed to authenticate on SMTP server|Unable to connect with STARTTLS"),
    ("phpmailer", r"PHPMailer|\bMailer Error: |Could not instantiate mail function"
                  r"|\bSMTP Error: |\bSMTP ERROR: [\w ]{2,20} failed"
                  r"|SMTP connect\(\) failed|SMTP server error:"
                  r"|The following (?:recipients|From address)"
                  r" failed|Failed to connect to server|stream_socket_enable_crypto"
                  r"|You must provide at least one recipient"),
    ("nodemailer", r"\bnodemailer\b|\bE(?:AUTH|CONNECTION|DNS|SOCKET|ENVELOPE|MESSAGE|TLS|PROTOCOL|OAUTH2)\b"
                   r"|SMTPConnection\."
                   r"|responseCode|Invalid login:|Greeting never received|Missing credentials for|Invalid greeting"
                   r"|Can't send mail - all|\bconnect E[A-Z]+ |getaddrinfo E[A-Z]+|node:(?:net|internal|_tls)"
                   r"|\bquery[A-Z]{1,6} E[A-Z]+|\b(?:read|write) E[A-Z]{4,}\b"
                   r"|No recipients defined|Hostname/IP does not match certificate's altnames"),
    ("javamail", r"javax\.mail|jakarta\.mail|com\.sun\.mail|org\.eclipse\.angus"
                 r"|angus\.mail"
                 r"|\b(?:SMTP\w*Failed|SendFailed|AuthenticationFailed|MailConnect|Messaging)"
                 r"Exception|javax\.net\.ssl|java\.net\.|java\.security|Could ?n[o']t connect to (?:SMTP )?host"
                 r"|PKIX path|plaintext connection\?|sun\.security"),
    ("dotnet", r"MailKit|MimeKit|System\.Net|System\.IO|System\.Security|\bSmtp(?:Command|Protocol"
               r"|FailedRecipients?)?Exception\b"
               r"|The server response was:|net_io_connectionclosed|Failure sending mail"
               r"|remote certificate is invalid"
               r"|The SMTP server requires a secure connection|SslHandshakeException"
               r"|ServiceNot(?:Connected|Authenticated)"
               rf"|{windows.WANTS_LOGIN}|{windows.RESPONSE_WAS}"),
    ("ruby", r"Net::(?:SMTP\w*(?:Error|Busy|Command)|OpenTimeout|ReadTimeout)|OpenSSL::SSL::|Errno::E[A-Z]+"
             r"|\.rb:\d+:in |EOFError"
             r"|SMTPUnsupportedCommand"),
    ("perl", r"Net::(?:SMTP|Cmd)\b| at \S{1,200}\.p[lm] line \d+"),
    ("msmtp", r"\bmsmtp: "),
    ("ssmtp", r"\bssmtp: |\bsSMTP\b"),
    ("thunderbird", r"\bOutgoing server \(SMTP\)"),
    ("postfix", r"SASL authentication failed; cannot authenticate to server"
                r"|SASL authentication failure: No worthy mechs"),
    ("curl", r"\bcurl: \(\d+\)|\bcURL error \d+"),
    ("swaks", r"^\*\*\* (?:Error|TLS startup|No auth)"),
    ("lettre", r"\blettre\b|(?:permanent|transient) error \(\d|PermanentNegativeCompletion"
               r"|TransientNegativeCompletion"
               r"|peer certificate: |\(os error \d+\)|No compatible authentication mechanism"),
    ("go", r"\bgomail\b|\bdial tcp\b|\bx509: |\btls: |\bsmtp: (?:server doesn|wrong)|\bunencrypted connection$"
           r"|\bwrong host name$|^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d "
           r"|\.go:\d+"
           r"|\blookup [\w.-]+(?: on [\w.:\[\]]+)?: |short response|\b(?:read|write) tcp |^EOF$|\bgo-mail\b"
           r"|panic: "),
)  # fmt: skip


def software_of(text: str) -> str:
    """The id of the program that wrote a text; empty where nothing tells."""
    return next((software for software, pattern in PROGRAMS if pattern.search(text)), "")


def framework_of(library: str, text: str) -> str:
    """The framework that used a library, where the text around the library's output tells; else the library itself."""
    return next((name for name, pattern in FRAMEWORKS if BUILT_ON[name] == library and pattern.search(text)), library)
