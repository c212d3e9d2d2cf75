"""Which names promise a secret: `password`, `X-Api-Key`, `dbPassword`; and which only talk of one.

Decided by words, so `token_count` and `password_policy` stay readable. What a secret looks like
without a name lives in `core.redaction.token_shapes`.
"""

from __future__ import annotations

import unicodedata

from proletto_otel.core.lazy_pattern import lazy_pattern


def word_set(text: str) -> frozenset[str]:
    """The words of *text*: tables of words read better as lines than as lists."""
    return frozenset(text.split())


NO, WEAK, LIKELY, SECRET = range(4)
"""How far a name promises a secret. SECRET: any value. LIKELY: any but a number, version, path,
host or constant. WEAK: a value that looks generated."""

SECRET_WORDS = word_set(
    """password passwords passwd passphrase passcode passkey secret secrets token tokens apikey
    apikeys authorization cookie cookies credential privatekey secretkey accesskey
    signingkey encryptionkey decryptionkey masterkey authkey sharedkey accountkey sessionkey
    licensekey licencekey csrf xsrf csrftoken csrfmiddlewaretoken jwt bearer
    phpsessid jsessionid aspxauth cvv cvc cvv2 ssn hotp pincode connectionstring
    connstring connectionurl creditcard cardnumber cardno ccnumber cardpin
    webhookurl pw pswd psw passwrd userpass rootpass dbpass storepass keypass passphrases puk
    authtoken accesstoken refreshtoken idtoken sessiontoken bearertoken clientsecret appsecret
    secretaccesskey accesskeyid appkey mnemonic seedphrase recoveryphrase recoverykey backupkey
    keyphrase securityanswer secretanswer samlresponse samlassertion clientassertion codeverifier
    magiclink resetlink invitelink signedurl presignedurl sastoken sasurl encryptedkey datakey
    privkey sshkey pgpkey gpgkey deploykey wifikey psk wpapsk presharedkey pepper
    passwort kennwort geheimnis geheimwort schlusselwort zugangscode zugangsdaten
    motdepasse mdp jeton clesecrete cleapi codesecret phrasesecrete
    contrasena contrasenia contrasenya clavesecreta claveapi palabraclave
    senha palavrapasse chaveapi chavesecreta segredo
    parola parolachiave chiavesegreta chiaveapi segreto
    wachtwoord geheim toegangscode losenord hemlighet adgangskode kodeord passord salasana
    haslo hasło heslo jelszo sifre parolasi lozinka geslo paswoord matkhau katasandi sandi
    пароль пароли секрет токен кодовоеслово ключдоступа ключapi
    κωδικος συνθηματικο парола лозинка סיסמה סיסמא كلمةالمرور كلمةالسر رمزالدخول گذرواژه
    密码 密碼 口令 密钥 密鑰 令牌 私钥 暗号 パスワード 暗証番号 秘密鍵 合言葉 비밀번호 암호 비밀키
    पासवर्ड รหัสผ่าน"""
)
"""A name is secret when one of its words, or two or three neighbours joined, is one of these."""

LIKELY_WORDS = frozenset(
    (
        "sid",
        "sig",
        "otp",
        "mfa",
        "totp",
        "dsn",
        "pwd",
        "signature",
        "hmac",
        "credentials",
        "sessionid",
        "sessid",
    )
)
WEAK_WORDS = word_set(
    """auth session sess pin pass card salt cred creds conn webhook hook ticket assertion
    clave chave clef schlussel sleutel klucz ключ κλειδι nonce nounce"""
)

