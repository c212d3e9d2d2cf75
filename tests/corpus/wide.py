"""More secret canaries: tokens of each provider, key names, error texts, command lines, links.

Values are made by a seeded generator, so that no literal in this file looks like a real secret.
"""

# ruff: noqa: E501  a text is as long as it is
from __future__ import annotations

import base64
import random
import re
import string

from proletto_otel.core.redaction.providers import Provider, providers
from tests.corpus.secrets import Canary

ALNUM = string.ascii_letters + string.digits
LETTERS = {
    "hex": "0123456789abcdef", "digit": string.digits, "alnum": ALNUM, "word": ALNUM,
    "lower": string.ascii_lowercase + string.digits, "upper": string.ascii_uppercase + string.digits,
    "dotted": ALNUM, "base64": ALNUM,
}  # fmt: skip

NAMES = (
    "STRIPE_KEY", "OPENAI_KEY", "GOOGLE_MAPS_KEY", "SENDGRID_KEY", "consumer_key", "license_key",
    "licenseKey", "APP_KEY", "storage_key", "encryption-key", "deploy_key", "ssh_key", "signing_key",
    "account_key", "fernet_key", "hmac_key", "verification_code", "security-code", "auth_code",
    "smsCode", "reset_code", "backup_codes", "recovery_codes", "activation_code", "access_code",
    "pairing_code", "mnemonic", "seed_phrase", "recovery_phrase", "passcode", "passkey", "psk",
    "pre_shared_key", "wpa_psk", "sas_token", "connection_string", "conn_string", "database_url",
    "REDIS_URL", "client_assertion", "code_verifier", "SAMLResponse", "id_token_hint", "magic_link",
    "signed_url", "storepass", "keypass", "DB_PASS", "root_pass", "user_pw", "pswd", "pepper",
    "passwort", "kennwort", "Zugangsdaten", "mot_de_passe", "mdp", "jeton", "contraseña",
    "contrasena", "clave_secreta", "senha", "palavra-passe", "chave_secreta", "segredo", "parola",
    "parola_chiave", "wachtwoord", "geheim", "lösenord", "adgangskode", "passord", "salasana",
    "hasło", "heslo", "jelszó", "şifre", "lozinka", "пароль", "секрет", "токен", "κωδικός", "סיסמה",
    "كلمة_المرور", "密码", "密碼", "口令", "密钥", "パスワード", "暗証番号", "비밀번호", "암호",
    "security_answer", "twilio_auth_token", "slackWebhookUrl", "jwtSecret", "xsrf-token",
    "aws_session_token", "private-key", "vault_token", "npm_auth_token", "cvc", "card_pin", "puk",
)  # fmt: skip
"""Names whose values are secret, whatever they are."""

WEAK_NAMES = ("session", "pin", "salt", "auth", "INTERNAL_RPC_KEY", "ticket", "nonce")
"""Names that promise a secret only with a value that was generated."""

