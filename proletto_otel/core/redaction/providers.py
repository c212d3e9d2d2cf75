"""Tokens that begin as their provider made them: one row per kind of token.

A row is a name, what the token begins with, the alphabet and the number of characters that follow
(`36`, `20-60`, `20+`), and where the provider documents it; `core.redaction.provider_tokens` finds
them.
"""

from __future__ import annotations

import re
from functools import cache

from proletto_otel.core.record import record

ALPHABETS = {
    "hex": "[0-9a-fA-F]",
    "digit": "[0-9]",
    "lower": "[a-z0-9]",
    "upper": "[A-Z0-9]",
    "alnum": "[A-Za-z0-9]",
    "word": "[A-Za-z0-9_-]",
    "dotted": "[A-Za-z0-9_.-]",
    "base64": "[A-Za-z0-9+/=_-]",
}

ROWS = r"""
aws-key              A(?:KIA|SIA|GPA|IDA|ROA|NPA|NVA|BIA|CCA)  upper  16     docs.aws.amazon.com
aws-bedrock          ABSK                 base64 100+    docs.aws.amazon.com
aws-bedrock-short    bedrock-api-key-     base64 40+     docs.aws.amazon.com
google-api           AIza                 word   30+     cloud.google.com
google-oauth         ya29\.               word   16+     developers.google.com
google-client        GOCSPX-              word   16+     developers.google.com
google-refresh       1//0                 word   30+     developers.google.com
github               gh[opsur]_           alnum  16+     docs.github.com
github-fine          github_pat_          word   20+     docs.github.com
gitlab               gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|sbt)-  dotted 16+  docs.gitlab.com
gitlab-runner        GR1348941            word   20+     docs.gitlab.com
bitbucket            ATBB                 alnum  24+     support.atlassian.com
bitbucket-app        ATCTT3xFfG           base64 20+     support.atlassian.com
atlassian            ATATT3xFfG           base64 20+     support.atlassian.com
slack                xox[a-z]-            word   12+     api.slack.com
slack-app            xapp-                word   12+     api.slack.com
slack-rotate         xoxe\.               dotted 12+     api.slack.com
discord-bot          [MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.  word 27-45  discord.com
telegram-bot         (?:bot)?[0-9]{8,10}: word   35      core.telegram.org
stripe               (?:sk|rk|pk)_(?:live|test)_  alnum 16+  docs.stripe.com
stripe-short         (?:sk|rk|pk)_        alnum  16+     docs.stripe.com
stripe-webhook       whsec_               base64 16+     docs.stripe.com
square               sq0[a-z]{3}-         word   20+     developer.squareup.com
square-access        EAAA[A-Za-z]         word   55+     developer.squareup.com
paypal-braintree     access_token\$(?:production|sandbox)\$  dotted 40+  developer.paypal.com
adyen                AQE[a-z]             base64 40+     docs.adyen.com
razorpay             rzp_(?:live|test)_   alnum  14+     razorpay.com
paystack             [sp]k_(?:live|test)_ lower  30+     paystack.com
flutterwave          FLW(?:SECK|PUBK)(?:_TEST)?-  word 24+  developer.flutterwave.com
mollie               (?:live|test)_       alnum  30      docs.mollie.com
gocardless           (?:live|sandbox)_    word   40      developer.gocardless.com
coinbase-commerce    coinbase_            word   30+     docs.cdp.coinbase.com
plaid                (?:access|public)-(?:sandbox|development|production)-  word 30+  plaid.com
wise                 wise_                word   30+     docs.wise.com
openai               sk-(?:[a-z]{2,10}-)? word   20+     platform.openai.com
anthropic            sk-ant-              word   20+     docs.anthropic.com
openrouter           sk-or-v1-            hex    64      openrouter.ai
huggingface          hf_                  alnum  20+     huggingface.co
huggingface-org      api_org_             alnum  20+     huggingface.co
replicate            r8_                  alnum  30+     replicate.com
groq                 gsk_                 alnum  40+     console.groq.com
perplexity           pplx-                alnum  40+     docs.perplexity.ai
xai                  xai-                 alnum  60+     docs.x.ai
nvidia               nvapi-               word   50+     build.nvidia.com
fireworks            fw_                  alnum  20+     docs.fireworks.ai
together             tgp_v1_              word   30+     docs.together.ai
elevenlabs           sk_                  hex    48      elevenlabs.io
voyage               pa-                  word   40+     docs.voyageai.com
pinecone             pcsk_                word   40+     docs.pinecone.io
langsmith            lsv2_(?:pt|sk)_      word   30+     docs.smith.langchain.com
langfuse             (?:sk|pk)-lf-        word   30+     langfuse.com
wandb                wandb_v1_            word   30+     docs.wandb.ai
sendgrid             SG\.                 dotted 32+     docs.sendgrid.com
mailgun              key-                 hex    32      documentation.mailgun.com
mailgun-signing      pubkey-              hex    32      documentation.mailgun.com
mailchimp            [0-9a-f]{32}-us      digit  1-2     mailchimp.com
brevo                xkeysib-             word   64+     developers.brevo.com
brevo-smtp           xsmtpsib-            word   64+     developers.brevo.com
resend               re_                  word   20+     resend.com
mailersend           mlsn\.               hex    64      developers.mailersend.com
loops                lops_                alnum  20+     loops.so
twilio               (?:SK|AC)            hex    32      twilio.com
npm                  npm_                 alnum  20+     docs.npmjs.com
pypi                 pypi-                word   20+     pypi.org
rubygems             rubygems_            hex    48      guides.rubygems.org
crates               cio                  alnum  32      crates.io
clojars              CLOJARS_             lower  60      clojars.org
nuget                oy2                  lower  43      learn.microsoft.com
docker               dckr_(?:pat|oat)_    word   20+     docs.docker.com
jfrog                cmVmd                alnum  50+     jfrog.com
jfrog-key            AKC[a-zA-Z0-9]       alnum  50+     jfrog.com
digitalocean         do[opr]_v1_          hex    32+     docs.digitalocean.com
digitalocean-space   DO(?:00|80)          upper  16      docs.digitalocean.com
heroku               HRKU-                word   30+     devcenter.heroku.com
fly                  fo1_                 word   40+     fly.io
fly-macaroon         fm[12]_              base64 40+     fly.io
flyv1                FlyV1_fm             base64 40+     fly.io
netlify              nfp_                 alnum  30+     docs.netlify.com
vercel               vc[apkri]_           alnum  20+     vercel.com
render               rnd_                 alnum  20+     render.com
railway              rw_Fe26\.            base64 30+     docs.railway.com
supabase             sbp_                 hex    40      supabase.com
supabase-key         sb_secret_           word   20+     supabase.com
planetscale          pscale_(?:tkn|oauth|pw)_  dotted 30+  planetscale.com
neon                 napi_                alnum  30+     neon.tech
databricks           dapi                 hex    32      docs.databricks.com
doppler              dp\.(?:pt|st|ct|sa|scim|audit)\.  dotted 40+  docs.doppler.com
vault                hv[sbr]\.            word   20+     developer.hashicorp.com
vault-old            s\.                  alnum  24      developer.hashicorp.com
terraform            [A-Za-z0-9]{14}\.atlasv1\.  word 60+  developer.hashicorp.com
pulumi               pul-                 hex    40      pulumi.com
onepassword          ops_eyJ              word   100+    developer.1password.com
onepassword-key      A3-[A-Z0-9]{6}-      word   20-40   support.1password.com
infisical            st\.[0-9a-f]{24}\.   dotted 30+     infisical.com
grafana              glsa_                word   20+     grafana.com
grafana-cloud        glc_                 base64 30+     grafana.com
newrelic             NRAK-                upper  27      docs.newrelic.com
newrelic-other       NR(?:II|JS|AL|AA|BR|RA|IQ|SP)-  word 19+  docs.newrelic.com
sentry               sntry[su]_           base64 30+     docs.sentry.io
datadog-app          (?:ddap|ddp)_           word   30+     docs.datadoghq.com
dynatrace            dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.  upper 64  docs.dynatrace.com
posthog              ph[cx]_              alnum  30+     posthog.com
honeycomb            hc[abix]ik_          lower  30+     docs.honeycomb.io
logfire              pylf_v1_[a-z]{2}_    alnum  30+     logfire.pydantic.dev
launchdarkly         (?:sdk|mob|api|rel)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-  hex 12  launchdarkly.com
sonar                sq[pua]_             hex    40      docs.sonarsource.com
snyk                 snyk_uat\.           dotted 30+     docs.snyk.io
codecov              codecov_             hex    32      docs.codecov.com
circleci             CCIPAT_              word   30+     circleci.com
buildkite            bk(?:ua|aj|pt)_      hex    40      buildkite.com
travis               tvs_                 alnum  20+     docs.travis-ci.com
linear               lin_(?:api|oauth)_   alnum  20+     developers.linear.app
notion               (?:ntn|secret)_      alnum  43-50   developers.notion.com
figma                fig[du]_             word   30+     figma.com
airtable             pat[A-Za-z0-9]{14}\. hex    64      airtable.com
asana                [12]/[0-9]{12,20}(?:/[0-9]{12,20})?:  hex 32  developers.asana.com
clickup              pk_[0-9]{6,9}_       upper  32      clickup.com
typeform             tfp_                 dotted 40+     typeform.com
contentful           CFPAT-               word   40+     contentful.com
sanity               sk[A-Z]              alnum  80+     sanity.io
shopify              shp(?:at|ss|ca|pa|ua)_  hex 24+     shopify.dev
hubspot              pat-(?:na|eu|ap)[0-9]-  word 30+    developers.hubspot.com
intercom             dG9r                 base64 50+     developers.intercom.com
zapier-secret        zpka_                word   30+     zapier.com
cloudflare-origin    v1\.0-[0-9a-f]{24}-  hex    146     developers.cloudflare.com
cloudflare           cf(?:ut|at|k)_       word   40+     developers.cloudflare.com
tailscale            tskey-               word   16+     tailscale.com
ngrok                2[a-zA-Z0-9]{26}_    alnum  20+     ngrok.com
mapbox               (?:sk|tk)\.eyJ       dotted 40+     docs.mapbox.com
facebook             EAA[A-Z]             alnum  60+     developers.facebook.com
instagram            IG(?:QV|AA)          base64 60+     developers.facebook.com
twitter-bearer       AAAAAAAAAAAAAAAA     base64 60+     developer.x.com
linkedin             AQ[VUWX]             word   80+     learn.microsoft.com
twitch               oauth:               lower  30      dev.twitch.tv
azure-ad             [a-zA-Z0-9_~.]{3}8Q~ dotted 30+     learn.microsoft.com
azure-devops         [a-z0-9]{40,76}JQQJ99  alnum 8-40   learn.microsoft.com
alibaba              LTAI                 alnum  12-24   alibabacloud.com
tencent              AKID                 alnum  32-40   tencentcloud.com
yandex               AQVN                 word   35+     yandex.cloud
yandex-oauth         y[0-9]_              word   50+     yandex.cloud
ibm                  ApiKey-              word   36+     cloud.ibm.com
oracle               ocid1\.credential\.  dotted 30+     docs.oracle.com
scaleway             SCW                  upper  17      scaleway.com
age                  AGE-SECRET-KEY-1     upper  40+     age-encryption.org
postman              PMAK-                word   50+     learning.postman.com
easypost             EZ[AT]K              alnum  54      easypost.com
shippo               shippo_(?:live|test)_  hex  40      goshippo.com
lob                  (?:live|test)_(?:pub_)?  hex 31-35  docs.lob.com
duffel               duffel_(?:live|test)_  word 43      duffel.com
prefect              pn[ub]_              alnum  36      docs.prefect.io
dagster              (?:agent|user):[a-z0-9-]{2,40}:  hex 32  docs.dagster.io
frameio              fio-u-               word   40+     developer.frame.io
readme               rdme_                lower  70      docs.readme.com
algolia-search       alga_                alnum  30+     algolia.com
clerk                sk_(?:live|test)_    alnum  30+     clerk.com
workos               sk_(?:a|b)_          alnum  30+     workos.com
okta                 00                   word   40      developer.okta.com
fernet               gAAAAA               base64 60+     cryptography.io
django-key           django-insecure-     [^\s"'<>]  20+  docs.djangoproject.com
kubeadm              [a-z0-9]{6}\.        lower  16      kubernetes.io
"""


