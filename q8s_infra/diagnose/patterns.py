"""Shapes of secrets in logs, for secrets that the stack's state does not know (users' own, the cloud's, the cluster's).

Each rule has groups ``before`` and ``after``, which stay; what stands between them is the secret. All rules see whole
documents, but those for names (``password = ...``) only the lines that have such a name.
"""

from __future__ import annotations

import re
from re import Pattern
from typing import Final

from q8s_infra.diagnose.pem import private_keys

REDACTED: Final = "[removed]"

# Names whose values are secrets, by their ends: OS_PASSWORD, client_secret, clientSecret, rootPassword.
_STRONG: Final = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret"
    r"|(?:api|access|private|secret|signing|encryption|certificate|account)[-_ ]?key"
    r"|client-(?:key|certificate)-data|credentials?|identitytoken|registrytoken)"
)
# "token: expired" is a sentence, and "token: abc123..." is not.
_TOKEN: Final = r"token"
_BARE_TOKEN: Final = r"(?=[^\s\"',;&)}\]]*\d|[^\s\"',;&)}\]]{16})"
_SEPARATOR: Final = r"\\*[\"']?\]?\s{0,4}(?::=|=>|[:=]|\\u003[dD]|%3[dD])\s{0,4}"
# What is no secret though it has the name of one, or was removed already.
_NOT: Final = (
    r"(?!\[removed\]|\\*[\"']{2}|[{\[](?:[\"'\\]*[\w.-]+[\"'\\]*\s*:|[}\]])"
    r"|(?:true|false|null|none|nil|~|[>|][-+\d]*)\s*(?:[\s,;}\]]|$))"
)
# From a quote to the same quote (as often escaped), or to the line's end where that is cut off. A quote in quotes is
# escaped, or doubled.
_QUOTED: Final = r"(?P<quote>\\*[\"'])(?:(?:(?:(?P=quote){2}|'\\''|[^\n])*?(?<!\\)(?P=quote)(?![\"']|\\'))|[^\n]+)"
_WORD: Final = r"[^\s\"',;&<>)}\]\\]+(?:[\"',;)}\]\\][^\s\"',;&<>)}\]\\]+)*"
_VALUE: Final = rf"{_NOT}(?:{_QUOTED}|{_WORD})"

_NAMES: Final = re.compile(
    r"pass|pwd|secret|token|key|cred|auth|cookie|login|SecureString|\s-p|-u\b|-U\b|--user|--proxy-user|\$\d|\$y",
    re.IGNORECASE,
)


def _rule(before: str, secret: str, after: str = "", flags: re.RegexFlag = re.IGNORECASE) -> Pattern[str]:
    return re.compile(rf"(?P<before>{before})(?:{secret})(?P<after>{after})", flags)


