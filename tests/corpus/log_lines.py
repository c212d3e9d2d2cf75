"""Ordinary log lines of ten kinds, made from templates with seeded values; no secret in any.

The templates are this repository's own; the programs they remind of write similar ones.
"""

# ruff: noqa: E501  a log line is as long as it is
from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator

PER_KIND = 2200
HOSTS = (
    "auth.internal", "token-db.example.com", "web-1", "db.prod.local", "session-store", "vault-0",
    "secrets.example.org", "key-server", "cache.auth.svc.cluster.local", "api.example.com",
)  # fmt: skip
USERS = (
    "bob",
    "alice",
    "root",
    "admin",
    "deploy",
    "www-data",
    "postgres",
    "git",
    "backup",
    "carol",
)
WORDS = (
    "order", "cart", "invoice", "session", "token", "login", "password", "auth", "cookie", "secret",
    "profile", "report", "email", "payment", "refund", "shipment", "key", "card", "pin", "user",
)  # fmt: skip
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGKILL", "SIGSEGV", "SIGUSR1")
CODES = (
    "CONNECTION_REFUSED", "TIMEOUT", "NOT_FOUND", "EACCES", "ECONNRESET", "INVALID_TOKEN",
    "AUTH_FAILED", "E1205", "ORA-00942", "DEADLINE_EXCEEDED", "42P01", "SESSION_EXPIRED",
)  # fmt: skip
MODULES = (
    "auth",
    "session",
    "token",
    "shop.cart",
    "billing",
    "secrets.loader",
    "key_manager",
    "api",
)