TEXTS = (
    "HTTPSConnectionPool(host='api.telegram.org', port=443): Max retries exceeded with url: "
    "/bot123456789:{telegram}/sendMessage",
    "1 validation error for Login\npassword\n  Value error, too short [type=value_error, "
    "input_value='{chosen}', input_type=str]",
    "password is: {chosen}", "password -> {chosen}", "password | {chosen}", "Password → {chosen}",
    "the password was: {word}", "password := {word}", "api key is {generated}", "Secret('{word}')",
    "config(SecretStr('{word}'))", "passphrase is '{chosen}'",
    "(1062, \"Duplicate entry '{word}' for key 'users.api_token'\")",
    "GET /accounts/reset/Mg/{link}/ 200", "mail with https://h/invite/{link} sent",
    "link /verify-email/{link} followed", "GET /auth/magic/{link}", "/unsubscribe/{link} opened",
    "POST /password/reset/{link}", "GET /confirm/{link}?x=1", "https://h/activate/7/{link}",
    "GET /api?key={generated}", "GET /a?t={generated}&x=1", "POST /acs?SAMLResponse={generated}",
    "GET /logout?id_token_hint={generated}", "/file?sig={generated}&se=2026", "?ticket={generated}",
    "GET /cb?state=1&code={generated}", "/?invite={generated}", "/login#access_token={generated}",
    "https://hooks.zapier.com/hooks/catch/123456/{link}/", "POST https://open.feishu.cn/open-apis/bot/v2/hook/{link}",
    "https://maker.ifttt.com/trigger/door/with/key/{link}", "https://hook.eu1.make.com/{link}",
    "https://acme.webhook.office.com/webhookb2/{link}", "https://chat.googleapis.com/v1/spaces/A/messages?key={generated}",
    "https://events.pagerduty.com/integration/{link}/enqueue", "https://hc-ping.com/{link}",
    "openssl enc -aes-256-cbc -k {word} -in a", "openssl rsa -passin pass:{word} -in k.pem",
    "zip -P {word} out.zip a", "unzip -P {word} out.zip", "7z x -p{word} a.7z",
    "mongo -u root -p {word} db", "mongosh h --username a --password {word}",
    "sqlcmd -S h -U sa -P {word} -Q x", "vault login {generated}", "htpasswd -b .htpasswd bob {word}",
    "htpasswd -nbB bob {word}", "ldapsearch -x -D cn=admin -w {word} -b dc=x",
    "az login -u bob -p {word}", "az storage blob list --account-key {generated}",
    "net use Z: \\\\srv\\share {word} /user:bob", "rabbitmqctl add_user bob {word}",
    "smbclient //h/s -U bob%{word}", "keytool -list -storepass {word}", "sqlplus bob/{word}@db",
    "Command '['mongodump', '-p', '{word}']' failed", "PGPASSWORD={word} psql -h h", "sudo redis-cli -a {word} ping",
    "user bob hash $2b$12${hash}", "$argon2id$v=19$m=65536,t=3,p=4${hash}", "root:$6$rounds=5000${hash}:19000:0",
    "pbkdf2_sha256$600000${hash}", "scrypt:32768:8:1${hash}", "pbkdf2:sha256:600000${hash}",
    "userPassword: {{SSHA}}{hash}", "SCRAM-SHA-256$4096:{hash}", "md5{hex32} of bob", "$apr1${hash}",
    "cookie value eyJ1c2VyIjoxfQ.{short}.{generated}", "session .eJwlzj{generated}.{short}.{generated}",
    "messages cookie x:{short6}:{signature}", "connect.sid=s:{generated}.{generated}",
    " * Debugger PIN: {pin}", "otp: {digits}", "Your verification code: {digits}", "card pin={digits}",
    "{{\"password\\u0022:1,\"token\\u0022:\"{word}\"}}", "token\\u003d{word}", "&quot;password&quot;:&quot;{word}&quot;",
    "%7B%22password%22%3A%22{word}%22%7D", "a=b%2526password%253D{word}", "r=http%3A%2F%2Fh%2F%3Ftoken%3D{word}",
    "пароль: {word}", "密码：{word}", "パスワード={word}", "mot de passe : {word}", "contraseña: {word}", "비밀번호: {word}",
    "passwort={word}", "Kennwort: {word}", "senha: {word}", "clave_secreta={word}",
    "postgres://bob:{word}%40x@db/shop", "ftp://u:{word}@h", "proxy http://h/?to=redis://:{word}@c/0",
    "amqp://guest:{word}@mq//", "jdbc:postgresql://h/db?user=a&password={word}", "Server=h;User Id=a;Password={word};",
    "DefaultEndpointsProtocol=https;AccountKey={generated};", "//registry.npmjs.org/:_authToken={generated}",
    "machine h login bob password {chosen}", "password '{word}'", "export STRIPE_KEY={word}", "set DB_PASS={word}&& run",
    "Authorization: ApiKey {generated}", "Proxy-Authorization: Basic {basic}", "X-Vault-Token: {word}",
    "authorization=AWS4-HMAC-SHA256 Credential=x, Signature={generated}", "cookie: a=1; session={word}",
    "curl -H 'Authorization: token {generated}' h", "wget --http-password={word} h", "curl -u bob:{word} h",
    "secret key is {generated}", "token: '{word}'", "token=\"{word}\"", "{{'secret': b'{word}'}}", "Token {generated} refused",
    "login(user='a', pwd='{word}')", "[('token', '{word}')]", "('api_key', \"{word}\")", "--token={word}", "--api-key {word}",
    "<password>{word}</password>", "<ns:Password Type=\"t\">{word}</ns:Password>", "key (token)=({word}) exists",
    "name: DB_PASSWORD\n  value: {word}\n", "env: [{{name: API_KEY, value: {word}}}]", "password:\t{word}", "PASSWORD  =  {word}",
)  # fmt: skip
"""Texts as programs and people write them."""