_BLOB: Final = r"[A-Za-z0-9+/=_-]"
_DOCUMENTS: Final = (
    # A PEM's lines without its head and its tail.
    _rule(
        "",
        r"^(?:(?![0-9a-f]+$)[A-Za-z0-9+/]{64}(?:[A-Za-z0-9+/]{6}|[A-Za-z0-9+/]{12})?\n){2,}(?:[A-Za-z0-9+/=]{1,76}$)?",
        flags=re.MULTILINE,
    ),
    _rule(r"Private-Lines: \d+\n", rf"(?:{_BLOB}{{16,}}\n?)+"),
    # The same in base64, at each of its three alignments, and in hex; certificates are no secrets. And base64 of gzip.
    _rule(
        "",
        r"(?:LS0tLS1CRUdJTi(?!BDRVJU)|0tLS0tQkVHSU4g|tLS0tLUJFR0lOI)(?:[A-Za-z0-9+/=_-]|\s+(?=[A-Za-z0-9+/=]{32}))+",
        flags=re.RegexFlag(0),
    ),
    _rule("", r"2d2d2d2d2d424547494e20(?:[0-9a-f:]|\s+(?=[0-9a-f]{32}))+"),
    _rule("", r"\bH4sI[A-Za-z0-9+/=]{60,}(?:\s+[A-Za-z0-9+/=]{60,})*(?:\s+[A-Za-z0-9+/]+=*)?", flags=re.RegexFlag(0)),
    # JSON web tokens, Fernet tokens, bootstrap tokens (whose public half stays, which tells one from another).
    _rule("", r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3}", flags=re.RegexFlag(0)),
    _rule("", r"\bgAAAAA[\w=%-]{20,}", flags=re.RegexFlag(0)),
    _rule(r"(?<![\w.-])[a-z0-9]{6}\.", r"[a-z0-9]{16}\b", flags=re.RegexFlag(0)),
    # Keys that say whose they are: AWS, GitHub, GitLab, Slack, Pulumi, Vault, Hugging Face, npm, PyPI, Docker.
    _rule(
        "",
        r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}"
        r"|pul-[0-9a-f]{40}|hv[sb]\.[\w-]{20,}|hf_\w{20,}|npm_\w{20,}|pypi-[\w-]{20,}|dckr_pat_[\w-]{16,})",
        flags=re.RegexFlag(0),
    ),
    # URLs: user and password (which may have an @), a user that is a token, and queries.
    _rule(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:\"'<>]*:", r"(?!\[removed\])[^\s/\"'<>]+(?=@)", "@"),
    _rule(r"\b[a-z][a-z0-9+.-]{1,20}://", r"[^\s/@:\"'<>\[]{16,}(?=@)", "@"),
    _rule(
        r"[?&;](?:[\w.-]{0,40}(?:token|secret|password|passwd|pwd|key|sig|signature|credential)|auth|code|sid)=",
        r"[^&;\s\"'<>#\\]+",
    ),
    # user:password@host without a scheme; not image:tag@sha256:...
    _rule(r"(?<![\w/.:@-])[a-z_][\w.-]{0,63}:", r"[^\s:@/\"'\[\]]{3,}(?=@(?!sha\d+:)[\w(])", "@"),
    # The certificate key, where kubeadm prints it on a line of its own.
    _rule(r"certificate[-_ ]?key:?[ \t]*\n(?:[^\n]{0,120}[ \t])?", r"\b[0-9a-f]{64}\b"),
    # A block of YAML: all lines that are further in than the name.
    _rule(
        rf"^(?P<indent>[ \t]*)(?:- +)?[\w.\"'-]*(?:{_STRONG}|{_TOKEN})[\"']?:[ \t]*[|>][-+\d]*[ \t]*(?:#[^\n]*)?\n",
        r"(?:(?P=indent)[ \t]+[^\n]*(?:\n|\Z)|[ \t]*\n(?=(?P=indent)[ \t]))+",
        flags=re.IGNORECASE | re.MULTILINE,
    ),
    # name and value as two fields, as Kubernetes has environments, on one line or two.
    _rule(
        rf"name\\*[\"']?:\s*\\*[\"']?[\w.-]*(?:{_STRONG}|{_TOKEN}|_KEY)\\*[\"']?,?\s+\\*[\"']?value\\*[\"']?:\s*",
        _VALUE,
    ),
)  # fmt: skip
_LINES: Final = (
    # Headers. Of an unknown scheme, all that follows.
    _rule(r"\b(?:set-)?cookie2?\\*[\"']?\s*[:=]\s*\[?\\*[\"']?", r"(?!\[removed\])[^\n\"'\\\]]+"),
    _rule(
        r"\bauthorization\\*[\"']?\]?\s*[:=]\s*\[?\\*[\"']?(?:(?:bearer|basic|token|negotiate)\s+)",
        r"(?!\[removed\])[^\s\"'\\,\]]+",
    ),
    _rule(
        r"\bauthorization\\*[\"']?\]?\s*[:=]\s*\[?\\*[\"']?(?!(?:bearer|basic|token|negotiate)\s)",
        r"(?!\[removed\])(?:(?:digest|oauth|hawk|aws4\S*)\s[^\n]*|[^\n\"'\\\]]{8,})",
    ),
    _rule(r"\b(?:bearer|basic)\s+", r"(?=\S*\d|\S{20})[\w.~+/=-]{8,}"),
    # Environments: anything that ends in _KEY, too.
    _rule(r"\b[A-Z][A-Z0-9_]*_KEY(?:_B64|_BASE64)?=", _VALUE, flags=re.RegexFlag(0)),
    # YAML's plain values go to the line's end.
    _rule(
        rf"^[ \t]*(?:- +)?[\w.-]*{_STRONG}:[ \t]+(?![\"'>|&*!\[{{])",
        rf"{_NOT}[^\n#]*[^\s#]",
        flags=re.IGNORECASE | re.MULTILINE,
    ),
    _rule(rf"(?<!v1\.){_STRONG}(?:_B64|_BASE64|\d)?{_SEPARATOR}", _VALUE),
    _rule(rf"{_TOKEN}(?:_B64|_BASE64|\d)?{_SEPARATOR}", rf"{_NOT}(?:{_QUOTED}|{_BARE_TOKEN}{_WORD})"),
    # Tuples, lists of arguments, arguments.
    _rule(rf"(?:{_STRONG}|{_TOKEN})\\*[\"'],\s*", rf"{_NOT}{_QUOTED}"),
    _rule(rf"(?<![\w-])--?[\w-]*(?:{_STRONG}|{_TOKEN}|-pass)\s+", rf"(?!-){_VALUE}"),
    _rule(r"\s-u\s+\S+\s+-p\s*", _VALUE),
    _rule(r"\b(?:sshpass|mysql\w*|mongo\w*|htpasswd|login)\b[^\n;|&]*?\s-p\s*", _VALUE, flags=re.RegexFlag(0)),
    _rule(
        r"\s(?:-u|-U|--user|--proxy-user)[= ]\\*[\"']?(?!\d+:\d)[^\s:\"']+:",
        r"(?!\[removed\])[^\s\"'\\]+",
        flags=re.RegexFlag(0),
    ),
    _rule(r"\bpass:", r"(?!\[removed\])[^\s\"']+"),
    _rule(r"ConvertTo-SecureString\s+(?:-String\s+)?", rf"(?![-$]){_VALUE}"),
    # Docker's configuration, .netrc, XML, sentences, hashes of passwords.
    _rule(r"\bauth\\*[\"']?\s*[:=]\s*\\*[\"']", r"[A-Za-z0-9+/=_-]{8,}"),
    _rule(r"\blogin\s+\S+\s+(?:account\s+\S+\s+)?password\s+", r"\S+"),
    _rule(r"^\s*password[ \t]+", r"\S+", r"[ \t]*$", re.IGNORECASE | re.MULTILINE),
    _rule(rf"<[\w:.-]*(?:{_STRONG}|{_TOKEN})(?:\s[^>\n]*)?>", r"(?!\[removed\])[^<\n]+", "</"),
    _rule(r"\bpassword (?:for|of|is generated for) [^\n]{1,60}?(?: is|:)\s*", _VALUE),
    _rule(r"\bpassword is:?\s+", _VALUE),
    _rule(r"", r"\$(?:1|2[abxy]|5|6|y|7|gy)\$[^\s:\"']{16,}", flags=re.RegexFlag(0)),
)  # fmt: skip