class Values:
    """Seeded values of the kinds that stand in log lines."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def n(self, low: int = 0, high: int = 9999) -> int:
        return self.rng.randint(low, high)

    def ip(self) -> str:
        return ".".join(str(self.n(1, 254)) for _ in range(4))

    def hexes(self, n: int) -> str:
        return f"{self.rng.getrandbits(n * 4):0{n}x}"

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def time(self) -> str:
        return (
            f"2026-{self.n(1, 12):02}-{self.n(1, 28):02} {self.n(0, 23):02}:{self.n(0, 59):02}"
            f":{self.n(0, 59):02}"
        )

    def of(self, words: tuple[str, ...]) -> str:
        return self.rng.choice(words)

    def version(self) -> str:
        return f"{self.n(0, 9)}.{self.n(0, 30)}.{self.n(0, 40)}"


def sshd(v: Values) -> Iterator[str]:
    """Login daemons and PAM."""
    head = f"{v.of(HOSTS)} sshd[{v.n(100)}]:"
    yield f"{head} Accepted publickey for {v.of(USERS)} from {v.ip()} port {v.n(1024)} ssh2"
    yield f"{head} Failed password for {v.of(USERS)} from {v.ip()} port {v.n(1024)} ssh2"
    yield f"{head} Failed password for invalid user {v.of(USERS)} from {v.ip()} port {v.n()} ssh2"
    yield f"{head} pam_unix(sshd:auth): check pass; user unknown"
    yield f"{head} pam_unix(sshd:session): session opened for user {v.of(USERS)}(uid={v.n()}) by (uid=0)"
    yield f"{head} pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={v.ip()}  user={v.of(USERS)}"
    yield f"{head} error: maximum authentication attempts exceeded for {v.of(USERS)} from {v.ip()} port {v.n()} ssh2 [preauth]"
    yield f"{head} Received disconnect from {v.ip()} port {v.n()}:11: Bye Bye [preauth]"
    yield f"{head} Connection closed by authenticating user {v.of(USERS)} {v.ip()} port {v.n()} [preauth]"
    yield f"sudo: {v.of(USERS)} : TTY=pts/{v.n(0, 9)} ; PWD=/srv/app/{v.of(WORDS)} ; USER=root ; COMMAND=/bin/systemctl restart {v.of(WORDS)}"
    yield f"su[{v.n()}]: pam_unix(su:session): session closed for user {v.of(USERS)}"
    yield f"CRON[{v.n()}]: pam_unix(cron:session): session opened for user root by (uid=0)"


def coordination(v: Values) -> Iterator[str]:
    """A coordination service: sessions, leaders, ports."""
    sid = f"0x{v.hexes(16)}"
    yield f"[myid:{v.n(1, 9)}] - INFO  [QuorumPeer] - Established session {sid} with negotiated timeout {v.n()} for client /{v.ip()}:{v.n(1024)}"
    yield f"INFO Expiring session {sid}, timeout of {v.n()}ms exceeded"
    yield f"INFO Processed session termination for sessionid: {sid}"
    yield f"Notification: {v.n(1, 9)} (n.leader), {sid} (n.zxid), {sid} (n.round), LOOKING (n.state), {v.n(1, 9)} (n.sid), FOLLOWING (my state)"
    yield f"WARN Connection broken for id {v.n()}, my id = {v.n(1, 9)}, error = timeout"
    yield f"INFO Received connection request /{v.ip()}:{v.n(1024)}"
    yield f"INFO Accepted socket connection from /{v.ip()}:{v.n(1024)} (sid={v.n(1, 9)})"
    yield f"Client attempting to renew session {sid} at /{v.ip()}:{v.n(1024)}"
    yield f"type=createSession cxid=0x0 zxid={sid} txntype:-10 reqpath:n/a Error Path:/brokers Error:KeeperErrorCode = NodeExists for /brokers"
    yield f"broker {v.n(1, 9)} at {v.of(HOSTS)}:{v.n(1024)} is leader for partition orders-{v.n(0, 30)} epoch={v.n()}"


def web(v: Values) -> Iterator[str]:
    """Web servers' access and error lines."""
    path = f"/{v.of(WORDS)}/{v.n()}"
    yield f'{v.ip()} - - [{v.time()}] "GET {path} HTTP/1.1" {v.n(200, 503)} {v.n()} "-" "Mozilla/5.0 (X11; Linux x86_64)"'
    yield f'{v.ip()} - {v.of(USERS)} [{v.time()}] "POST /auth/login HTTP/1.1" 302 0 "https://{v.of(HOSTS)}/login?next=%2Fcart" "curl/8.{v.n(0, 9)}"'
    yield f'{v.ip()} "GET /search?q={v.of(WORDS)}&page={v.n(1, 99)}&sort=asc HTTP/2.0" 200 {v.n()} rt=0.{v.n(1, 999)}'
    yield f'upstream timed out (110: Connection timed out) while reading response header from upstream, client: {v.ip()}, server: {v.of(HOSTS)}, upstream: "http://{v.ip()}:{v.n(1024)}{path}"'
    yield f"http://{v.of(HOSTS)}:{v.n(1024)}{path} answered 502"
    yield f"proxy_pass http://auth.internal:{v.n(1024)} chosen for {path}"
    yield f"GET /static/js/app.{v.hexes(8)}.js?v={v.n()} 304"
    yield f"connect to {v.of(HOSTS)}:{v.n(1024)} failed: Connection refused"
    yield f"GET /callback?code={v.n(200, 599)}&sort=asc&lang=en HTTP/1.1"
    yield f"rate limit for {v.ip()}: {v.n()} requests, key: ip, zone: {v.of(WORDS)}"
    yield f"ssl handshake: TLSv1.3, cipher TLS_AES_256_GCM_SHA384, host {v.of(HOSTS)}"
    yield f"POST /password/reset 200 in {v.n()} ms"


