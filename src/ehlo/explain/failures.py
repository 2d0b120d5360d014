"""The words in which programs and systems speak of failures below SMTP, and what they mean.

To teach it another wording, add a line to `_WORDS`; one of Windows, to `windows`. The first line that fits
decides, so the particular ones come first.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from ehlo.explain import windows
from ehlo.smtp.stages import Stage

#: More of a line, nobody reads.
_MAX_LINE = 4000


class Failure(NamedTuple):
    """A failure: `error` is an id of `NETWORK_ERRORS` or of rules, or `certificate` that of a certificate's problem.

    `stage` is None where the words do not tell it.
    """

    error: str = ""
    certificate: str = ""
    stage: Stage | None = None


class _Words(NamedTuple):
    pattern: str
    error: str = ""
    certificate: str = ""
    stage: Stage | None = None


def _tls(pattern: str) -> _Words:
    return _Words(pattern, "tls-failed", stage="tls")


def _certificate(problem: str, pattern: str) -> _Words:
    return _Words(pattern, certificate=problem, stage="tls")


_WORDS = (
    # What a program finds wrong with its own settings, or with how it is called.
    _Words(r"\bEBADNAME\b|too many colons in address|(?:\blookup|ENOTFOUND|UnknownHostException:|getaddrinfo for"
           r"|Unknown host:?|resolve host(?: name)?:?) ['\"]?(?:[a-z]{3,6}://|[\w.-]+:\d{1,5}\b)",
           "host-setting-wrong", stage="dns"),
    _Words(r"missing port in address", "port-missing", stage="dns"),
    _Words(r"please run connect\(\) first|\bServer not connected|ServiceNotConnected|\bSMTP session not yet started"
           r"|SmtpClient is not connected|IllegalStateException: Not connected", "not-connected", stage="ehlo"),
    _Words(r"^(?:RENEGOTIATING|KEYUPDATE)\b", "taken-by-openssl", stage="rcpt"),
    # A certificate's problems, by name.
    _certificate("expired", r"certificate (?:has |is )?expired|CERT_HAS_EXPIRED|CertificateExpiredException"
                 r"|peer certificate: Expired|certificate has expired or is not yet valid|X509_V_ERR_CERT_HAS_EXPIRED"
                 r"|SEC_E_CERT_EXPIRED|verify error:num=10\b|certificate chain uses expired certificate"),
    _certificate("not-yet-valid", r"certificate is not (?:yet valid|valid yet)|CERT_NOT_YET_VALID"
                                  r"|CertificateNotYetValid"
                 r"|not yet activated|NotValidYet|verify error:num=9\b"),
    _certificate("wrong-name", r"hostname mismatch|ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate's altnames"
                 r"|certificate is (?:not )?valid for [^\n]{1,300}(?:, not |, but )"
                 r"|x509: certificate is not valid for any"
                 r"|hostname [^\n]{1,200} does(?:n't| not) match|CN=[^\n]{1,200} did not match expected"
                 r"|No subject alternative (?:DNS )?names?|No name matching [^\n]{1,200} found|IP address mismatch"
                 r"|RemoteCertificateNameMismatch|NotValidForName|no alternative certificate subject name matches"
                 r"|the name in the certificate does not match|certificate owner does not match|CN mismatch"
                 r"|cannot validate certificate for [^\n]{1,200} because it doesn't contain any IP SANs"
                 r"|server identity check failed|SEC_E_WRONG_PRINCIPAL|verify error:num=6[24]\b"
                 r"|(?:subject name|common name)[^\n]{0,200} does not match (?:target )?host"),
    # MailKit lists what might be: "a self-signed certificate which cannot be verified".
    _certificate("self-signed", r"DEPTH_ZERO_SELF_SIGNED_CERT|(?<!in )self[- ]signed certificate(?! in| which)"
                 r"|verify error:num=18\b"),
    _certificate("unknown-root", r"self[- ]signed certificate in (?:the )?certificate chain|SELF_SIGNED_CERT_IN_CHAIN"
                 r"|verify error:num=19\b|UntrustedRoot"),
    _certificate("revoked", r"certificate (?:was |has been |is )?revoked|CERT_REVOKED|verify error:num=23\b"),
    _certificate("incomplete-chain", r"unable to verify the first certificate|UNABLE_TO_VERIFY_LEAF_SIGNATURE"
                 r"|verify error:num=21\b"),
    _certificate("unknown-issuer", r"unable to get (?:local )?issuer certificate|UNABLE_TO_GET_ISSUER_CERT"
                 r"|signed by unknown authority|PKIX path (?:building|validation) failed"
                 r"|unable to find valid certification path|(?:certificate )?issuer is (?:unknown|not recognized)"
                 r"|peer certificate: UnknownIssuer|RemoteCertificateChainErrors|PartialChain|alert unknown ca\b"
                 r"|unknown[_ ]ca\b|SEC_E_UNTRUSTED_ROOT|certificate is not trusted|verify error:num=20\b"),
    _certificate("weak-key", r"ee key too small|EE certificate key too weak|verify error:num=6[67]\b"
                 r"|key(?:size)? (?:is )?too (?:small|weak)[^\n]{0,40}certificate"),
    _certificate("weak-signature", r"ca md too weak|ee md too weak|CA signature digest algorithm too weak"
                 r"|insecure algorithm|verify error:num=68\b"),
    _certificate("not-verified", r"certificate[_ ]verify[_ ]failed|certificate verification failed"
                 r"|remote certificate is invalid|SSL certificate problem|TLS certificate verification failed"
                 r"|server's certificate (?:could not be|is not) verified|SSLPeerUnverifiedException|bad certificate"
                 r"|failed to verify certificate|peer certificate: |verify error:num=\d"
                 r"|certificate could not be validated|certificate presented by the server is not trusted"
                 rf"|certificate fingerprint does not match|{windows.CERTIFICATE}"),
    # TLS.
    _tls(r"wrong[_ ]version[_ ]number|first record does not look like a TLS handshake|unknown protocol\b"
         r"|Unrecognized SSL message|plaintext connection\?|packet length too long|http request\b(?=[^\n]{0,40}ssl)"
         r"|ERR_SSL_WRONG_VERSION|unexpected packet format|Cannot determine the frame size|InvalidContentType"
         r"|ERR_SSL_PACKET_LENGTH|unexpected TLS packet|An unexpected TLS packet was received|not an SSL/TLS record"
         r"|Unsupported or unrecognized SSL message|record overflow|received corrupt message"
         r"|typically reserved for plain-text connections"),
    _tls(r"unsupported[_ ]protocol|no[_ ]protocols[_ ]available|alert protocol version|version[_ ]too[_ ]low"
         r"|protocol version not supported|No appropriate protocol|protocol_version"
         r"|server selected unsupported protocol"
         r"|client and server don't have a supported protocol|PROTOCOL_VERSION|unsupported versions"),
    _tls(r"handshake[_ ]failure|no[_ ]shared[_ ]cipher|dh[_ ]key[_ ]too[_ ]small"
         r"|no cipher(?:suite)?s?\b[^\n]{0,30}common"
         r"|no ciphers available|prime size|do not possess a common algorithm"),
    _Words(r"TLS handshake (?:timed out|timeout)|handshake operation timed out|SSL connection timeout"
           r"|handshake timed out", "tls-timed-out", stage="tls"),
    _Words(r"(?:handshake|SSL routines|ssl|tls)[^\n]{0,120}unexpected[_ ]eof|UNEXPECTED_EOF|EOF occurred in violation"
           r"|Remote host (?:terminated|closed connection during) (?:the )?handshake|SSL_ERROR_SYSCALL"
           r"|disconnected before secure TLS connection|ssl handshake failure:.{0,20}errno=0"
           r"|The TLS connection was non-properly terminated|handshake[^\n]{0,60}(?:connection reset|reset by peer)"
           r"|received an unexpected EOF or 0 bytes from the transport", "tls-cut", stage="tls"),
    _Words(r"Could not convert socket to TLS|Unable to connect with STARTTLS|stream_socket_enable_crypto"
           r"|TLS startup failed|Error upgrading connection with STARTTLS|Cannot enable crypto|Unable to start TLS"
           r"|TLS (?:handshake|negotiation) failed|handshake (?:has )?failed|starttls failed", "tls-failed",
           stage="starttls"),
    _tls(r"SSLHandshakeException|SSLException|SslHandshakeException|SSL routines|\[SSL:|SSL_connect"
         r"|alert internal error"
         r"|SSL connect error|SSL operation failed|tls: |Authentication failed, see inner exception|gnutls_handshake"
         r"|OpenSSL::SSL::SSLError|ssl\.SSLError"),
    # What the server does not offer, or the client lacks.
    _Words(r"STARTTLS (?:extension )?(?:is )?not supported|does not support (?:the )?(?:TLS via the )?STARTTLS"
           r"|doesn't support STARTTLS|STARTTLS is required but|Server does not support secure connections"
           r"|TLS required but neither|Requested SSL level failed|STARTTLS not (?:supported|offered|available)"
           r"|does not support STARTTLS|STARTTLS is not (?:available|supported|advertised)"
           r"|STARTTLS support not advertised"
           r"|using STARTTLS since it doesn't advertise"
           r"|Host did not advertise STARTTLS|Cannot negotiate STARTTLS|Didn't find STARTTLS in server response",
           "starttls-not-offered", stage="starttls"),
    _Words(r"SMTP AUTH extension (?:is )?not supported|doesn't support AUTH|does not support (?:SMTP )?auth"
           r"|Host did not advertise any auth|Server doesn't support AUTH|authentication is not supported"
           r"|the server does not support authentication", "auth-not-offered", stage="auth"),
    _Words(r"No suitable authentication method|No authentication mechanisms supported by both"
           r"|No compatible authentication"
           r"|Authentication method [^\n]{1,60} not supported|no supported authentication|cannot find a usable auth"
           r"|No supported authenticators|No authentication type succeeded\b(?=[^\n]*none)"
           r"|the server does not support any of the"
           r"|no mechanism available|No worthy mechs found", "no-common-mechanism", stage="auth"),
    _Words(r"unencrypted connection|cannot use a secure authentication method"
           r"|refus\w+ to (?:send|use) [^\n]{0,40}clear",
           "auth-in-clear", stage="auth"),
    _Words(r"Missing credentials|no password specified|no username specified|must specify (?:a )?(?:user|password)"
           r"|password command|password is required but", "login-impossible", stage="auth"),
    _Words(r"smtp: wrong host name|\bwrong host name\b", "login-impossible", stage="auth"),
    _Words(r"No recipients defined|at least one recipient email|All recipients? (?:is|are) missing|no recipients? found"
           r"|must have (?:at least one|a) (?:recipient|\"To\")|Email \"to\" field is missing"
           r"|A recipient must be specified|No recipient addresses",
           "no-recipient-given", stage="rcpt"),
    _Words(r"The SMTP host was not specified", "host-not-given", stage="dns"),
    _Words(r"Could not instantiate mail function|\bmail\(\) has been disabled|undefined function mail\(\)"
           r"|disabled the mail\(\) function|mail\(\): Failed to connect to mailserver"
           r"|\bmail\(\): Could not execute mail delivery program", "php-mail-failed", stage="connect"),
    _Words(r"(?:Mailer Error: |^)Extension missing: ", "php-extension-missing", stage="connect"),
    _Words(r"(?:Mailer Error: |Exception: |^)(?:Message body empty|Could not access file: "
           r"|File Error: Could not open file: )", "message-not-built", stage="message"),
    # smtplib's own line: a str is the message, which sendmail() wants in ASCII.
    _Words(r"_fix_eols\(msg\)\.encode\(", "body-not-ascii", stage="message"),
    _Words(r"'ascii' codec can't encode", "something-not-ascii", stage="message"),
    _Words(r"\.encode\(self\.command_encoding\)"
           r"|can't encode character|SMTPUTF8 (?:extension )?(?:is )?(?:not supported|required)"
           r"|not support the SMTPUTF8|non-ASCII (?:addresses|characters)", "smtputf8-not-offered", stage="mail"),
    # What a mail server says of its own parts: a filter, a socket, the service for logins, the queue.
    _Words(r"connect to Milter service", "milter-unreachable", stage="mail"),
    _Words(r"connect to [^\s\[]{1,255}\[[^\]\s]{0,255}/[^\]\s]{0,255}\]: No such file", "no-such-socket",
           stage="connect"),
    _Words(r"SASL: Connect to \S{1,255} failed", "sasl-unreachable", stage="connect"),
    _Words(r"unable to look up public/pickup|\bmail system is down\b", "mailer-not-running", stage="connect"),
    _Words(r"SMTP timeout (?:after|while) ", "timed-out"),
    # The name.
    _Words(r"no address associated with|nodename nor servname|EAI_NODATA|has no address|EAI_ADDRFAMILY"
           r"|requested name is valid,? (?:but|and was found)", "no-address", stage="dns"),
    _Words(r"name or service not known|getaddrinfo ENOTFOUND|no such host|Unknown ?Host|could not resolve|NXDOMAIN"
           r"|name does not resolve|getaddrinfo failed|Name could not be resolved|host not found|cannot locate host"
           r"|Bad hostname|failed to lookup address|The remote name could not be resolved|\bENOTFOUND\b"
           r"|Host name lookup failure|can't resolve|unknown SMTP host|could not be resolved"
           rf"|{windows.NO_SUCH_HOST}",
           "no-such-host", stage="dns"),
    _Words(r"Temporary failure in name resolution|EAI_AGAIN|Try again\b|server misbehaving|SERVFAIL|EDNS\b|queryA+ E"
           r"|getaddrinfo:|socket\.gaierror|DNS (?:lookup )?(?:failed|error|time)", "dns-failed", stage="dns"),
    # The connection.
    _Words(r"connection (?:was )?refused|ECONNREFUSED|actively refused|Errno (?:111|61)\]|os error 111"
           rf"|Connect call failed|\(111\)|{windows.REFUSED}", "refused", stage="connect"),
    _Words(r"greeting never received|Timeout waiting for (?:the )?greeting"
           r"|timed? ?out waiting for (?:a )?(?:greeting|220)",
           "timed-out", stage="banner"),
    _Words(r"no route to host|network is (?:unreachable|down)|host is (?:unreachable|down)|EHOSTUNREACH|ENETUNREACH"
           r"|unreachable (?:host|network)|Errno (?:113|101|51|65)\]|os error (?:101|113)|destination host unreachable",
           "unreachable", stage="connect"),
    _Words(r"read timed out|ETIMEDOUT\b[^\n]{0,40}\bread|read tcp [^\n]{1,120}i/o timeout|Net::ReadTimeout"
           r"|SMTPReadTimeoutError|Timed out waiting for server response"
           r"|Timeout (?:while )?(?:reading|waiting for data)"
           r"|The read operation timed out|response reading failed", "timed-out", stage=None),
    # JavaMail shows how long it would wait: "timeout -1" is a setting.
    _Words(r"(?:connect(?:ion|ing)?|connect:?|dial)[^\n]{0,120}tim(?:ed|e)[- ]?out(?! -?\d)|i/o timeout"
           r"|ETIMEDOUT"
           r"|connect timed out|Connection timeout|timed out (?:while )?connecting"
           r"|did not properly respond|Net::OpenTimeout|execution expired"
           r"|Errno (?:110|60)\]|os error 110|\(110\)"
           r"|Net::SMTP: Timeout"
           rf"|(?:SMTPConnectTimeoutError|SMTPTimeoutError)|{windows.TIMED_OUT}", "timed-out", stage="connect"),
    _Words(r"\btimed out\b|TimeoutError|TimeoutException", "timed-out"),
    _Words(r"ECONNRESET|connection (?:was )?reset|reset by peer|forcibly closed|Broken pipe|EPIPE\b"
           r"|aborted by the software"
           rf"|Errno (?:104|54|32)\]|os error (?:104|32)|ECONNABORTED|{windows.RESET}", "reset"),
    # JavaMail has a connection, and nothing came over it.
    _Words(r"Could not connect to SMTP host[^\n]{0,300}, response: -1", "closed", stage="banner"),
    _Words(r"closed by (?:foreign|remote|the remote) ?host|unexpectedly (?:closed|disconnected)|closed unexpectedly"
           r"|connection closed|lost connection|connection lost|Unexpected EOF|net_io_connectionclosed|EOFError|\bEOF\b"
           r"|end of file|Unable to read data from the transport|unexpectedly dropped|remote end closed"
           r"|empty (?:response|reply|code)|short response|socket close|disconnected from the server"
           r"|SMTPServerDisconnected|connection dropped|incomplete response"
           r"|Remote host closed",
           "closed"),
    _Words(r"cannot assign requested address|EADDRNOTAVAIL|Errno 99\]", "local-address", stage="connect"),
    _Words(r"permission denied|operation not permitted|EACCES|EPERM\b|forbidden by its access permissions",
           "not-permitted", stage="connect"),
    _Words(r"TCP connect to \([^)\n]{1,100}\) failed"
           r"|failed to connect|could ?n[o']t connect|could not open (?:a )?connection|cannot (?:connect|open)"
           r"|unable to (?:make a connection|connect)"
           r"|connect\(\) failed|Connection could not be established|Failure sending mail|Error connecting"
           rf"|Connection error|connection failed|could not be connected|{windows.CONNECT_FAILED}", "connect-failed",
           stage="connect"),
)  # fmt: skip


@cache
def _table() -> tuple[tuple[re.Pattern[str], Failure], ...]:
    return tuple(
        (re.compile(words.pattern, re.IGNORECASE), Failure(words.error, words.certificate, words.stage))
        for words in _WORDS
    )


def failure_in(text: str) -> Failure | None:
    """What failed below SMTP, as a line or a few tell of it; None if they tell of nothing such."""
    text = text[:_MAX_LINE]
    if (number := windows.number_in(text)) is not None:
        return Failure(*number)
    return next((failure for pattern, failure in _table() if pattern.search(text)), None)
