"""Ordinary log lines that redaction must leave as they are, and the listed exceptions."""

from __future__ import annotations

import random
import uuid

PROSE = """
cart loaded
token ring network is up
token bucket refilled
the password policy requires twelve characters
password policy updated by admin
password reset requested
password reset email sent to user 17
password changed
password must not be empty
password authentication failed for user "shop"
wrong password for user bob
token expired
token is expired
error: token expired
the token: expired
invalid token: required
secret santa list created
secret: missing
no secret configured
authorization denied for role viewer
Authorization required
authorization failed for user 17
bearer of good news
Bearer authentication is required
Basic authentication is not supported
basic plan chosen
cookie banner dismissed
cookies accepted
session started
session expired after 30 minutes
session_count=17
key error: 'order'
KeyError: 'user_id'
primary key violated
foreign key constraint "orders_user_fk" failed
public key uploaded
keyboard interrupt
monkey patching done
tokenizer loaded vocabulary of 50257 entries
max_tokens=4096
prompt_tokens=17 completion_tokens=25 total_tokens=42
token_count=12
token_type=Bearer
token_url=https://auth.example.com/oauth/token
password_policy=strong
password_changed_at=2025-05-10
password_reset_required=true
secret_name=db-main
api_key_id_count=3
auth_method=saml
auth_backend=ldap
cookie_name=sid
credentials_file=missing
csrf token missing
CSRF validation failed
jwt expired
passenger 17 boarded
passing grade reached
compass calibrated
bypass enabled
author=bob
authority: example.com
authentication took 12 ms
signature mismatch
pinned version 3.1.3
pin 13 set high
pinging db took 3 ms
card declined
card shuffled
card type visa accepted
business card printed
connection refused
connection to 127.0.0.1:5432 refused
connection pool exhausted, 10 of 10 in use
could not connect to host db.internal port 5432
could not translate host name "db" to address
[Errno 111] Connection refused
[Errno 28] No space left on device: 'logs/proletto.log'
HTTPConnectionPool(host='localhost', port=4318): Max retries exceeded with url: /v1/traces
Failed to connect to database
GET /orders/17 200 12.3ms
GET /api/v1/users?page=2&size=50&sort=name 200
POST /login 302
PUT /cart/items/7?quantity=3 204
GET /static/js/app.8f3c2a1b.js 304
GET /admin/monitoring HTTP/1.1
https://example.com/a/b/c?x=1&y=2#top
http://localhost:3000/d/abc123def/overview?orgId=1
http://user-service:8080/health
https://alice@example.com/repo.git
ssh://git@example.com:22/repo.git
git@github.com:proletto/otel.git
mailto:bob@example.com
postgresql://localhost/shop
postgresql://shop@localhost:5432/shop
redis://localhost:6379/0
sqlite:////var/lib/app/app.db
amqp://rabbit:5672//
contact bob.smith@example.com for details
sent mail to 3 receivers
price 12.99 EUR
total_cents=399 currency=EUR
user_id=12345 component=database
order_id=o-1234567 shard=3
order 2025-000017 stored
order number 100000012345 shipped
invoice 2025/05/000123 paid
order 4111111111111112 shipped
parcel 5500 0000 0000 0005 9 arrived
IBAN checked
phone +49 30 1234567
tel. 030-1234567-12
call +1 (555) 010-9999
zip 10115 Berlin
at 2025-05-10T06:35:12.548
at 2025-05-10T06:35:12.548123+00:00
at 10/May/2025:06:35:12 +0000
timestamp 1746858912548
timestamp_ns 1746858912548123456
epoch 1746858912.548
12:30:45 tick
uptime 3 days, 4:05:06
load 0.52 0.58 0.59
cpu 93.5 % of 2 cores
memory 512 MiB of 2 GiB
disk / is 81 % full
rows=17 took=3ms
took 0:00:12.345678
version 1.45.1, build 20250510.3
python 3.11.7 on linux
Python/3.11.7 (main, Dec  8 2023, 14:22:46) [GCC 12.2.0]
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0
ip 203.0.113.9 port 51234
ip 2001:db8::ff00:42:8329
mac 00:1b:44:11:3a:b7
cidr 10.0.0.0/8
namespace=default pod=shop-7d9f8b6c5-x2x4z
container 3f4e5d6c7b8a started
image ghcr.io/proletto/shop:1.2.3
sha256 of layer verified
arn:aws:iam::123456789012:role/shop
s3://bucket/path/to/object.parquet
topic orders.v1 partition 3 offset 1234567890
kafka lag 12345
celery task shop.tasks.send_mail succeeded in 0.35s
worker 12345 booted
Booting worker with pid: 12345
[2025-05-10 06:35:12 +0000] [1234] [INFO] Listening at: http://127.0.0.1:8000 (1234)
Worker exiting (pid: 1234)
Traceback (most recent call last):
  File "shop/payment.py", line 45, in charge
ValueError: invalid literal for int() with base 10: 'abc'
TypeError: unsupported operand type(s) for +: 'int' and 'str'
AttributeError: 'NoneType' object has no attribute 'items'
ZeroDivisionError: division by zero
FileNotFoundError: [Errno 2] No such file or directory: '/etc/shop.ini'
json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)
UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table: orders
SELECT id, name FROM orders WHERE id = 7
SELECT count(*) FROM users WHERE created_at > '2025-05-10'
INSERT INTO orders (id, total) VALUES (7, 399)
UPDATE carts SET total = 399 WHERE id = 7
DELETE FROM carts WHERE id IN (1, 2, 3)
duplicate key value violates unique constraint "users_email_key"
deadlock detected
cache hit for orders:17
cache miss: orders:17
cache key orders:17:summary
idempotency key reused
lock acquired after 3 ms
feature flag new-checkout is on
don't panic
it's 5 o'clock
she said "hello" and left
a -> b -> c
a == b
x = 3
if x: return
f(x, y=3)
{"a": 1, "b": [1, 2, 3]}
{'name': 'bob', 'age': 42}
<p>hello</p>
<order><id>17</id></order>
100% done
50%3A50 split
rm -rf build
make test --quiet
git commit --amend
grunt --verbose run
ls -la /var/log
1 + 1 = 2
lorem ipsum dolor sit amet, consectetur adipiscing elit
Grüße aus Köln, schöne Straße
naïve café résumé
日本語のログ行です
заказ сохранён
emoji 🙂 works
temperature -12.5 °C
∑ of 3 values
password: None
password=None
token=null
api_key=%s
WHERE password = ?
WHERE token = :token
WHERE token = $1
password=****
password=[redacted]
def login(user, password: str) -> bool
ValidationError: password: This field is required.
WWW-Authenticate: Basic realm="shop"
password hash upgraded to pbkdf2_sha256
the password was changed by admin_user2
API key rotation is scheduled for 2026-12-01
docker run -p 8080:80 nginx
mysql -u root -P 3306 -h db
redis-cli -p 6379 ping
curl -s -o out http://localhost:8080/health
mkdir -p /var/lib/app/data
GET /items?code=404&sort=asc
zip code=90210 state=CA
{"name": "color", "value": "red"}
{"name": "token_type", "value": "bearer"}
Content-Disposition: form-data; name="file"; filename="a.png"
state: pending -> done
cookie: consent banner shown
auth: saml
pass: boarding
""".strip().split("\n")

