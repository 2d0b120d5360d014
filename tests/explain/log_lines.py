"""Log lines in every format, each with what must be read from it.

The first column is: direction, reply code or error, enhanced status code, stage, rule, recipient, peer; `-` is none.
"""

P = "Nov  4 10:00:00 mx1 postfix"
X = "2024-11-04 10:00:00"
S = "Nov  4 10:00:00 mx1 sm-mta[4711]:"
O = "Nov  4 10:00:00 mx1 smtpd[4711]:"  # noqa: E741
SMTP = "relay=mx.example.com[192.0.2.1]:25, delay=1.2, delays=0.1/0/0.5/0.6"
NONE = "relay=none, delay=30, delays=0.1/0/30/0"

POSTFIX = (
    (
        "out 550 5.1.1 rcpt recipient-unknown user@example.com mx.example.com",
        f"{P}/smtp[123]: 4XyZab1cD2z: to=<user@example.com>, {SMTP}, dsn=5.1.1, status=bounced (host mx.example.com"
        "[192.0.2.1] said: 550 5.1.1 <user@example.com>: Recipient address rejected: User unknown in local recipient"
        " table (in reply to RCPT TO command))",
    ),
    (
        "out 550 5.1.1 rcpt recipient-unknown user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, orig_to=<alias@example.net>, {SMTP}, dsn=5.1.1, status="
        "bounced (host mx.example.com[192.0.2.1] said: 550-5.1.1 The email account that you tried to reach does not"
        " exist. Please try 550-5.1.1 double-checking the address. 550 5.1.1 https://support.example/NoSuchUser"
        " abc-si - gsmtp (in reply to RCPT TO command))",
    ),
    (
        "out 450 4.2.0 rcpt greylisted user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.2.0, status=deferred (host mx.example.com"
        "[192.0.2.1] said: 450 4.2.0 <user@example.com>: Recipient address rejected: Greylisted (in reply to RCPT TO"
        " command))",
    ),
    (
        "out 554 - banner host-takes-no-mail user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.0.0, status=deferred (host mx.example.com"
        "[192.0.2.1] refused to talk to me: 554 mx.example.com ESMTP not accepting connections)",
    ),
    (
        "out 552 5.3.4 mail message-too-large user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=5.3.4, status=bounced (host mx.example.com"
        "[192.0.2.1] said: 552 5.3.4 Message size exceeds fixed limit (in reply to MAIL FROM command))",
    ),
    (
        "out 0 5.3.4 mail message-too-large user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=5.3.4, status=bounced (message size 20480000"
        " exceeds size limit 10240000 of server mx.example.com[192.0.2.1])",
    ),
    (
        "out 554 5.7.1 message content-refused user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=5.7.1, status=bounced (host mx.example.com"
        "[192.0.2.1] said: 554 5.7.1 Message looks odd (in reply to end of DATA command))",
    ),
    (
        "out 530 5.7.0 mail login-required user@example.com relay.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, relay=relay.example.com[192.0.2.9]:587, delay=1, delays="
        "0/0/1/0, dsn=5.7.0, status=bounced (host relay.example.com[192.0.2.9] said: 530 5.7.0 Authentication"
        " required (in reply to MAIL FROM command))",
    ),
    (
        "out 535 5.7.8 auth credentials-wrong user@example.com relay.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, relay=relay.example.com[192.0.2.9]:587, delay=1, delays="
        "0/0/1/0, dsn=4.7.8, status=deferred (SASL authentication failed; server relay.example.com[192.0.2.9] said:"
        " 535 5.7.8 Error: authentication failed: authentication failure)",
    ),
    (
        "out timed-out 4.4.1 connect connection-timed-out user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {NONE}, dsn=4.4.1, status=deferred (connect to"
        " mx.example.com[192.0.2.1]:25: Connection timed out)",
    ),
    (
        "out refused 4.4.1 connect connection-refused user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {NONE}, dsn=4.4.1, status=deferred (delivery temporarily"
        " suspended: connect to mx.example.com[192.0.2.1]:25: Connection refused)",
    ),
    (
        "out unreachable - connect connection-unreachable - mx.example.com",
        f"{P}/smtp[123]: connect to mx.example.com[2001:db8::1]:25: Network is unreachable",
    ),
    (
        "out no-such-host 5.4.4 dns no-such-host user@example.com -",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {NONE}, dsn=5.4.4, status=bounced (Host or domain name not"
        " found. Name service error for name=example.com type=AAAA: Host not found)",
    ),
    (
        "out dns-failed 4.4.3 dns dns-failed user@example.com -",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {NONE}, dsn=4.4.3, status=deferred (Host or domain name"
        " not found. Name service error for name=example.com type=MX: Host not found, try again)",
    ),
    (
        "out no-mail 5.1.0 dns no-mail-here user@example.com -",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {NONE}, dsn=5.1.0, status=bounced (Domain example.com does"
        " not accept mail (nullMX))",
    ),
    (
        "out loops-back 5.4.6 connect loops-back user@example.com -",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {NONE}, dsn=5.4.6, status=bounced (mail for example.com"
        " loops back to myself)",
    ),
    (
        "out closed 4.4.2 banner closed-before-greeting user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.4.2, status=deferred (lost connection with"
        " mx.example.com[192.0.2.1] while receiving the initial server greeting)",
    ),
    (
        "out closed 4.4.2 message message-unanswered user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.4.2, status=deferred (lost connection with"
        " mx.example.com[192.0.2.1] while sending end of data -- message may be sent more than once)",
    ),
    (
        "out timed-out 4.4.2 ehlo no-answer user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.4.2, status=deferred (conversation with"
        " mx.example.com[192.0.2.1] timed out while performing the EHLO handshake)",
    ),
    (
        "out timed-out 4.4.2 rcpt no-answer user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.4.2, status=deferred (conversation with"
        " mx.example.com[192.0.2.1] timed out while sending RCPT TO)",
    ),
    (
        "out tls-failed 4.7.5 starttls tls-no-common-cipher user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.7.5, status=deferred (Cannot start TLS:"
        " handshake failure)",
    ),
    (
        "out starttls-not-offered 4.7.4 starttls starttls-not-offered user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.7.4, status=deferred (TLS is required, but"
        " was not offered by host mx.example.com[192.0.2.1])",
    ),
    (
        "out next-certificate 4.7.5 starttls next-server-certificate user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.7.5, status=deferred (Server certificate not"
        " verified)",
    ),
    (
        "out no-common-mechanism 4.7.0 auth no-common-mechanism user@example.com mx.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=4.7.0, status=deferred (SASL authentication"
        " failed; cannot authenticate to server mx.example.com[192.0.2.1]: no mechanism available)",
    ),
    (
        "in client-tls-failed - starttls remote-client-tls - -",
        f"{P}/smtpd[123]: warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:statem.c:2220:",
    ),
    (
        "out tls-failed - starttls tls-no-common-cipher - -",
        f"{P}/smtp[123]: warning: TLS library problem: error:0A000410:SSL routines::sslv3 alert handshake failure:x:",
    ),
    (
        "in server-stopped - connect login-not-set-up - -",
        f"{P}/smtpd[123]: fatal: no SASL authentication mechanisms",
    ),
    (
        "out server-stopped - connect server-stopped - -",
        f"{P}/smtp[123]: fatal: open database /etc/postfix/transport.db: No such file or directory",
    ),
    (
        "out 0 5.1.1 - recipient-unknown bob@example.com -",
        f"{P}/local[123]: A1B2C3D4E5: to=<bob@example.com>, relay=local, delay=0, dsn=5.1.1, status=bounced (unknown"
        ' user: "bob")',
    ),
    (
        "out 552 5.2.2 rcpt mailbox-full bob@example.com mail.example.com",
        f"{P}/lmtp[123]: A1B2C3D4E5: to=<bob@example.com>, relay=mail.example.com[private/dovecot-lmtp], delay=0, dsn="
        "5.2.2, status=bounced (host mail.example.com[private/dovecot-lmtp] said: 552 5.2.2 <bob@example.com> Quota"
        " exceeded (in reply to RCPT TO command))",
    ),
    (
        "out 450 4.7.1 rcpt name-not-confirmed - mx2.example.com",
        f"{P}/smtp[123]: A1B2C3D4E5: host mx2.example.com[192.0.2.2] said: 450 4.7.1 Client host rejected: cannot find"
        " your hostname, [198.51.100.7] (in reply to RCPT TO command)",
    ),
    (
        "out expired 5.4.7 connect * - -",
        f"{P}/qmgr[9]: A1B2C3D4E5: from=<a@example.net>, status=expired, returned to sender",
    ),
    (
        "in 550 5.1.1 rcpt recipient-unknown nobody@example.com mail.example.net",
        f"{P}/smtpd[123]: NOQUEUE: reject: RCPT from mail.example.net[198.51.100.1]: 550 5.1.1 <nobody@example.com>:"
        " Recipient address rejected: User unknown in virtual mailbox table; from=<a@example.net>"
        " to=<nobody@example.com> proto=ESMTP helo=<mail.example.net>",
    ),
    (
        "in 554 5.7.1 rcpt relay-denied x@example.org 198.51.100.1",
        f"{P}/smtpd[123]: NOQUEUE: reject: RCPT from unknown[198.51.100.1]: 554 5.7.1 <x@example.org>: Relay access"
        " denied; from=<a@example.net> to=<x@example.org> proto=SMTP helo=<host>",
    ),
    (
        "in 554 5.7.1 rcpt * b@example.com 198.51.100.1",
        f"{P}/smtpd[123]: NOQUEUE: reject: RCPT from unknown[198.51.100.1]: 554 5.7.1 Service unavailable; Client host"
        " [198.51.100.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/198.51.100.1;"
        " from=<a@example.net> to=<b@example.com> proto=ESMTP helo=<host>",
    ),
    (
        "in 450 4.1.8 rcpt * b@example.com 198.51.100.1",
        f"{P}/smtpd[123]: NOQUEUE: reject: RCPT from unknown[198.51.100.1]: 450 4.1.8 <a@nodomain.invalid>: Sender"
        " address rejected: Domain not found; from=<a@nodomain.invalid> to=<b@example.com> proto=ESMTP helo=<host>",
    ),
    (
        "in 450 4.7.1 ehlo helo-not-resolvable - 198.51.100.1",
        f"{P}/smtpd[123]: NOQUEUE: reject: EHLO from unknown[198.51.100.1]: 450 4.7.1 <host>: Helo command rejected:"
        " Host not found; proto=SMTP helo=<host>",
    ),
    (
        "in 554 5.7.1 message spam-refused b@example.com mail.example.net",
        f"{P}/cleanup[123]: A1B2C3D4E5: milter-reject: END-OF-MESSAGE from mail.example.net[198.51.100.1]: 554 5.7.1"
        " Spam message rejected; from=<a@example.net> to=<b@example.com> proto=ESMTP helo=<mail.example.net>",
    ),
    (
        "in 0 5.7.1 message content-refused b@example.com mail.example.net",
        f"{P}/cleanup[123]: A1B2C3D4E5: reject: header Subject: cheap pills from mail.example.net[198.51.100.1];"
        " from=<a@example.net> to=<b@example.com> proto=ESMTP helo=<mail.example.net>: 5.7.1 No such subjects here",
    ),
    (
        "in 550 5.7.1 rcpt * b@example.com 198.51.100.1",
        f"{P}/postscreen[123]: NOQUEUE: reject: RCPT from [198.51.100.1]:41234: 550 5.7.1 Service unavailable; client"
        " [198.51.100.1] blocked using bl.example.net; from=<a@example.net>, to=<b@example.com>, proto=ESMTP,"
        " helo=<host>",
    ),
    (
        "in 421 - banner connection-limit - 198.51.100.1",
        f"{P}/postscreen[123]: NOQUEUE: reject: CONNECT from [198.51.100.1]:41234: too many connections",
    ),
    (
        "in client-lost - rcpt * - mail.example.net",
        f"{P}/smtpd[123]: lost connection after RCPT from mail.example.net[198.51.100.1]",
    ),
    (
        "in client-lost - message * - mail.example.net",
        f"{P}/smtpd[123]: lost connection after DATA (1500 bytes) from mail.example.net[198.51.100.1]",
    ),
    (
        "in client-timed-out - message * - mail.example.net",
        f"{P}/smtpd[123]: timeout after END-OF-MESSAGE from mail.example.net[198.51.100.1]",
    ),
    (
        "in too-many-errors - auth * - 198.51.100.1",
        f"{P}/smtpd[123]: too many errors after AUTH from unknown[198.51.100.1]",
    ),
    (
        "in pipelined-unoffered - data client-pipelined-unoffered - 198.51.100.1",
        f"{P}/smtpd[123]: improper command pipelining after DATA from unknown[198.51.100.1]: From: x\\r\\n",
    ),
    (
        "in client-tls-failed - starttls * - mail.example.net",
        f"{P}/smtpd[123]: SSL_accept error from mail.example.net[198.51.100.1]: lost connection",
    ),
    (
        "in 454 4.7.0 auth login-service-down - 198.51.100.1",
        f"{P}/submission/smtpd[123]: warning: unknown[198.51.100.1]: SASL PLAIN authentication failed: Connection lost"
        " to authentication server",
    ),
    (
        "in 421 4.7.0 banner connection-rate - 198.51.100.1",
        f"{P}/smtpd[123]: warning: Connection rate limit exceeded: 61 from unknown[198.51.100.1] for service smtp",
    ),
    (
        "in milter-unreachable - mail filter-unavailable - -",
        f"{P}/smtpd[123]: warning: connect to Milter service inet:localhost:8891: Connection refused",
    ),
    (
        "in sasl-unreachable - connect login-not-set-up - -",
        f"{P}/smtpd[123]: warning: SASL: Connect to private/auth failed: No such file or directory",
    ),
    (
        "out no-such-socket 4.4.1 connect no-such-socket user@example.com private/dovecot-lmtp",
        f"{P}/lmtp[123]: 4A4A00Bc012345: to=<user@example.com>, relay=none, delay=0.1, delays=0.1/0/0/0, dsn=4.4.1,"
        " status=deferred (connect to mail.example.com[private/dovecot-lmtp]: No such file or directory)",
    ),
    (
        "in client-lost - banner * - 198.51.100.1",
        f"{P}/postscreen[123]: HANGUP after 0.5 from [198.51.100.1]:41234 in tests before SMTP handshake",
    ),
    (
        "in bare-lf - ehlo client-bare-lf - 198.51.100.1",
        f"{P}/postscreen[123]: BARE NEWLINE from [198.51.100.1]:41234 after EHLO",
    ),
)

EXIM = (
    (
        "out 550 - rcpt * me@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D ** me@example.com R=dnslookup T=remote_smtp: SMTP error from remote mail server after"
        " RCPT TO:<me@example.com>: host mx.example.com [192.0.2.1]: 550-Verification failed for <a@host>\\n550-"
        "Unrouteable address\\n550 Sender verify failed",
    ),
    (
        "out 550 5.1.1 rcpt recipient-unknown user@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D ** user@example.com R=dnslookup T=remote_smtp H=mx.example.com [192.0.2.1] X=TLS1.3:"
        "TLS_AES_256_GCM_SHA384:256 CV=yes: SMTP error from remote mail server after RCPT TO:<user@example.com>: 550"
        " 5.1.1 <user@example.com>: Recipient address rejected: User unknown",
    ),
    (
        "out 550 - rcpt recipient-unknown user@example.com mx.example.com",
        f"{X} [4711] 1t7abc-000Abc-2D ** user@example.com F=<a@example.net> R=dnslookup T=remote_smtp: SMTP error from"
        " remote mail server after RCPT TO:<user@example.com>: host mx.example.com [192.0.2.1]: 550 No such user here",
    ),
    (
        "out 451 - rcpt greylisted user@example.com mx.example.com",
        f"{X} 1t7abc-000000Abcde-2Def == user@example.com R=dnslookup T=remote_smtp defer (-44) H=mx.example.com"
        " [192.0.2.1]: SMTP error from remote mail server after RCPT TO:<user@example.com>: 451 Greylisted, please try"
        " again in 300 seconds",
    ),
    (
        "out 554 5.7.1 message content-refused user@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D ** user@example.com R=dnslookup T=remote_smtp H=mx.example.com [192.0.2.1]: SMTP error"
        " from remote mail server after pipelined end of data: 554 5.7.1 Message is odd",
    ),
    (
        "out 550 5.1.8 mail sender-domain-not-found user@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D ** user@example.com R=dnslookup T=remote_smtp H=mx.example.com [192.0.2.1]: SMTP error"
        " from remote mail server after pipelined MAIL FROM:<a@example.net> SIZE=2048: 550 5.1.8 Sender not welcome",
    ),
    (
        "out 421 - banner overloaded user@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D == user@example.com R=dnslookup T=remote_smtp defer (-46) H=mx.example.com [192.0.2.1]:"
        " SMTP error from remote mail server after initial connection: 421 mx.example.com Too busy",
    ),
    (
        "out timed-out - connect connection-timed-out user@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D == user@example.com R=dnslookup T=remote_smtp defer (110) H=mx.example.com [192.0.2.1]:"
        " Connection timed out",
    ),
    (
        "out closed - banner closed-before-greeting user@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D == user@example.com R=dnslookup T=remote_smtp defer (-18) H=mx.example.com [192.0.2.1]:"
        " Remote host closed connection in response to initial connection",
    ),
    (
        "out dns-failed - dns dns-failed user@example.com -",
        f"{X} 1t7abc-000Abc-2D == user@example.com R=dnslookup defer (-1): host lookup did not complete",
    ),
    (
        "out not-routed - rcpt not-routed nobody@example.com -",
        f"{X} 1t7abc-000Abc-2D ** nobody@example.com: Unrouteable address",
    ),
    (
        "out not-routed - rcpt not-routed bob@nodomain.invalid -",
        f"{X} 1t7abc-000Abc-2D ** bob@nodomain.invalid R=dnslookup: Unrouteable address",
    ),
    (
        "out 550 5.1.1 rcpt recipient-unknown e@example.net -",
        f"{X} 1t7abc-000Abc-2D ** e@example.net R=localuser T=dovecot_lmtp: LMTP error after RCPT TO:<e@example.net>:"
        " 550 5.1.1 <e@example.net> User doesn't exist: e@example.net",
    ),
    (
        "out expired - connect * user@example.com -",
        f"{X} 1t7abc-000Abc-2D ** user@example.com R=dnslookup T=remote_smtp: retry timeout exceeded",
    ),
    (
        "out starttls-not-offered - starttls starttls-not-offered user@example.com mx.example.com",
        f"{X} 1t7abc-000Abc-2D == user@example.com R=dnslookup T=remote_smtp defer (-38) H=mx.example.com [192.0.2.1]:"
        " a TLS session is required, but the server did not offer TLS support",
    ),
    (
        "out 451 - - delivery-suspended user@example.com -",
        f"{X} 1t7abc-000Abc-2D == user@example.com R=dnslookup T=remote_smtp defer (-53): retry time not reached for"
        " any host for 'example.com'",
    ),
    (
        "in 0 - banner no-reverse-name - 198.51.100.7",
        f"{X} no host name found for IP address 198.51.100.7",
    ),
    (
        "in 0 - banner name-not-confirmed - 198.51.100.7",
        f"{X} no IP address found for host mail.example.net (during SMTP connection from [198.51.100.7]:4711)",
    ),
    (
        "out no-such-host - dns no-such-host user@example.com -",
        f"{X} 1t7abc-000Abc-2D ** user@example.com R=dnslookup: all relevant MX records point to non-existent hosts",
    ),
    (
        "in 550 - rcpt relay-denied x@example.org mail.example.net",
        f"{X} H=mail.example.net [198.51.100.1]:4711 I=[192.0.2.1]:25 F=<a@example.net> rejected RCPT <x@example.org>:"
        " relay not permitted",
    ),
    (
        "in 451 - rcpt greylisted b@example.com 198.51.100.1",
        f"{X} H=(host) [198.51.100.1]:4711 F=<a@example.net> temporarily rejected RCPT <b@example.com>: greylisted",
    ),
    (
        "in 550 - message content-refused - mail.example.net",
        f"{X} 1t7abc-000Abc-2D H=mail.example.net (helo) [198.51.100.1]:4711 F=<a@example.net> rejected after DATA:"
        " This message scored 12.5 points",
    ),
    (
        "in 550 - ehlo ehlo-refused - 198.51.100.1",
        f"{X} H=[198.51.100.1]:4711 rejected EHLO or HELO ylmf-pc: syntactically invalid argument(s)",
    ),
    (
        "in 550 - mail sender-refused - mail.example.net",
        f"{X} H=mail.example.net [198.51.100.1]:4711 rejected MAIL <a@example.net>: not from here",
    ),
    (
        "in 552 - mail message-too-large - 2001:db8::7",
        f"{X} rejected MAIL FROM:<a@example.com> H=(host) [2001:db8::7]: message too big: size>=2147483647"
        " max=10240000",
    ),
    (
        "in client-tls-failed - starttls * - 198.51.100.1",
        f"{X} TLS error on connection from (host) [198.51.100.1]:4711 (SSL_accept): error:0A000102:SSL routines::"
        "unsupported protocol",
    ),
    (
        "in client-lost - ehlo * - 198.51.100.1",
        f"{X} unexpected disconnection while reading SMTP command from (host) [198.51.100.1]:4711 D=3s",
    ),
    (
        "in client-timed-out - ehlo * - mail.example.net",
        f"{X} SMTP command timeout on connection from mail.example.net [198.51.100.1]:4711 D=5m1s",
    ),
    (
        "in client-timed-out - message * - mail.example.net",
        f"{X} 1t7abc-000Abc-2D SMTP data timeout (message abandoned) on connection from mail.example.net"
        " [198.51.100.1]:4711 F=<a@example.net>",
    ),
    (
        "in early-talker - ehlo client-early-talker - 198.51.100.1",
        f"{X} SMTP protocol synchronization error (input sent without waiting for greeting): rejected connection from"
        ' H=[198.51.100.1]:4711 input="EHLO host\\r\\n"',
    ),
    (
        "in wrong-order-by-client - auth client-wrong-order - 198.51.100.1",
        f'{X} SMTP protocol error in "AUTH LOGIN" H=(host) [198.51.100.1]:4711 AUTH command used when not advertised',
    ),
    (
        "in too-many-errors - ehlo * - 198.51.100.1",
        f"{X} SMTP call from [198.51.100.1]:4711 dropped: too many syntax or protocol errors (last command was"
        ' "GET / HTTP/1.1")',
    ),
)

SENDMAIL = (
    (
        "out 0 5.1.1 - recipient-unknown user@example.com mx.example.com",
        f"{S} 4A4A00Bc012345: to=<user@example.com>, ctladdr=<a@example.net> (1000/1000), delay=00:00:02, xdelay="
        "00:00:01, mailer=esmtp, pri=30000, relay=mx.example.com. [192.0.2.1], dsn=5.1.1, stat=User unknown",
    ),
    (
        "out timed-out - connect connection-timed-out user@example.com mx.example.com",
        f"{S} 4A4A00Bc012345: to=<user@example.com>, delay=00:05:00, xdelay=00:05:00, mailer=esmtp, pri=120000, relay="
        "mx.example.com. [192.0.2.1], dsn=4.0.0, stat=Deferred: Connection timed out with mx.example.com.",
    ),
    (
        "out 451 4.7.1 - greylisted user@example.com mx.example.com",
        f"{S} 4A4A00Bc012345: to=<user@example.com>, delay=00:00:02, mailer=esmtp, relay=mx.example.com. [192.0.2.1],"
        " dsn=4.7.1, stat=Deferred: 451 4.7.1 Greylisting in action, please come back later",
    ),
    (
        "out 550 5.7.1 - * user@example.com mx.example.com",
        f"{S} 4A4A00Bc012345: to=<user@example.com>, delay=00:00:02, mailer=esmtp, relay=mx.example.com. [192.0.2.1],"
        " dsn=5.7.1, reply=550 5.7.1 not welcome, stat=Service unavailable",
    ),
    (
        "out no-such-host 5.1.2 dns no-such-host user@example.com -",
        f"{S} 4A4A00Bc012345: to=<user@example.com>, delay=00:00:00, mailer=esmtp, dsn=5.1.2, stat=Host unknown (Name"
        " server: example.com: host not found)",
    ),
    (
        "in 550 5.7.1 rcpt relay-denied x@example.org mail.example.net",
        f"{S} 4A4A00Bc012345: ruleset=check_rcpt, arg1=<x@example.org>, relay=mail.example.net [198.51.100.1],"
        " reject=550 5.7.1 <x@example.org>... Relaying denied",
    ),
    (
        "in 553 5.1.8 mail sender-domain-not-found - mail.example.net",
        f"{S} 4A4A00Bc012345: ruleset=check_mail, arg1=<a@nodomain.invalid>, relay=mail.example.net [198.51.100.1],"
        " reject=553 5.1.8 <a@nodomain.invalid>... Domain of sender address a@nodomain.invalid does not exist",
    ),
    (
        "in 554 5.7.1 banner * - mail.example.net",
        f"{S} ruleset=check_relay, arg1=mail.example.net, arg2=198.51.100.1, relay=mail.example.net [198.51.100.1],"
        " reject=554 5.7.1 Rejected: 198.51.100.1 listed at bl.example.net",
    ),
    (
        "in 451 4.7.1 rcpt greylisted b@example.com -",
        f"{S} 4A4A00Bc012345: Milter: to=<b@example.com>, reject=451 4.7.1 Greylisting in action, please come back in"
        " 00:05:00",
    ),
    (
        "in 554 5.7.1 message content-refused - -",
        f"{S} 4A4A00Bc012345: Milter: data, reject=554 5.7.1 Command rejected",
    ),
    (
        "in 550 5.1.1 rcpt recipient-unknown nobody@example.com -",
        f"{S} 4A4A00Bc012345: <nobody@example.com>... User unknown",
    ),
    (
        "in client-lost - rcpt * - mail.example.net",
        f"{S} 4A4A00Bc012345: lost input channel from mail.example.net [198.51.100.1] to MTA after rcpt",
    ),
    (
        "in client-lost - ehlo * - mail.example.net",
        f"{S} 4A4A00Bc012345: mail.example.net [198.51.100.1] did not issue MAIL/EXPN/VRFY/ETRN during connection to"
        " MTA",
    ),
    (
        "in 535 5.7.0 auth credentials-wrong - 198.51.100.1",
        f"{S} 4A4A00Bc012345: AUTH failure (LOGIN): user not found (-20) SASL(-13): user not found: checkpass failed,"
        " user=bob, relay=[198.51.100.1]",
    ),
    (
        "in client-tls-failed - starttls * - mail.example.net",
        f"{S} STARTTLS=server, error: accept failed=-1, reason=unsupported protocol, SSL_error=1, errno=0, retry=-1,"
        " relay=mail.example.net [198.51.100.1]",
    ),
)

OPENSMTPD = (
    (
        "out 550 5.1.1 - recipient-unknown user@example.com mx.example.com",
        f"{O} 5e2c9a0d4f6b1c2d mta delivery evpid=a1b2c3d4e5f60718 from=<a@example.net> to=<user@example.com> rcpt=<->"
        ' source="198.51.100.7" relay="192.0.2.1 (mx.example.com)" delay=2s result="PermFail" stat="550 5.1.1 User'
        ' unknown"',
    ),
    (
        "out 451 4.7.1 - greylisted user@example.com mx.example.com",
        f"{O} 5e2c9a0d4f6b1c2d mta delivery evpid=a1b2c3d4e5f60718 from=<a@example.net> to=<user@example.com> rcpt=<->"
        ' source="198.51.100.7" relay="192.0.2.1 (mx.example.com)" delay=2s result="TempFail" stat="451 4.7.1'
        ' Greylisted"',
    ),
    (
        "out timed-out - connect connection-timed-out - 192.0.2.1",
        f'{O} 5e2c9a0d4f6b1c2d mta error address=192.0.2.1 host=<unknown> reason="Connection timeout"',
    ),
    (
        "in 550 - rcpt * nobody@example.com mail.example.net",
        f"{O} 5e2c9a0d4f6b1c2d smtp failed-command address=198.51.100.1 host=mail.example.net"
        ' command="RCPT TO:<nobody@example.com>" result="550 Invalid recipient: <nobody@example.com>"',
    ),
    (
        "in 535 - auth credentials-wrong - -",
        f'{O} 5e2c9a0d4f6b1c2d smtp failed-command command="AUTH LOGIN (password)" result="535 Authentication failed"',
    ),
    (
        "out 550 5.7.1 - * bill@example.com mx.example.com",
        f"{O} 5e2c9a0d4f6b1c2d mta event=delivery evpid=7077717e797a776e from=<a@example.net> to=<bill@example.com>"
        ' rcpt=<-> source="203.0.113.1" relay="192.0.2.1 (mx.example.com)" delay=1s result="PermFail" stat="550 5.7.1'
        " Unfortunately, messages from [203.0.113.1] weren't sent.\"",
    ),
    (
        "in 550 - banner no-reverse-name - -",
        f'{O} 5e2c9a0d4f6b1c2d smtp failed-command command="" result="550 no rDNS please fix"',
    ),
    (
        "in 451 - data content-postponed - -",
        f'{O} 5e2c9a0d4f6b1c2d smtp failed-command command="DATA" result="451 Try again later"',
    ),
    (
        "in 500 5.5.1 ehlo * - -",
        f'{O} 5e2c9a0d4f6b1c2d smtp bad-input result="500 5.5.1 Invalid command: Pipelining not supported"',
    ),
    (
        "in client-timed-out - ehlo * - -",
        f"{O} 5e2c9a0d4f6b1c2d smtp disconnected reason=timeout",
    ),
)

EXCHANGE = (
    (
        "out 550 5.1.1 - recipient-unknown - 192.0.2.1",
        "2024-11-04T10:00:00.000Z,Outbound,08DA4F7C11473A60,9,198.51.100.7:4711,192.0.2.1:25,<,"
        '"550 5.1.1 <user@example.com>, User unknown",',
    ),
    (
        "in 530 5.7.57 mail microsoft-not-logged-in - 198.51.100.1",
        "2024-11-04T10:00:00.000Z,EX1\\Client Frontend EX1,08DA4F7C11473A60,9,192.0.2.1:587,198.51.100.1:4711,>,530"
        " 5.7.57 Client not authenticated to send mail,",
    ),
    (
        "out 550 5.1.10 - * user@example.com EX1",
        "2024-11-04T10:00:00.000Z,192.0.2.1,EX1,192.0.2.2,EX1,,,ROUTING,FAIL,1234567,<m1@example.net>,"
        "5f1d3c2e-0000-4000-8000-08da4f7c1147,user@example.com,'550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient"
        " not found',4096,1,,,Hello,a@example.net,a@example.net,,",
    ),
)

ALL = {"postfix": POSTFIX, "exim": EXIM, "sendmail": SENDMAIL, "opensmtpd": OPENSMTPD, "exchange": EXCHANGE}

#: Lines that tell of no failure.
CHATTER = (
    f"{P}/smtpd[123]: connect from mail.example.net[198.51.100.1]",
    f"{P}/smtpd[123]: A1B2C3D4E5: client=mail.example.net[198.51.100.1]",
    f"{P}/smtpd[123]: disconnect from mail.example.net[198.51.100.1] ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4",
    f"{P}/smtpd[123]: NOQUEUE: reject_warning: RCPT from unknown[198.51.100.1]: 450 4.7.1 <host>: Helo command"
    " rejected: Host not found; from=<a@example.net> to=<b@example.com> proto=SMTP helo=<host>",
    f"{P}/cleanup[123]: A1B2C3D4E5: message-id=<lost connection after reject@example.net>",
    f"{P}/qmgr[9]: A1B2C3D4E5: from=<a@example.net>, size=1234, nrcpt=1 (queue active)",
    f"{P}/qmgr[9]: A1B2C3D4E5: removed",
    f"{P}/smtp[123]: A1B2C3D4E5: to=<user@example.com>, {SMTP}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9F)",
    f"{P}/bounce[123]: A1B2C3D4E5: sender non-delivery notification: B1B2C3D4E5",
    f"{X} 1t7abc-000Abc-2D <= a@example.net H=mail.example.net [198.51.100.1] P=esmtps S=1234",
    f'{X} 1t7abc-000Abc-2D => user@example.com R=dnslookup T=remote_smtp H=mx.example.com [192.0.2.1] C="250 OK"',
    f"{X} 1t7abc-000Abc-2D Completed",
    f"{S} 4A4A00Bc012345: from=<a@example.net>, size=1234, class=0, nrcpts=1, relay=mail.example.net [198.51.100.1]",
    f"{S} 4A4A00Bc012345: to=<user@example.com>, mailer=esmtp, relay=mx.example.com. [192.0.2.1], dsn=2.0.0, stat=Sent"
    " (OK 1234)",
    f"{O} 5e2c9a0d4f6b1c2d smtp connected address=198.51.100.1 host=mail.example.net",
    f"{O} 5e2c9a0d4f6b1c2d smtp disconnected reason=quit",
    f"{O} 5e2c9a0d4f6b1c2d mta delivery evpid=a1b2c3d4e5f60718 from=<a@example.net> to=<user@example.com> rcpt=<->"
    ' result="Ok" stat="250 2.0.0 Ok"',
    "#Software: Microsoft Exchange Server",
    "2024-11-04T10:00:00.000Z,Outbound,08DA4F7C11473A60,9,198.51.100.7:4711,192.0.2.1:25,<,250 2.1.0 Sender OK,",
    "2024-11-04T10:00:00.000Z,192.0.2.1,EX1,192.0.2.2,EX1,,,SMTP,RECEIVE,1234567,<m1@example.net>,"
    "5f1d3c2e-0000-4000-8000-08da4f7c1147,user@example.com,,4096,1,,,FAIL,a@example.net,a@example.net,,",
    "Nov  4 10:00:00 mx1 dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<a>, method=PLAIN",
    "Nov  4 10:00:00 mx1 kernel: Out of memory: status=bounced",
)