def database(v: Values) -> Iterator[str]:
    """Databases: statements, errors, checkpoints."""
    yield f'{v.time()} UTC [{v.n()}] {v.of(USERS)}@shop FATAL:  password authentication failed for user "{v.of(USERS)}"'
    yield f'{v.time()} UTC [{v.n()}] ERROR:  relation "{v.of(WORDS)}s" does not exist at character {v.n()}'
    yield f"LOG:  checkpoint complete: wrote {v.n()} buffers (0.{v.n(1, 9)}%); write={v.n(0, 99)}.{v.n(0, 999)} s, sync=0.{v.n(0, 999)} s"
    yield f"LOG:  duration: {v.n()}.{v.n(0, 999)} ms  statement: SELECT id, name FROM {v.of(WORDS)}s WHERE id = {v.n()}"
    yield f"DETAIL:  Key (id)=({v.n()}) already exists."
    yield f"DETAIL:  Key (order_id, user_id)=({v.n()}, {v.n()}) already exists."
    yield f"STATEMENT:  UPDATE {v.of(WORDS)}s SET total = {v.n()} WHERE id IN ({v.n()}, {v.n()})"
    yield f'ERROR:  duplicate key value violates unique constraint "{v.of(WORDS)}s_email_key"'
    yield f"connection received: host={v.ip()} port={v.n(1024)}"
    yield f"connection authorized: user={v.of(USERS)} database=shop application_name=psql SSL enabled (protocol=TLSv1.3)"
    yield f'sqlalchemy.exc.OperationalError: connection to server at "{v.of(HOSTS)}" ({v.ip()}), port 5432 failed: Connection refused'
    yield f"Aborted connection {v.n()} to db: 'shop' user: '{v.of(USERS)}' host: '{v.ip()}' (Got timeout reading communication packets)"
    yield f"pool size={v.n(1, 50)} overflow={v.n(0, 9)} dsn={v.version()} pass_rate=0.{v.n(1, 9)}"


def kernel(v: Values) -> Iterator[str]:
    """The kernel and the init system."""
    stamp = f"[{v.n():5}.{v.n(0, 999999):06}]"
    yield f"kernel: {stamp} usb {v.n(1, 4)}-{v.n(1, 9)}: new high-speed USB device number {v.n(1, 99)} using xhci_hcd"
    yield f"kernel: {stamp} Out of memory: Killed process {v.n()} (python) total-vm:{v.n()}kB, anon-rss:{v.n()}kB, oom_score_adj:0"
    yield f"kernel: {stamp} EXT4-fs (sda{v.n(1, 9)}): mounted filesystem with ordered data mode. Opts: (null)"
    yield f'kernel: {stamp} audit: type=1400 audit({v.n(1000000000, 1999999999)}.{v.n(0, 999)}:{v.n()}): apparmor="DENIED" operation="open" profile="/usr/sbin/{v.of(WORDS)}" pid={v.n()} comm="{v.of(WORDS)}"'
    yield f"kernel: {stamp} IN=eth0 OUT= MAC=00:1b:44:11:3a:b7:00:1b:44:11:3a:b8:08:00 SRC={v.ip()} DST={v.ip()} LEN=60 TTL={v.n(1, 255)} PROTO=TCP SPT={v.n()} DPT={v.n()}"
    yield f"systemd[1]: {v.of(WORDS)}.service: Main process exited, code=killed, status={v.n(1, 31)}/{v.of(SIGNALS)[3:]}"
    yield f"systemd[1]: Started Session {v.n()} of user {v.of(USERS)}."
    yield f"{v.of(WORDS)}[{v.n()}]: segfault at {v.hexes(12)} ip {v.hexes(12)} sp {v.hexes(12)} error {v.n(1, 15)} in libc.so.6"
    yield f"worker {v.n()} got sig: {v.of(SIGNALS)}"
    yield f"systemd-logind[{v.n()}]: New session {v.n()} of user {v.of(USERS)}."