class _Values:
    def __init__(self) -> None:
        self._rng = random.Random(20260110)

    def take(self, alphabet: str, n: int) -> str:
        """*n* characters, with a digit and both cases where the alphabet has them."""
        found = "".join(self._rng.choice(alphabet) for _ in range(n - 3))
        return found + "".join(a for a in "7Qz" if a in alphabet).ljust(3, alphabet[3])[:3]

    def named(self) -> dict[str, str]:
        """A fresh value of each kind."""
        lower = string.ascii_lowercase
        return {
            "word": self.take(lower, 9)[:9].replace("z", "y") + "x",
            "chosen": "Q" + self.take(lower, 7) + "48!x",
            "generated": self.take(ALNUM, 28),
            "telegram": self.take(ALNUM, 35),
            "link": self.take(ALNUM, 24),
            "hash": self.take(ALNUM, 44),
            "hex32": self.take(LETTERS["hex"], 32),
            "short": self.take(ALNUM, 6),
            "short6": "1" + self.take(ALNUM, 5),
            "signature": self.take(ALNUM, 43),
            "pin": "-".join(str(self._rng.randint(100, 999)) for _ in range(3)),
            "digits": str(self._rng.randint(100_000, 999_999)),
            "basic": base64.b64encode(f"bob:{self.take(ALNUM, 9)}".encode()).decode(),
        }


def token(provider: Provider, values: _Values) -> str:
    """A token of *provider*."""
    prefix = provider.prefix.replace("(?:bot)?", "bot")
    while (group := re.search(r"\(\?:([^()]*)\)", prefix)) is not None:
        optional = prefix[group.end() :][:1]
        repeat = re.match(r"\{(\d+)", prefix[group.end() :])
        chosen = "" if optional == "?" else group.group(1).split("|")[0]
        end = group.end() + (optional == "?")
        if repeat:
            chosen *= int(repeat.group(1))
            end = prefix.index("}", end) + 1
        prefix = prefix[: group.start()] + chosen + prefix[end:]
    made = ""
    for part in re.finditer(r"\[([^]]*)\](?:\{(\d+)[^}]*\})?|\\(.)|(.)", prefix):
        classes, count, escaped, literal = part.groups()
        if classes is None:
            made += escaped or literal
        else:
            alphabet = re.sub(
                r"(\w)-(\w)",
                lambda m: "".join(map(chr, range(ord(m.group(1)), ord(m.group(2)) + 1))),
                classes,
            )
            made += "".join(values._rng.choice(alphabet) for _ in range(int(count or 1)))
    letters = LETTERS.get(provider.alphabet, ALNUM)
    length = max(provider.least, 2)
    body = values.take(letters, length + 3)[3:] if length > 3 else "12"[: provider.least]
    return made + body[:length]


def canaries() -> list[Canary]:
    """All of them; the same ones on every call."""
    values = _Values()
    found = []
    for provider in providers():
        made = token(provider, values)
        found.append(Canary(provider.name, f"refused {made} at 12:30", made[-12:]))
    for name in NAMES:
        word = values.named()["word"]
        found.append(Canary(f"named:{name}", f"login with {name}={word} failed", word))
    for name in WEAK_NAMES:
        word = "48151623" if name == "pin" else values.named()["generated"]
        found.append(Canary(f"weak:{name}", f'{{"{name}": "{word}"}}', word))
    for text in TEXTS:
        known = values.named()
        kinds = re.findall(r"(?<!\{)\{(\w+)\}", text)
        found.append(Canary("text", text.format(**known), known[kinds[-1]]))
    return found


def keyed() -> list[tuple[str, str]]:
    """Field names with values of no recognisable shape."""
    values = _Values()
    return [(name, values.named()["word"]) for name in NAMES]