KEY_OWNERS = word_set(
    """access account admin algolia amplitude anthropic app apple application appcenter auth aws
    azure backup billing binance bitbucket bugsnag card cipher circleci client cloudflare
    cloudinary cohere coinbase consumer crypt crypto customer database datadog db deepl deploy
    device digitalocean discord dropbox dsa ecdsa ed25519 elastic encrypt encryption etherscan
    facebook fastly fcm fernet figma firebase flask fly gcp geocoder gemini git github gitlab
    gmail google gpg grafana groq heroku honeybadger hubspot huggingface infura intercom jira
    jwt kraken launchdarkly licence license linear linkedin mailchimp mailgun mailjet
    mandrill maps mapbox master merchant messagebird mistral mixpanel netlify newrelic nexmo ngrok
    notion npm okta onesignal openai openweather pagerduty paypal payment personal pgp pinecone
    plaid postmark posthog private publishable push pusher pypi recaptcha recovery redis rollbar
    rsa s3 salesforce secret secure security segment sendgrid sentry server serverless service
    session sftp shared shopify signing slack snyk square ssh ssl storage stripe subscription
    supabase telegram tls trello twilio twitch twitter user vault vercel vonage webhook weather
    wireguard xero zendesk zoom"""
)
"""`<owner>_key` is a secret."""
ORDINARY_KEYS = word_set("primary foreign public cache sort partition routing idempotency object")

CODE_KINDS = word_set(
    """access activation auth authorization backup confirmation device invitation invite login mfa
    otp pairing pass pin recovery reset secret security sms totp twofactor 2fa unlock verification
    verify magic oauth registration referralsecret scratch emergency"""
)
"""`<kind>_code` is a secret; `status_code` and `zip_code` are none."""

URL_PARAMETERS = word_set(
    """key k t code sig hash ticket st auth assertion samlresponse samlrequest samlart relaystate
    invite invitation reset verify verification confirm confirmation activation magic otp sas
    ott nonce"""
)
"""Parameters of a URL that carry a secret when their value looks generated."""

IDENTIFIERS = word_set(
    """iban bic swift accountnumber bankaccount routingnumber sortcode taxid taxnumber taxpayerid
    tin itin ein vatid vatnumber nationalid nationalinsurance nino nin idcard identitycard idnumber
    personalid personalnumber passport passportnumber passportno driverslicense driverlicense
    drivinglicence socialsecurity socialsecuritynumber medicare nhsnumber cpf cnpj curp rfc dni nie
    nif bsn aadhaar aadhar pannumber pesel personnummer personnr steuerid steuernummer
    codicefiscale hetu cpr dateofbirth birthdate dob insee birthday geburtsdatum mothersmaidenname
    maidenname"""
)
"""National and financial identifiers: personal data, secret only where the user says so."""

HARMLESS_ENDINGS = word_set(
    """age at attempts attempt budget bucket changed class column count created deadline description
    disabled enabled endpoint error errors exists expired expires expiry failed field fields file
    filename filenames files format for header headers help hint id ids index invalid is issued
    issuer kind label last left len length level lifetime limit limits max maximum method methods
    min minimum missing mode name names ok path paths policies policy present provider providers
    remaining required reset result revoked ring rotated rotation rule rules scheme seconds service
    services size source state status store strength table time timeout title total ttl type types
    updated url uri usage used user users valid validity version view when backend backends config
    rate ratio host hosts hostname port ports server servers address addr db manager handler
    handlers middleware module plugin factory filter filters controller ms millis bytes chars
    prefix suffix parser lexer metric metrics check checks flow grant cache queue pool job jobs task
    tasks event events request requests response responses failures failure success complexity
    entropy algorithm alg algorithms rounds scope scopes audience owner group groups region
    endpoints resolver bucket client clients interceptor exception warning tokenizer generator
    counter day days hour hours minute minutes lengths stage phase step page form controller
    operator driver adapter proxy gateway daemon worker node cluster pod deployment namespace
    reason msg message number numbers style weight color tests test suite spec runner percent pct"""
)
"""Last words that make a name talk *about* a secret: `token_type`, `password_changed_at`."""

SECRET_ANYWAY = word_set(
    """secretid samlresponse accesskeyid webhookurl secreturl tokenid awsaccesskeyid signedurl
    tokenhint idtokenhint presignedurl sasurl connectionurl cardnumber ccnumber secretpath
    databaseurl redisurl brokerurl mongouri mongodburi secretvalue tokenvalue phpsessid jsessionid
    """
)
"""Joined last two or three words that stay secret in spite of a harmless ending."""

