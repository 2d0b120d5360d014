"""Which software or which provider stands behind a server, told from what it says.

The one table of knowledge that is Python and not TOML: every session asks it, and a module is loaded in a
tenth of the time. To teach it a product, add a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Product(NamedTuple):
    """A provider, or a server software ("product").

    It is told by `banner`, which occurs in the text of the greeting; by `host`, a domain that the server's
    name ends with; by `reply`, which occurs in the text of a reply. All without regard to case.
    """

    id: str
    name: str
    kind: str
    banner: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()


def _provider(id_: str, name: str, *host: str, banner: tuple[str, ...] = (), reply: tuple[str, ...] = ()) -> Product:
    return Product(id_, name, "provider", banner, host, reply)


def _product(id_: str, name: str, *banner: str, reply: tuple[str, ...] = ()) -> Product:
    return Product(id_, name, "product", banner, (), reply)


#: The first that fits wins. Providers come first: they often run one of the products.
PRODUCTS = (
    _provider("google", "Google", "google.com", "gmail.com", "googlemail.com", reply=(" - gsmtp",)),
    _provider("microsoft", "Microsoft 365", "outlook.com", "hotmail.com", reply=(".prod.outlook.com",)),
    _provider("yahoo", "Yahoo", "yahoo.com", "yahoodns.net", "aol.com", reply=("postmaster.yahooinc.com",)),
    _provider("icloud", "iCloud", "icloud.com", "me.com", banner=("iCloud SMTP",)),
    _provider(
        "gmx",
        "GMX / 1&1",
        "gmx.net",
        "gmx.com",
        "web.de",
        "kundenserver.de",
        "ionos.com",
        "ionos.de",
        "1and1.com",
        banner=("Nemesis ESMTP Service",),
    ),
    _provider("amazon", "Amazon SES", "amazonses.com", banner=("ESMTP SimpleEmailService",)),
    _provider("sendgrid", "SendGrid", "sendgrid.net", banner=("SG ESMTP service ready",)),
    _provider("mailgun", "Mailgun", "mailgun.org", "mailgun.net", banner=("Mailgun Influx ready",)),
    _provider("postmark", "Postmark", "postmarkapp.com", "mtasv.net"),
    _provider("mailjet", "Mailjet", "mailjet.com"),
    _provider("brevo", "Brevo", "sendinblue.com", "brevo.com"),
    _provider("sparkpost", "SparkPost", "sparkpostmail.com", "sparkpost.com"),
    _provider("proofpoint", "Proofpoint", "pphosted.com", "ppe-hosted.com", reply=("ipcheck.proofpoint.com",)),
    _provider("mimecast", "Mimecast", "mimecast.com", "mimecast.co.za", reply=("community.mimecast.com",)),
    _provider("barracuda", "Barracuda", "barracudanetworks.com"),
    _provider("cloudflare", "Cloudflare Email Routing", "mx.cloudflare.net"),
    _provider("zoho", "Zoho", "zoho.com", "zoho.eu", "zoho.in", "zohomail.com"),
    _provider("fastmail", "Fastmail", "messagingengine.com", "fastmail.com"),
    _provider("proton", "Proton Mail", "protonmail.ch", "proton.me"),
    _provider("yandex", "Yandex", "yandex.net", "yandex.ru"),
    _provider("mailru", "Mail.ru", "mail.ru"),
    _provider("ovh", "OVHcloud", "mail.ovh.net", "mail.ovh.ca", "mail.ovh.us", "mail-out.ovh.net"),
    _provider("gandi", "Gandi", "gandi.net"),
    _provider("comcast", "Comcast", "sys.comcast.net", "mail.comcast.net", banner=("comcast ESMTP server ready",)),
    _provider("rackspace", "Rackspace Email", "emailsrvr.com"),
    _product("iis", "IIS SMTP", "Microsoft ESMTP MAIL Service, Version:"),
    _product("exchange", "Exchange", "Microsoft ESMTP MAIL Service ready", reply=("RESOLVER.ADR.",)),
    _product("exim", "Exim", "ESMTP Exim ", reply=("Unrouteable address", "Administrative prohibition")),
    _product("sendmail", "Sendmail", "ESMTP Sendmail", "Sendmail 8."),
    _product("opensmtpd", "OpenSMTPD", "ESMTP OpenSMTPD"),
    _product("haraka", "Haraka", "ESMTP Haraka"),
    _product("courier", "Courier", "ESMTP Courier", "Courier Mail Server"),
    _product("hmailserver", "hMailServer", "hMailServer"),
    _product("mailenable", "MailEnable", "MailEnable Service"),
    _product("mdaemon", "MDaemon", "ESMTP MDaemon"),
    _product("zimbra", "Zimbra", "Zimbra"),
    _product("stalwart", "Stalwart", "Stalwart ESMTP"),
    _product("maddy", "maddy", reply=(" (msg ID = ",)),
    _product("momentum", "Momentum", "ESMTP ecelerity"),
    _product("james", "Apache James", "JAMES SMTP Server", "Apache JAMES"),
    _product("halon", "Halon", "Halon ESMTP", "ESMTP Halon"),
    _product("powermta", "PowerMTA", "PowerMTA"),
    _product("postal", "Postal", "ESMTP Postal/"),
    _product("aiosmtpd", "aiosmtpd", "Python SMTP "),
    _product("mailpit", "Mailpit", "Mailpit ESMTP Service ready"),
    _product("mailhog", "MailHog", "ESMTP MailHog"),
    _product("smtp4dev", "smtp4dev", "smtp4dev ready"),
    _product("smtp-server", "nodemailer smtp-server", reply=(" Nice to meet you, ",)),
    _product(
        "postfix",
        "Postfix",
        "ESMTP Postfix",
        reply=(
            "User unknown in local recipient table",
            "User unknown in virtual mailbox table",
            "User unknown in virtual alias table",
            "User unknown in relay recipient table",
            "Sender address rejected: ",
            "Recipient address rejected: ",
            "Helo command rejected: ",
            "Client host rejected: ",
        ),
    ),
    _product("smtp-sink", "smtp-sink", "smtp-sink ESMTP"),
    _product("qmail", "qmail", reply=(" (#4.", " (#5.")),
)


#: What replies have in them, in lower case.
_REPLY_SIGNS = {product.id: tuple(sign.lower() for sign in product.reply) for product in PRODUCTS if product.reply}

#: Programs and libraries that send, by the ids that rules and readers of logs and exceptions use.
SENDERS = {
    "aiosmtplib": "aiosmtplib",
    "curl": "curl",
    "django": "Django",
    "dotnet": ".NET (MailKit, SmtpClient)",
    "go": "Go net/smtp",
    "javamail": "JavaMail / Jakarta Mail",
    "laravel": "Laravel",
    "msmtp": "msmtp",
    "nodemailer": "nodemailer",
    "phpmailer": "PHPMailer",
    "rails": "Ruby on Rails (Action Mailer)",
    "ruby": "Ruby Net::SMTP",
    "smtplib": "Python smtplib",
    "spring": "Spring Boot",
    "swaks": "swaks",
    "symfony": "Symfony Mailer",
    "telnet": "telnet",
    "thunderbird": "Thunderbird",
    "wordpress": "WordPress",
}

#: Frameworks, and the library that each of them hands its mail to.
BUILT_ON = {
    "django": "smtplib",
    "laravel": "symfony",
    "rails": "ruby",
    "spring": "javamail",
    "wordpress": "phpmailer",
}
_MOSTLY = {"ruby": "rails"}


def setting_for(software: str, settings: Mapping[str, str]) -> str:
    """The setting for a program, with the program's name before it: "in PHPMailer: Port"; empty where there is none.

    A framework without one gets that of its library, which does its work. Ruby's library gets that of Rails, which is
    what nearly all mail of Ruby goes through.
    """
    library = BUILT_ON.get(software)
    found = next((name for name in (software, library, _MOSTLY.get(software)) if name in settings), None)
    if found is None:
        return ""
    below = f", which {name_of(software)} is built on" if found == library else ""
    return f"in {name_of(found)}{below}: {settings[found]}"


def name_of(software: str) -> str:
    """The name of a program that sends, of a product or a provider; its id where it is not known."""
    if software in SENDERS:
        return SENDERS[software]
    return next((product.name for product in PRODUCTS if product.id == software), software)


def speaks_like(product: str, said: str) -> bool:
    """Whether a reply's text is worded as a product words it, by the product's id."""
    said = said.lower()
    return any(sign in said for sign in _REPLY_SIGNS.get(product, ()))


def identify(banner: str = "", hosts: Sequence[str] = (), replies: Iterable[str] = ()) -> Product | None:
    """The product behind a greeting's text (without its code), host names and texts of replies, or None.

    The server's name outweighs its greeting, and that its replies, in which servers quote each other.
    """
    if hosts:
        names = tuple("." + host.lower().rstrip(".") for host in hosts)
        for product in PRODUCTS:
            if any(name.endswith("." + end) for end in product.host for name in names):
                return product
    if banner:
        host, _, rest = banner.lower().partition(" ")
        # The greeting begins with the host's name (RFC 5321 §4.2), which may be mailpit.example.com.
        greeting = f" {rest} " if "." in host else f"{banner.lower()} "
        for product in PRODUCTS:
            if any(sign.lower() in greeting for sign in product.banner):
                return product
    texts = list(replies)
    return next((product for product in PRODUCTS for text in texts if speaks_like(product.id, text)), None)
