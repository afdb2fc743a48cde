//! The rules: what each kind of secret looks like, by the public description of its format.
//!
//! Each rule begins at a keyword, so that a text without any keyword costs one pass. A pattern is tried only there, and anchored: it has to begin with
//! the keyword. The part that is secret is the group `s`, or the whole. A format that says nothing by itself, such as `password = ...`, also has to look
//! like chance; that is asked in [`looks`](super::looks). To add a rule: a row here, and a row in the samples of the tests.

/// What a rule asks beyond its pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The format says it all; samples of documents and rows of `x` are left out.
    Format,
    /// The last six characters are the CRC32 of those before in base 62; where they are not, it has to look like chance.
    Checksum,
    /// The first part is a JSON object in base64 that names an algorithm.
    Header,
    /// A password that people choose: letters with digits or signs.
    Password,
    /// A value under a name that promises a secret.
    Value,
}

/// How a secret is found from its keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A pattern that begins at the keyword.
    Pattern(&'static str),
    /// A pattern that begins this many bytes before the keyword.
    Before(usize, &'static str),
    /// A private key between its lines.
    PrivateKey,
    /// The end of a private key whose beginning is cut off.
    EndOfPrivateKey,
    /// The values of a Kubernetes Secret in YAML.
    KubernetesSecret,
}

/// One kind of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub name: &'static str,
    /// In any case of letters; long or odd enough to be rare.
    pub keywords: &'static [&'static str],
    pub shape: Shape,
    pub ask: Ask,
}

const fn token(name: &'static str, keywords: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { name, keywords, shape: Shape::Pattern(pattern), ask: Ask::Format }
}

/// After a name that promises a secret: the rest of the name, a sign that gives it a value, and the value, bare or in quotes.
macro_rules! assigned {
    ($name:literal) => {
        concat!(
            r#"(?i-u)\A(?:"#,
            $name,
            r#")(?P<tail>[A-Za-z0-9_.-]{0,24})(?:\\?["'`]|\])?[ \t]{0,4}(?::=|=>|={1,2}|:)[ \t]{0,4}(?:\\?["'`](?P<s>[^\s"'`\\]{6,300})\\?["'`]|(?P<b>[^\s"'`,;\\<>()\[\]{}|&]{6,300}))"#
        )
    };
}