def without_patterns(text: str) -> str:
    """Return the text with what has the shape of a secret replaced."""
    for start, end in reversed(private_keys(text)):
        text = f"{text[:start]}{REDACTED}{text[end:]}"
    for rule in _DOCUMENTS:
        text = rule.sub(_kept, text)
    return "\n".join(_line(line) if _NAMES.search(line) else line for line in text.split("\n"))


def found_by_patterns(text: str) -> list[str]:
    """Return the secrets in a text that is one itself, such as a document of a step."""
    matches = [match for rule in _DOCUMENTS for match in rule.finditer(text)]
    lines = [line for line in text.split("\n") if _NAMES.search(line)]
    matches += [match for line in lines for rule in _LINES for match in rule.finditer(line)]
    found = [match[0][len(match["before"]) : len(match[0]) - len(match["after"])] for match in matches]
    found += [text[start:end] for start, end in private_keys(text)]
    return [value.strip().strip("\"'") for value in found]


def _line(line: str) -> str:
    for rule in _LINES:
        line = rule.sub(_kept, line)
    return line


def _kept(match: re.Match[str]) -> str:
    """What stays of a match; a removed block of lines stays one."""
    secret = match[0][len(match["before"]) : len(match[0]) - len(match["after"])]
    if re.fullmatch(r"\W*removed\W*", secret):
        return match[0]
    ended = "\n" if match[0].endswith("\n") and not match["after"] else ""
    quote = match.groupdict().get("quote") or ""
    closing = quote if quote and match[0].endswith(quote) else ""
    return f"{match['before']}{quote}{REDACTED}{closing}{ended}{match['after']}"