COUNTABLE = frozenset(("tokens", "cookies", "secrets"))
"""Last words that are as likely to count: a number under them stays."""

HARMLESS_STARTS = frozenset(
    ("max", "min", "num", "total", "prompt", "completion", "public", "has", "is", "no", "use")
)

GLUED = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "secretkey",
    "accesskey", "privatekey", "credential", "credentials", "passwort", "sessid",
)  # fmt: skip
"""Ends of a word that is two without a sign of it: a server writes the header `dbPassword` as
`Dbpassword`. No ordinary word ends like that but `betoken`."""

_WORDS = lazy_pattern(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
_NEED_MORE = frozenset(("key", "keys", "value", "id", "code", "codes", "text", "url"))
"""Last parts of a dotted name that say nothing without the part before."""
_LAST_WORDS = 10
"""Words of a name that decide; a path of a hundred words is no name."""


def words(name: str) -> list[str]:
    """The lower-case words of *name*: `dbPassword`, `db-password` → `db`, `password`."""
    name = name[-200:]
    if not name.isascii():  # `contraseña` and `contrasena` are one word
        name = "".join(c for c in unicodedata.normalize("NFKD", name) if c.isalnum() or c in "-_.")
    return [word.lower() for word in _WORDS.findall(name)]


def joined(name: str) -> str:
    """*name* without what separates its words, in lower case."""
    return "".join(words(name))


def level(name: str, identifiers: bool = False) -> int:
    """How far *name* promises a secret: NO, WEAK, LIKELY or SECRET.

    Args:
        name: Of a field, a header, a parameter, a variable.
        identifiers: Count national and financial identifiers as secrets.
    """
    head, _, tail = name.rpartition(".")  # `secrets.example.org` is a host, `db.password` is none
    parts = words(tail if tail.lower() not in _NEED_MORE else f"{head.rpartition('.')[2]}.{tail}")
    last = parts[-1] if parts else ""
    parts = parts[-_LAST_WORDS:]
    runs = _runs(parts)
    if identifiers and not runs.isdisjoint(IDENTIFIERS):
        return SECRET
    if not SECRET_ANYWAY.isdisjoint("".join(parts[-n:]) for n in (2, 3)):
        return SECRET
    if parts[-2:] == ["session", "id"]:
        return LIKELY
    if not parts or last in HARMLESS_ENDINGS or (parts[0] in HARMLESS_STARTS and name.isascii()):
        return NO
    if not runs.isdisjoint(SECRET_WORDS):
        return SECRET
    if not runs.isdisjoint(LIKELY_WORDS):
        return LIKELY
    if any(part.endswith(GLUED) for part in parts):
        return SECRET
    return _by_last_word(name, parts, runs)


def _by_last_word(name: str, parts: list[str], runs: set[str]) -> int:
    before = parts[-2] if len(parts) > 1 else ""
    if parts[-1] in ("key", "keys"):
        if before in KEY_OWNERS:
            return SECRET
        if before and name.isupper() and before not in ORDINARY_KEYS:
            return WEAK
    if parts[-1] in ("code", "codes") and before in CODE_KINDS:
        return SECRET
    return NO if runs.isdisjoint(WEAK_WORDS) else WEAK


def is_countable(name: str) -> bool:
    """Whether a number under *name* is more likely a count than a secret."""
    return bool(COUNTABLE.intersection(words(name)[-1:]))


def _runs(parts: list[str]) -> set[str]:
    """Each word, and each two and three neighbours joined."""
    return {
        "".join(parts[start : start + length])
        for length in (1, 2, 3)
        for start in range(len(parts) - length + 1)
    }


def _folded(words_: frozenset[str]) -> frozenset[str]:
    """The table as `words` gives the words of a name."""
    return frozenset(word if word.isascii() else joined(word) for word in words_)


NON_ASCII = tuple(sorted(w for w in SECRET_WORDS | WEAK_WORDS if not w.isascii()))
"""As people write them, for texts in which no regular expression finds the bounds of a word."""
SECRET_WORDS = _folded(SECRET_WORDS)
WEAK_WORDS = _folded(WEAK_WORDS)