def containers(v: Values) -> Iterator[str]:
    """Images, containers, pods."""
    image = f"registry/{v.of(WORDS)}:{v.version()}"
    yield f'Pulling image "{image}"'
    yield f'Successfully pulled image "ghcr.io/acme/{v.of(WORDS)}-service:v{v.version()}" in {v.n(1, 99)}.{v.n(0, 9)}s'
    yield f"Container {v.of(WORDS)} failed liveness probe, will be restarted"
    yield f'MountVolume.SetUp failed for volume "{v.of(WORDS)}-secret" : secret "{v.of(WORDS)}-tls" not found'
    yield f"Back-off restarting failed container {v.of(WORDS)} in pod auth-{v.hexes(9)}-x2x4z_default({v.uuid()})"
    yield f"pod/{v.of(WORDS)}-{v.hexes(9)}-{v.hexes(5)} created on node {v.of(HOSTS)}"
    yield f"docker: Error response from daemon: manifest for registry/auth:{v.version()} not found: manifest unknown."
    yield f"digest: sha256:{v.hexes(64)} size: {v.n()}"
    yield f'level=info msg="loading plugin \\"io.containerd.{v.of(WORDS)}.v1\\"..." runtime=io.containerd.runc.v2'
    yield f"docker run -p {v.n(1024)}:80 --name {v.of(WORDS)} nginx:{v.version()}"
    yield f"Scaled up replica set token-service-{v.hexes(9)} to {v.n(1, 9)}"
    yield f"Created container {v.of(WORDS)} with restart policy always, exit code={v.n(0, 255)}"


def json_lines(v: Values) -> Iterator[str]:
    """Structured lines."""
    yield f'{{"component":"auth","action":"started","user_id":{v.n()},"took_ms":{v.n()}}}'
    yield f'{{"level":"info","ts":{v.n(1700000000, 1799999999)}.{v.n(0, 999)},"logger":"{v.of(MODULES)}","msg":"{v.of(WORDS)} stored","count":{v.n()}}}'
    yield f'{{"event":"{v.of(WORDS)} loaded","auth":"saml","session":"started","path":"/{v.of(WORDS)}","status":{v.n(200, 503)}}}'
    yield f'{{"key":"{v.of(WORDS)}s:{v.n()}","hit":true,"ttl":{v.n()},"cache":"session"}}'
    yield f'{{"tags":["auth","{v.of(WORDS)}","token"],"scopes":["profile","email"],"pin":{v.n(0, 40)}}}'
    yield f'{{"error":{{"code":"{v.of(CODES)}","message":"{v.of(WORDS)} not found"}},"retry":{v.n(0, 9)}}}'
    yield f'{{"trace_id":"{v.hexes(32)}","span_id":"{v.hexes(16)}","name":"GET /{v.of(WORDS)}"}}'
    yield f'{{"token_count":{v.n()},"max_tokens":{v.n()},"password_changed_at":"{v.time()}"}}'
    yield f'{{"host":"{v.of(HOSTS)}:{v.n(1024)}","request_id":"{v.uuid()}","ok":true}}'
    yield f'{{"auth_method":"oidc","token_type":"Bearer","secret_name":"{v.of(WORDS)}-tls","cookie_policy":"lax"}}'


def java(v: Values) -> Iterator[str]:
    """Stack frames and exceptions of a JVM, and Python's."""
    yield f"\tat com.acme.auth.{v.of(('TokenService', 'SessionFilter', 'KeyStoreLoader', 'PasswordEncoder'))}.{v.of(('validate', 'doFilter', 'load'))}({v.of(('TokenService', 'SessionFilter'))}.java:{v.n(1, 900)})"
    yield f"Caused by: java.net.ConnectException: Connection refused: {v.of(HOSTS)}/{v.ip()}:{v.n(1024)}"
    yield f"{v.time()} ERROR [http-nio-8080-exec-{v.n(1, 99)}] c.a.s.{v.of(('AuthController', 'TokenRepository'))} : Cannot find {v.of(WORDS)} {v.n()}"
    yield "org.springframework.security.authentication.BadCredentialsException: Bad credentials"
    yield f'  File "/srv/app/{v.of(WORDS)}.py", line {v.n(1, 900)}, in check_{v.of(WORDS)}'
    yield f"KeyError: '{v.of(WORDS)}'"
    yield "io.jsonwebtoken.ExpiredJwtException: JWT expired"
    yield f"ValueError: invalid token: unexpected end of input at {v.n()}"
    yield f"failed to verify token: signature is invalid (attempt {v.n(1, 9)})"
    yield f"\t... {v.n(1, 99)} more"


