"""Secrets on command lines: after the short options of well-known programs.

A line is read once, from the name of the first program on, whatever it repeats; the options are
those of all programs on it. Long options (`--password x`) need no program to be known.
"""

from __future__ import annotations

import re

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.redaction.scan import Scan

_OPTION = r"(?:(?<=[\s\"',]))"
_SEPARATOR = r"[\s\"',=]{1,5}"
_WORD = r"([^\s\"',]{1,512})"


def _spaced(option: str) -> str:
    return rf"{_OPTION}{option}{_SEPARATOR}{_WORD}"


_USER_AND_PASSWORD = (
    rf"{_OPTION}(?:-u|-U|--user|--proxy-user){_SEPARATOR}[^\s:\"',]{{1,128}}:{_WORD}"
)
_ATTACHED_P = rf"{_OPTION}-p{_WORD}"

_PROGRAMS = {
    "mysql mariadb mysqldump mysqladmin mysqlimport mariadb-dump": _ATTACHED_P,
    "sshpass": rf"{_OPTION}-p[\s\"',=]{{0,5}}{_WORD}",
    "docker podman buildah skopeo oc az helm": _spaced("-p"),
    "mongo mongosh mongodump mongorestore mongoexport": _spaced("-p"),
    "redis-cli valkey-cli": _spaced("-a"),
    "curl wget http https": _USER_AND_PASSWORD,
    "openssl": (
        rf"{_OPTION}(?:-k|-K|-passin|-passout|-pass){_SEPARATOR}(?:pass:)?{_WORD}|pass:{_WORD}"
    ),
    "zip unzip zipcloak": rf"{_OPTION}-P[\s\"',]{{0,5}}{_WORD}",
    "7z 7za 7zz rar unrar": rf"{_OPTION}-h?p{_WORD}",
    "sqlcmd bcp": rf"{_OPTION}-P[\s\"',]{{0,5}}{_WORD}",
    "vault": rf"vault[\s\"',]{{1,5}}login[\s\"',]{{1,5}}(?!-)(?![\w-]+=){_WORD}",
    "htpasswd": (
        rf"htpasswd[\s\"',]{{1,5}}-[A-Za-z]{{0,6}}b[A-Za-z]{{0,6}}"
        rf"(?:[\s\"',]{{1,5}}-[A-Za-z0-9]{{1,8}}){{0,4}}"
        rf"[\s\"',]{{1,5}}(?:[^\s\"',-][^\s\"',]{{0,200}}[\s\"',]{{1,5}}){{1,2}}{_WORD}"
    ),
    "ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ldappasswd ldapcompare": (
        rf"{_OPTION}-(?:w|s|a)[\s\"',]{{0,5}}{_WORD}"
    ),
    "net": (
        rf"net[\s\"',]{{1,5}}use[\s\"',]{{1,5}}(?:[A-Za-z*]:?[\s\"',]{{1,5}})?"
        rf"\\\\[^\s\"',]{{1,200}}[\s\"',]{{1,5}}(?!/){_WORD}"
    ),
    "rabbitmqctl": (
        rf"(?:add_user|change_password|authenticate_user){_SEPARATOR}[^\s\"',]{{1,128}}"
        rf"[\s\"',]{{1,5}}{_WORD}"
    ),
    "smbclient rpcclient smbget": rf"{_OPTION}-U[\s\"',=]{{0,5}}[^\s%\"',]{{1,128}}%{_WORD}",
    "lftp ncftp": rf"{_OPTION}-[up][\s\"',]{{1,5}}(?:[^\s,\"']{{1,128}},)?{_WORD}",
    "keytool jarsigner": _spaced("-(?:store|key|src|dest)[a-z]{0,5}pass"),
    "xfreerdp rdesktop": rf"{_OPTION}(?:/p:|-p[\s\"',]{{0,5}}){_WORD}",
    "snmpwalk snmpget snmpset": _spaced("-[cAX]"),
    "ipmitool": _spaced("-P"),
    "isql tsql freebcp": rf"{_OPTION}-P[\s\"',]{{0,5}}{_WORD}",
    "cassandra cqlsh nodetool": _spaced("-pw?"),
    "plink pscp psftp": _spaced("-pw"),
    "sqlplus sqlldr": r"[\s\"'][A-Za-z]\w{0,60}/([^\s\"'@/,]{1,128})@",
}
_OPTIONS = {
    program: pattern
    for programs, options in _PROGRAMS.items()
    for pattern in [lazy_pattern(options, re.IGNORECASE if programs == "net" else 0)]
    for program in programs.split()
}
_names = "|".join(sorted(map(re.escape, _OPTIONS), key=len, reverse=True))
_PROGRAM = lazy_pattern(rf"(?<![\w.-])(?:{_names})(?=[\s\"',])")
_END = lazy_pattern(r"[\n|;&]")
_LONGEST = 400
"""Characters of a command line that are read."""
_LINE_STEPS = 30
"""Steps that one command line costs."""
_LOGIN_ONLY = frozenset(("docker", "podman", "buildah", "skopeo", "oc", "az", "helm"))
_LOGIN = lazy_pattern(
    rf"(?:{'|'.join(_LOGIN_ONLY)})[\s\"',]{{1,5}}(?:\w{{1,20}}[\s\"',]{{1,5}})?login\b"
)
"""Programs with a `-p` that is a port or a project, except in `login`."""
_WORDS = lazy_pattern(r"[\w.-]+")


def find(scan: Scan) -> None:
    """Mark the values of secret options."""
    text, position = scan.text, 0
    # `_PROGRAM` is asked where a word is a program's name: the names one by one at each character
    # take 4 to 10 µs on a line, its words in a table 1.
    if _OPTIONS.keys().isdisjoint(_WORDS.findall(text)):
        return
    while (first := _PROGRAM.search(text, position)) is not None:
        start = first.start()
        if not scan.spend(_LINE_STEPS, start):
            return
        end = _END.search(text, start, start + _LONGEST)
        position = end.start() if end else min(start + _LONGEST, len(text))
        position = max(position, first.end())
        shift = max(start - 1, 0)
        line = text[shift:position]
        programs = {match.group() for match in _PROGRAM.finditer(line)} or {first.group()}
        if not _LOGIN.search(line):
            programs -= _LOGIN_ONLY
        for options in {_OPTIONS[program] for program in programs}:
            for match in options.finditer(line):
                begin, stop = match.span(match.lastindex or 0)
                if not line.startswith(("-", "[redacted", "$"), begin):
                    scan.add(begin + shift, stop + shift)
