"""What Windows and .NET say of failures: by number, and in other languages than English.

A number decides in any language, so it comes first. The words are for messages without one, in German, French, Spanish,
Italian, Portuguese, Dutch, Polish, Russian, Japanese and Chinese. To teach it a wording, add an alternative.
"""

from __future__ import annotations

import re

from ehlo.smtp.stages import Stage

#: The numbers of Winsock (WSAECONNREFUSED is 10061) and of Outlook, the failure that each is, and where it happens.
NUMBERS: dict[int, tuple[str, Stage | None]] = {
    10013: ("not-permitted", "connect"),
    10049: ("local-address", "connect"),
    10051: ("unreachable", "connect"),
    10053: ("reset", None),
    10054: ("reset", None),
    10060: ("timed-out", "connect"),
    10061: ("refused", "connect"),
    10064: ("unreachable", "connect"),
    10065: ("unreachable", "connect"),
    11001: ("no-such-host", "dns"),
    11002: ("dns-failed", "dns"),
    11004: ("no-address", "dns"),
    # Outlook's own.
    0x800CCC0D: ("no-such-host", "dns"),
    0x800CCC0E: ("connect-failed", "connect"),
    0x800CCC0F: ("closed", None),
    0x800CCC13: ("unreachable", "connect"),
    0x800CCC19: ("timed-out", None),
    0x800CCC7D: ("starttls-not-offered", "starttls"),
}


#: One of them in decimal or hexadecimal, but not as a port or as a part of something.
_NUMBER = re.compile(
    r"(?<![\w.:])(?<!port )(?:WSA)?(1[01]0\d\d)(?!\w|[.:]\d)|\b0x0*(27[0-9a-f]{2}|2af[0-9a-f]|800ccc[0-9a-f]{2})\b",
    re.I,
)


def number_in(text: str) -> tuple[str, str, Stage | None] | None:
    """The failure that a number in a text stands for, as in `failures.Failure`; None if there is none."""
    for found in _NUMBER.finditer(text):
        known = NUMBERS.get(int(found[1]) if found[1] else int(found[2], 16))
        if known is not None:
            return known[0], "", known[1]
    return None


CERTIFICATE = (
    r"Remotezertifikat ist [^\n]{0,60}ungültig|certificat distant n['’]est pas valide|certificado remoto no es válido"
    r"|certificato remoto non è|certificado remoto é inválido|externe certificaat is ongeldig"
    r"|(?:certyfikat zdalny|zdalny certyfikat) jest nieprawidłowy|удал[её]нный сертификат недействителен"
    r"|リモート証明書は無効|远程证书无效|遠端憑證(?:是)?無效"
)

REFUSED = (
    r"da der Zielcomputer die Verbindung verweigert|l['’]ordinateur cible l['’]a expressément refusée"
    r"|equipo de destino denegó expresamente|Rifiuto persistente del computer di destinazione"
    r"|máquina de destino as recusou ativamente|computador de destino (?:as )?recusou a[ct]+ivamente"
    r"|doelcomputer de verbinding (?:actief )?heeft geweigerd|komputer docelowy aktywnie (?:go|jej) odmawia"
    r"|конечный компьютер отверг запрос|対象のコンピューターによって拒否|目标计算机积极拒绝|目標電腦拒絕連線"
)

TIMED_OUT = (
    r"Gegenstelle nach einer bestimmten Zeitspanne nicht|le parti connecté n['’]a pas répondu convenablement"
    r"|parte conectada no respondió (?:adecuada|correcta)mente|Risposta non corretta della parte connessa"
    r"|componente conectado não respondeu|verbonden (?:partij|party) (?:\S+ ){0,6}niet (?:correct|juist|goed)"
    r"|połączona strona nie odpowiedziała|от другого компьютера за требуемое время не получен"
    r"|接続済みの呼び出し先が一定の時間|连接方在一段时间后没有正确答复|連線對象有一段時間並未正確回應"
)