def errors(v: Values) -> Iterator[str]:
    """Error codes, signals, rates, settings."""
    yield f"error code={v.of(CODES)} state={v.of(('CLOSED', 'OPEN'))} attempt={v.n(1, 9)}"
    yield f"exit code: {v.n(0, 255)}, signal: {v.of(SIGNALS)}, core dumped: no"
    yield f"pass_rate=0.{v.n(1, 99)} fail_rate=0.{v.n(1, 99)} pass={v.n()} fail={v.n(0, 99)} skip={v.n(0, 9)}"
    yield f"sentry sdk dsn={v.version()} release={v.version()}"
    yield f"sig={v.of(SIGNALS)} pid={v.n()} sid={v.n()} pgid={v.n()}"
    yield f"GPIO pin={v.n(0, 40)} value={v.n(0, 1)} mode=OUT"
    yield f"HTTP {v.n(400, 599)} from {v.of(HOSTS)}: {v.of(CODES)}"
    yield f"password policy: min_length={v.n(8, 16)} max_age={v.n()} history={v.n(1, 9)}"
    yield f"token bucket: rate={v.n()} burst={v.n()} token_count={v.n()}"
    yield f"card: visa, country code=DE, zip code={v.n(10000, 99999)}"
    yield f"cache key={v.of(WORDS)}:{v.n()}:summary primary_key={v.n()} sort_key=created_at"
    yield f"session: closed after {v.n()} s, auth: ok, cookie: set"


def application(v: Values) -> Iterator[str]:
    """An application's own words."""
    yield f"{v.of(WORDS)} {v.n()} stored in {v.n()} ms"
    yield f"user {v.of(USERS)} changed the {v.of(WORDS)} of {v.of(WORDS)} {v.n()}"
    yield f"{v.time()} INFO {v.of(MODULES)}: {v.of(WORDS)} {v.n()} has {v.n(0, 99)} items, total={v.n()}.{v.n(0, 99)} EUR"
    yield f"retrying {v.of(WORDS)} {v.n()} in {v.n(1, 60)} s: {v.of(CODES)}"
    yield f"password reset email sent to user {v.n()}"
    yield f"request {v.uuid()} done: {v.n(200, 503)} after {v.n()} ms"
    yield f"GET http://{v.of(HOSTS)}:{v.n(1024)}/{v.of(WORDS)}?page={v.n()}&key={v.of(WORDS)} 200"
    yield f"deployed {v.hexes(40)} to {v.of(HOSTS)}"
    yield f"authentication: user={v.of(USERS)} method=password result=ok"
    yield f"API key rotation for {v.of(USERS)} scheduled in {v.n(1, 90)} days"
    yield f"login of {v.of(USERS)}: wrong password, attempt {v.n(1, 5)} of 5"
    yield f"celery task shop.tasks.send_{v.of(WORDS)}[{v.uuid()}] succeeded in 0.{v.n(0, 999)}s"


KINDS: tuple[Callable[[Values], Iterator[str]], ...] = (
    sshd, coordination, web, database, kernel, containers, json_lines, java, errors, application,
)  # fmt: skip


def lines(kind: Callable[[Values], Iterator[str]]) -> list[str]:
    """Lines of one kind; the same ones on every call."""
    found: list[str] = []
    seed = 0
    while len(found) < PER_KIND:
        seed += 1
        found += kind(Values(seed))
    return found[:PER_KIND]
