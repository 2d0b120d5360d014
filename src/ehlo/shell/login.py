"""`:auth`: what to log in with is found out before anybody types a password, and nothing that was typed is kept."""

from __future__ import annotations

from ehlo.diagnosis.verdict import EXIT_STATUS
from ehlo.probe.talk import Asking, Talk
from ehlo.shell.hints import misplaced
from ehlo.shell.shell import CommandFailed, Shell
from ehlo.smtp.sasl import Credentials, Mechanism, MechanismError, mechanism_named
from ehlo.smtp.states import ALLOWED

#: What helps where a login is not begun.
_WAYS_OUT = {
    "auth-in-clear": ":starttls encrypts; with --auth-in-clear the shell logs in all the same",
    "certificate-not-verified": "with --insecure the shell logs in all the same",
    "auth-not-offered": ":auth MECHANISM tries one all the same",
}


async def auth(shell: Shell, arguments: str) -> None:
    """Log in, with the strongest mechanism offered or the one named; asks for user and password.

    :auth, :auth MECHANISM, :auth MECHANISM USER. A mechanism that is named is tried even where it is not offered.

    User and password are those of the command line, if it has them (--user, --password-file and so on); what is
    missing is asked for, and not kept. A password is not sent in clear unless --auth-in-clear allows it.
    """
    name, user, *more = [*arguments.split(), "", ""]
    if any(more):
        raise CommandFailed("Behind :auth stand a mechanism and a user, no more; the password is asked for.")
    try:
        names = (mechanism_named(name).name,) if name else shell.plan.mechanisms
    except MechanismError as error:
        raise CommandFailed(str(error)) from None
    if not name and "AUTH" not in ALLOWED[shell.state]:
        raise CommandFailed(misplaced("AUTH", shell.state, None), EXIT_STATUS["auth"])
    credentials = shell.plan.credentials or Credentials()
    mechanism = await _mechanism(shell, credentials, names, named=bool(name))
    if mechanism.secret != "none":  # noqa: S105 - the kind, not the secret
        credentials = await _complete(shell, credentials, user, mechanism.secret)

    async def deed() -> None:
        with shell.view.aloud():
            await shell.do(lambda talk: talk.login(credentials, names, anyway=bool(name)))

    await shell.done(deed)


async def _mechanism(shell: Shell, credentials: Credentials, names: tuple[str, ...], *, named: bool) -> Mechanism:
    """What to log in with. Nobody shall type a password first that is then not sent."""

    def choice(talk: Talk) -> Asking[Mechanism]:
        yield from ()
        return talk.mechanism_for(credentials, names, anyway=named)

    try:
        return await shell.do(choice)
    except CommandFailed as failed:
        if failed.error in _WAYS_OUT:
            shell.view.note(_WAYS_OUT[failed.error])
        raise


async def _complete(shell: Shell, credentials: Credentials, user: str, secret: str) -> Credentials:
    user = user or credentials.user or await shell.questions.ask("user")
    known = credentials.password if user == credentials.user else ""
    password = known or (user and await shell.questions.ask(secret, secret=True))
    if not password:
        raise CommandFailed(f"Without a user and a {secret} there is no login.", EXIT_STATUS["auth"])
    return credentials._replace(user=user, password=password)