@record(frozen=True, slots=True)
class Provider:
    """One kind of token."""

    name: str
    prefix: str
    """A regular expression of bounded length."""
    alphabet: str
    """A key of `ALPHABETS`, or a character class."""
    least: int
    """Characters after the prefix."""
    most: int | None
    """None: any number."""
    source: str

    @classmethod
    def of(cls, row: str) -> Provider:
        """Read a row of the table."""
        name, prefix, alphabet, length, source = row.split()
        least, _, most = length.rstrip("+").partition("-")
        open_ended = length.endswith("+")
        return cls(
            name, prefix, alphabet, int(least), None if open_ended else int(most or least), source
        )

    @classmethod
    def of_setting(cls, word: str) -> Provider:
        """What `PROLETTO_REDACT_TOKENS` says: `acme_live_:24`, a prefix and the least length."""
        prefix, _, least = word.partition(":")
        return cls("setting", re.escape(prefix), "word", int(least or 16), None, "setting")

    @property
    def pattern(self) -> str:
        """A regular expression of it, without what may stand before.

        A token of open length takes all of its alphabet, so that the search goes on after it: no
        character is read twice. One of fixed length ends where a word ends.
        """
        most = "" if self.most is None else str(self.most)
        end = "" if self.most is None else "(?![A-Za-z0-9])"
        characters = ALPHABETS.get(self.alphabet, self.alphabet)
        return f"{self.prefix}{characters}{{{self.least},{most}}}{end}"


@cache
def providers() -> tuple[Provider, ...]:
    """The rows of the table; they are read when a text asks for them."""
    return tuple(Provider.of(row) for row in ROWS.strip().splitlines())