EXCEPTIONS = (
    ("token: ring", "token: [redacted]"),
    ("trailing 4111111111111111 test card", "trailing [redacted] test card"),
)
"""What looks like `name: secret` is taken for one, even where a person would know better."""


def lines() -> list[str]:
    """Ordinary lines, with identifiers of many kinds; the same ones on every call."""
    rng = random.Random(20250510)

    def digits(n: int) -> str:
        return "".join(rng.choice("123456789") for _ in range(n))

    def hexes(n: int) -> str:
        return f"{rng.getrandbits(n * 4):0{n}x}"

    found = list(PROSE)
    for _ in range(12):
        found += [
            f"request {uuid.UUID(int=rng.getrandbits(128), version=4)} done",
            str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            f"traceparent 00-{hexes(32)}-{hexes(16)}-01",
            f"trace_id={hexes(32)} span_id={hexes(16)}",
            f"deployed {hexes(40)}",
            f"commit {hexes(7)} by bob",
            f"sha256:{hexes(64)}",
            f"order {digits(8)} stored",
            f"order 9{digits(15)} stored",
            f"o-{digits(12)}",
            f"/orders/{digits(9)}/items/{digits(4)}",
            f"X-Request-ID: {uuid.UUID(int=rng.getrandbits(128), version=4)}",
        ]
    return found