RESET = (
    r"vorhandene Verbindung wurde vom Remotehost geschlossen|connexion existante a dû être fermée par l['’]hôte distant"
    r"|interrupción de una conexión existente por el host remoto|interrotta forzatamente dall['’]host remoto"
    r"|cancelamento de uma conexão existente pelo host remoto|bestaande verbinding is (?:\S+ ){0,2}gesloten door de"
    r"|Istniejące połączenie zostało gwałtownie zamknięte|принудительно разорвал существующее подключение"
    r"|既存の接続はリモート ホストに強制的に|远程主机强迫关闭了一个现有的连接|遠端主機已強制關閉一個現存的連線"
)

NO_SUCH_HOST = (
    r"kein solcher Host bekannt|Der Remotename konnte nicht aufgelöst werden|\bHôte inconnu"
    r"|nom distant n['’]a pas pu être résolu|\bHost desconocido|No se puede resolver el nombre remoto"
    r"|\bHost sconosciuto|Impossibile risolvere il nome remoto|Este host não é conhecido"
    r"|nome remoto não pôde ser resolvido|externe naam kan niet worden omgezet"
    r"|Nie można rozpoznać nazwy zdalnej|Этот хост неизвестен|Невозможно разрешить удал[её]нное имя"
    r"|そのようなホストは不明|リモート名を解決できません|不知道这样的主机"
    r"|未能解析此远程名称|無法識別這台主機|無法解析遠端名稱"
)

#: That the connection failed, with no more than that: .NET puts this around one of the above.
CONNECT_FAILED = (
    r"Verbindung mit dem Remoteserver kann nicht hergestellt werden|Impossible de se connecter au serveur distant"
    r"|(?:No es posible|Imposible) conectar(?:se)? con el servidor remoto|Impossibile effettuare la connessione al"
    r"|Impossível conectar-se ao servidor remoto|Kan geen verbinding maken met de externe server"
    r"|Nie można połączyć się z serwerem zdalnym|Невозможно соединиться с удал[её]нным сервером"
    r"|リモート サーバーに接続できません|无法连接到远程服务器|無法連接至遠端伺服器"
    r"|Fehler beim Senden von (?:Mail|E-Mail)|Échec (?:de l['’]envoi|d['’]envoi) (?:de courrier|du courrier)"
    r"|Error al enviar correo|Errore durante l['’]invio della posta|Falha (?:ao enviar|no envio de) email"
    # Telnet of Windows.
    r"|keine Verbindung mit dem Host hergestellt werden|Impossible d['’]ouvrir une connexion à l['’]hôte"
    r"|No se puede abrir la conexión al host"
)

#: What stands before a server's reply in the message of a SmtpException.
RESPONSE_WAS = (
    r"(?:Die Serverantwort war|La réponse du serveur était|La respuesta del servidor fue|Risposta del server"
    r"|A resposta do servidor foi|(?:De serverreactie was|De reactie van de server was|Antwoord van (?:de )?server)"
    r"|Odpowied[zź] serwera(?: brzmi| to)?|(?:Отклик|Ответ) сервера|サーバーの(?:応答|返答)[^:：\d]{0,20}"
    r"|服务器响应(?:为|是)?|伺服器回應(?:為|是)?)[ \u00a0]?[:：.。][ \u00a0„“\"«]{0,3}"
)

#: The first sentence of such a message, where it stands for 530: TLS or a login is wanted.
WANTS_LOGIN = (
    r"(?:SMTP-Server (?:erfordert eine sichere Verbindung|ist eine sichere Verbindung erforderlich)"
    r"|serveur SMTP requiert une connexion sécurisée|servidor SMTP requiere una conexión segura"
    r"|server SMTP richiede una connessione protetta|servidor SMTP requer uma (?:conexão|ligação) segura"
    r"|SMTP-server vereist een beveiligde verbinding|Serwer SMTP wymaga bezpiecznego połączenia"
    r"|SMTP-серверу требуется (?:безопасное|защищ[её]нное) соединение|SMTP サーバーに?は、セキュリティ"
    r"|SMTP 服务器要求安全连接|SMTP 伺服器需要安全連線)"
)