/// All rules. Where two find the same, the earlier one names it.
pub(super) const RULES: &[Rule] = &[
    // RFC 7468 and RFC 4880 name the lines around a key; PKCS 1, PKCS 8, SEC 1, OpenSSH and PGP keys all have them.
    Rule { name: "private-key", keywords: &["-----begin"], shape: Shape::PrivateKey, ask: Ask::Format },
    Rule { name: "private-key", keywords: &["-----end"], shape: Shape::EndOfPrivateKey, ask: Ask::Format },
    // age(1): the identity of a recipient, in Bech32.
    token("age-secret-key", &["age-secret-key-1"], r"\AAGE-SECRET-KEY-1[0-9A-Z]{58}"),
    // Our own: `cw_` and 256 bits in hexadecimal; other lengths too, so that a newer server's are known here.
    token("clearway-token", &["cw_"], r"\Acw_[A-Za-z0-9_]{40,160}"),
    // AWS, Identity and Access Management: unique identifiers, the prefixes of keys, in base 32.
    token("aws-access-key", &["akia", "asia", "abia", "acca"], r"\A(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    // AWS, credentials file and environment: forty characters of base64.
    token(
        "aws-secret-key",
        &["secret_access_key", "secretaccesskey", "secret_key", "secretkey"],
        r#"(?i-u)\Asecret_?(?:access_?)?key\\?["']?[ \t]{0,4}(?::|=>|=)[ \t]{0,4}\\?["']?(?P<s>[A-Za-z0-9/+]{40})"#,
    ),
    // Google Cloud: API keys, OAuth 2.0 client secrets and access tokens. The key of a service account is a private key.
    token("google-api-key", &["aiza"], r"\AAIza[0-9A-Za-z_-]{35}"),
    token("google-client-secret", &["gocspx-"], r"\AGOCSPX-[A-Za-z0-9_-]{28}"),
    token("google-access-token", &["ya29."], r"\Aya29\.[A-Za-z0-9_-]{30,2048}"),
    // Azure: storage and Cosmos connection strings, shared access keys and signatures, Entra client secrets.
    token("azure-account-key", &["accountkey="], r"(?i-u)\AAccountKey=(?P<s>[A-Za-z0-9+/]{86}==)"),
    token("azure-shared-access-key", &["sharedaccesskey="], r"(?i-u)\ASharedAccessKey=(?P<s>[A-Za-z0-9+/]{43}=)"),
    token("azure-signature", &["&sig=", "?sig="], r"(?i-u)\A[?&]sig=(?P<s>[A-Za-z0-9%/+]{40,90}(?:%3d|=))"),
    Rule {
        name: "azure-client-secret",
        keywords: &["q~"],
        shape: Shape::Before(4, r"\A(?P<s>[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})"),
        ask: Ask::Format,
    },
    // GitHub, authentication token formats: a prefix, 30 characters and their checksum; fine-grained ones have two parts.
    Rule {
        name: "github-token",
        keywords: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        shape: Shape::Pattern(r"\Agh[pousr]_[A-Za-z0-9]{36,255}"),
        ask: Ask::Checksum,
    },
    token("github-token", &["github_pat_"], r"\Agithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    // GitLab, token prefixes.
    token(
        "gitlab-token",
        &[
            "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glimt-", "glft-", "glagent-", "gloas-",
            "glffct-",
        ],
        r"\Agl(?:pat|dt|rt|ptt|cbt|soat|imt|ft|agent|oas|ffct)-[A-Za-z0-9_.-]{20,300}",
    ),
    token("gitlab-token", &["gr1348941"], r"\AGR1348941[A-Za-z0-9_-]{20}"),
    // Bitbucket and Atlassian, API tokens and app passwords.
    token(
        "atlassian-token",
        &["atatt3", "atctt3", "atbb"],
        r"\A(?:AT[AC]TT3[A-Za-z0-9_=-]{60,400}|ATBB[A-Za-z0-9]{32})",
    ),
    // Slack, token types and incoming webhooks.
    token(
        "slack-token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxs-", "xoxr-", "xoxo-", "xoxe-", "xoxe."],
        r"\Axox[bpasroe][.-][A-Za-z0-9.-]{20,300}",
    ),
    token("slack-token", &["xapp-"], r"\Axapp-[0-9]-[A-Za-z0-9-]{20,200}"),
    token(
        "slack-webhook",
        &["hooks.slack.com/"],
        r"\Ahooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9+/]{40,90})",
    ),
    token("discord-webhook", &["/api/webhooks/"], r"\A/api/webhooks/[0-9]{17,20}/(?P<s>[A-Za-z0-9_-]{60,80})"),
    token("teams-webhook", &["/webhookb2/"], r"\A/webhookb2/(?P<s>[A-Za-z0-9@/-]{80,250})"),
    // Telegram, bot tokens: the number of the bot, a colon, 35 characters.
    Rule {
        name: "telegram-token",
        keywords: &[":aa"],
        shape: Shape::Before(10, r"\A[^0-9]*(?P<s>[0-9]{8,10}:AA[A-Za-z0-9_-]{33})"),
        ask: Ask::Format,
    },
    // Stripe, API keys and the secrets of webhook endpoints.
    token(
        "stripe-key",
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_"],
        r"\A[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}",
    ),
    token("stripe-webhook-secret", &["whsec_"], r"\Awhsec_[A-Za-z0-9+/=]{32,64}"),
    // Square and Shopify, access tokens.
    token("square-token", &["sq0csp-", "sq0atp-"], r"\Asq0(?:csp|atp)-[A-Za-z0-9_-]{22,43}"),
    token("shopify-token", &["shpat_", "shpca_", "shppa_", "shpss_"], r"\Ashp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    // Package registries: npm (with a checksum as GitHub's), PyPI (a macaroon), RubyGems, Docker, Cargo, NuGet.
    Rule {
        name: "npm-token",
        keywords: &["npm_"],
        shape: Shape::Pattern(r"\Anpm_[A-Za-z0-9]{36}"),
        ask: Ask::Checksum,
    },
    token(
        "npm-token",
        &["_authtoken", "_auth", "_password"],
        r#"(?i-u)\A_(?:authToken|auth|password)[ \t]{0,2}=[ \t]{0,2}"?(?P<s>[A-Za-z0-9+/=_-]{16,300})"#,
    ),
    token(
        "pypi-token",
        &["pypi-ageichlwas", "pypi-agendgvzdc"],
        r"\Apypi-AgE(?:IcHlwaS|NdGVzdC)[A-Za-z0-9_-]{50,1000}",
    ),
    token("rubygems-token", &["rubygems_"], r"\Arubygems_[a-f0-9]{48}"),
    token("docker-token", &["dckr_pat_", "dckr_oat_"], r"\Adckr_[po]at_[A-Za-z0-9_-]{24,40}"),
    token("cargo-token", &["cio"], r"\Acio[A-Za-z0-9]{32}"),
    token("nuget-key", &["oy2"], r"\Aoy2[a-z0-9]{43}"),
    token("artifactory-key", &["akcp"], r"\AAKCp[A-Za-z0-9]{69}"),
    // Clouds and platforms, each with the prefix that its documentation names.
    token("digitalocean-token", &["dop_v1_", "doo_v1_", "dor_v1_"], r"\Ado[por]_v1_[a-f0-9]{64}"),
    token("heroku-key", &["hrku-"], r"\AHRKU-[A-Za-z0-9_-]{36,80}"),
    token(
        "fly-token",
        &["flyv1 ", "fm2_", "fo1_"],
        r"\A(?:FlyV1 )?(?:fm2_[A-Za-z0-9+/=_,-]{60,2000}|fo1_[A-Za-z0-9_-]{43})",
    ),
    token("netlify-token", &["nfp_"], r"\Anfp_[A-Za-z0-9]{36}"),
    token("cloudflare-key", &["v1.0-"], r"\Av1\.0-[a-f0-9]{24}-[a-f0-9]{146}"),
    token("supabase-key", &["sbp_", "sb_secret_"], r"\A(?:sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,60})"),
    token("planetscale-token", &["pscale_"], r"\Apscale_(?:tkn|oauth|pw)_[A-Za-z0-9_.=-]{32,64}"),
    token("tailscale-key", &["tskey-"], r"\Atskey-[a-z]{2,12}-[A-Za-z0-9]{8,24}-[A-Za-z0-9]{16,48}"),
    token("databricks-token", &["dapi"], r"\Adapi[a-f0-9]{32}(?:-[0-9])?"),
    // HashiCorp: Vault service, batch and recovery tokens; Terraform Cloud.
    token("vault-token", &["hvs.", "hvb.", "hvr."], r"\Ahv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    Rule {
        name: "terraform-token",
        keywords: &[".atlasv1."],
        shape: Shape::Before(14, r"\A(?P<s>[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70})"),
        ask: Ask::Format,
    },
    token("pulumi-token", &["pul-"], r"\Apul-[a-f0-9]{40}"),
    token(
        "doppler-token",
        &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."],
        r"\Adp\.[a-z]{2,5}\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}",
    ),
    // Monitoring and mail.
    token("grafana-token", &["glsa_", "glc_"], r"\A(?:glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/=]{32,400})"),
    token("newrelic-key", &["nrak-", "nrii-", "nrjs-"], r"\ANR(?:AK|II|JS)-[A-Za-z0-9_-]{19,40}"),
    token("sentry-token", &["sntrys_", "sntryu_"], r"\A(?:sntrys_eyJ[A-Za-z0-9+/=_]{40,400}|sntryu_[a-f0-9]{64})"),
    token("dynatrace-token", &["dt0c01.", "dt0s01."], r"\Adt0[cs]01\.[A-Z2-7]{24}\.[A-Z2-7]{64}"),
    token("sendgrid-key", &["sg."], r"\ASG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    token("mailgun-key", &["key-"], r"\Akey-[a-f0-9]{32}"),
    Rule {
        name: "mailchimp-key",
        keywords: &["-us"],
        shape: Shape::Before(32, r"\A(?P<s>[a-f0-9]{32}-us[0-9]{1,2})"),
        ask: Ask::Format,
    },
    token("pagerduty-key", &["pdus+", "pdeu+"], r"\Apd(?:us|eu)\+_0XBPWQ_[a-zA-Z0-9_-]{20,60}"),
    // Work tools and models.
    token("linear-key", &["lin_api_", "lin_oauth_"], r"\Alin_(?:api|oauth)_[A-Za-z0-9]{40,64}"),
    token("notion-token", &["ntn_"], r"\Antn_[A-Za-z0-9]{40,60}"),
    token("figma-token", &["figd_"], r"\Afigd_[A-Za-z0-9_-]{40}"),
    token("postman-key", &["pmak-"], r"\APMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    Rule {
        name: "openai-key",
        keywords: &["t3blbkfj"],
        shape: Shape::Before(23, r"\A(?P<s>sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})"),
        ask: Ask::Format,
    },
    token(
        "openai-key",
        &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        r"\Ask-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,250}",
    ),
    token("anthropic-key", &["sk-ant-"], r"\Ask-ant-[a-z0-9]{4,8}-[A-Za-z0-9_-]{60,140}"),
    token("huggingface-token", &["hf_"], r"\Ahf_[A-Za-z0-9]{34}"),
    // RFC 7519, in the compact form of RFC 7515.
    Rule {
        name: "jwt",
        keywords: &["eyj"],
        shape: Shape::Pattern(r"\AeyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,6000}\.[A-Za-z0-9_-]{16,2000}"),
        ask: Ask::Header,
    },
    // RFC 3986, 3.2.1: a password in the authority of an address, those of databases and brokers among them.
    Rule {
        name: "url-password",
        keywords: &["://"],
        shape: Shape::Pattern(r#"\A://[^\s/@:"'`<>?#]{0,100}:(?P<s>[^\s/@"'`<>]{3,200})@[A-Za-z0-9\[]"#),
        ask: Ask::Password,
    },
    // RFC 7617 and RFC 6750: what follows `Authorization`.
    Rule {
        name: "authorization",
        keywords: &["authorization", "bearer "],
        shape: Shape::Pattern(
            r#"(?i-u)\A(?:authorization\\?["'`]?[ \t]{0,4}[:=,][ \t]{0,4}\\?["'`]?[ \t]{0,2}(?:basic|bearer|token|apikey)|bearer)[ \t]{1,4}(?P<s>[A-Za-z0-9._~+/=-]{16,2000})"#,
        ),
        ask: Ask::Value,
    },
    // Kubernetes, Secret: whatever stands below `data` and `stringData`.
    Rule { name: "kubernetes-secret", keywords: &["kind: secret"], shape: Shape::KubernetesSecret, ask: Ask::Format },
    // Names that promise a secret, in settings, code, connection strings and options of commands.
    Rule {
        name: "password",
        keywords: &["passw", "passphrase", "pwd"],
        shape: Shape::Pattern(assigned!("password|passwd|passphrase|pwd")),
        ask: Ask::Password,
    },
    Rule {
        name: "secret-value",
        keywords: &[
            "secret",
            "token",
            "api_key",
            "apikey",
            "api-key",
            "access_key",
            "accesskey",
            "access-key",
            "private_key",
            "privatekey",
            "signing_key",
            "signingkey",
            "encryption_key",
            "encryptionkey",
            "credential",
        ],
        shape: Shape::Pattern(assigned!(
            "secret|token|api[_-]?key|access[_-]?key|private_?key|signing_?key|encryption_?key|credentials?"
        )),
        ask: Ask::Value,
    },
    Rule {
        name: "password",
        keywords: &["--pass", "--token", "--secret", "--api-key"],
        shape: Shape::Pattern(
            r#"(?i-u)\A--(?:password|passwd|pass|token|secret|api-key)[ =]\\?["']?(?P<s>[^\s"'`\\<>()\[\]{}|&;$]{6,300})"#,
        ),
        ask: Ask::Password,
    },
];
