//! Samples: a made-up secret of each kind, for tests that plant them.
//!
//! Each is made here from its format and a seed, so that none stands in any file, and none was ever good for anything.

use super::looks::{base62, crc32};

/// A secret, and a line in which it stands as it does in real files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The rule that has to find it.
    pub rule: &'static str,
    pub line: String,
    /// The part that must not be seen anywhere.
    pub secret: String,
}

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const HEX_UPPER: &[u8] = b"0123456789ABCDEF";
const DIGITS: &[u8] = b"123456789";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE62: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Text as it is, and so many characters of an alphabet after it.
type Part<'a> = (&'a str, &'a [u8], usize);

/// A stream of characters that looks like chance and is the same in every run.
struct Dice(u64);

impl Dice {
    fn letters(&mut self, alphabet: &[u8], count: usize) -> String {
        let letter = |_| {
            // SplitMix64, as published by Steele, Lea and Flood (2014).
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            char::from(alphabet[((mixed ^ (mixed >> 31)) % alphabet.len() as u64) as usize])
        };
        (0..count).map(letter).collect()
    }

    /// A token of parts.
    fn token(&mut self, parts: &[Part<'_>]) -> String {
        parts.iter().map(|(text, alphabet, count)| format!("{text}{}", self.letters(alphabet, *count))).collect()
    }
}

/// A secret of each kind; another seed gives others.
pub fn all(seed: u64) -> Vec<Sample> {
    let mut dice = Dice(seed);
    let mut samples = Vec::new();
    tokens(&mut dice, &mut samples);
    in_context(&mut dice, &mut samples);
    samples
}

fn tokens(dice: &mut Dice, samples: &mut Vec<Sample>) {
    let none: &[u8] = b"-";
    let rows: &[(&'static str, &[Part<'_>])] = &[
        ("age-secret-key", &[("AGE-SECRET-KEY-1", UPPER, 58)]),
        ("clearway-token", &[("cw_", HEX, 64)]),
        ("aws-access-key", &[("AKIA", BASE32, 16)]),
        ("google-api-key", &[("AIza", URL, 35)]),
        ("google-client-secret", &[("GOCSPX-", BASE62, 28)]),
        ("google-access-token", &[("ya29.", URL, 80)]),
        ("azure-client-secret", &[("", BASE62, 3), ("8Q~", BASE62, 34)]),
        ("github-token", &[("ghu_", BASE62, 36)]),
        ("github-token", &[("github_pat_", BASE62, 22), ("_", BASE62, 59)]),
        ("gitlab-token", &[("glpat-", URL, 20)]),
        ("atlassian-token", &[("ATATT3", BASE62, 186)]),
        ("slack-token", &[("xoxb-", DIGITS, 12), ("-", DIGITS, 12), ("-", BASE62, 24)]),
        ("telegram-token", &[("", DIGITS, 10), (":AA", BASE62, 33)]),
        ("stripe-key", &[("sk_live_", BASE62, 24)]),
        ("stripe-webhook-secret", &[("whsec_", BASE62, 32)]),
        ("square-token", &[("sq0csp-", URL, 43)]),
        ("shopify-token", &[("shpat_", HEX, 32)]),
        ("pypi-token", &[("pypi-AgEIcHlwaS", URL, 90)]),
        ("rubygems-token", &[("rubygems_", HEX, 48)]),
        ("docker-token", &[("dckr_pat_", URL, 27)]),
        ("cargo-token", &[("cio", BASE62, 32)]),
        ("nuget-key", &[("oy2", LOWER, 43)]),
        ("artifactory-key", &[("AKCp", BASE62, 69)]),
        ("digitalocean-token", &[("dop_v1_", HEX, 64)]),
        ("heroku-key", &[("HRKU-", URL, 60)]),
        ("fly-token", &[("fo1_", BASE62, 43)]),
        ("netlify-token", &[("nfp_", BASE62, 36)]),
        ("cloudflare-key", &[("v1.0-", HEX, 24), ("-", HEX, 146)]),
        ("supabase-key", &[("sbp_", HEX, 40)]),
        ("planetscale-token", &[("pscale_tkn_", BASE62, 43)]),
        ("tailscale-key", &[("tskey-auth-", BASE62, 17), ("-", BASE62, 32)]),
        ("databricks-token", &[("dapi", HEX, 32)]),
        ("vault-token", &[("hvs.", URL, 90)]),
        ("terraform-token", &[("", BASE62, 14), (".atlasv1.", BASE62, 67)]),
        ("pulumi-token", &[("pul-", HEX, 40)]),
        ("doppler-token", &[("dp.pt.", BASE62, 43)]),
        ("grafana-token", &[("glsa_", BASE62, 32), ("_", HEX_UPPER, 8)]),
        ("newrelic-key", &[("NRAK-", UPPER, 27)]),
        ("sentry-token", &[("sntryu_", HEX, 64)]),
        ("dynatrace-token", &[("dt0c01.", BASE32, 24), (".", BASE32, 64)]),
        ("sendgrid-key", &[("SG.", BASE62, 22), (".", BASE62, 43)]),
        ("mailgun-key", &[("key-", HEX, 32)]),
        ("mailchimp-key", &[("", HEX, 32), ("-us12", none, 0)]),
        ("linear-key", &[("lin_api_", BASE62, 40)]),
        ("notion-token", &[("ntn_", BASE62, 46)]),
        ("figma-token", &[("figd_", URL, 40)]),
        ("postman-key", &[("PMAK-", HEX, 24), ("-", HEX, 34)]),
        ("openai-key", &[("sk-proj-", URL, 74)]),
        ("openai-key", &[("sk-", BASE62, 20), ("T3BlbkFJ", BASE62, 20)]),
        ("anthropic-key", &[("sk-ant-api03-", URL, 93)]),
        ("huggingface-token", &[("hf_", BASE62, 34)]),
        ("pagerduty-key", &[("pdus+_0XBPWQ_", BASE62, 32)]),
    ];
    for (rule, parts) in rows {
        // The last character decides nothing but where the token ends: a letter ends it for everybody.
        let secret = dice.token(parts).trim_end_matches(['-', '_', '.']).to_owned();
        let missing = parts.iter().map(|(text, _, count)| text.len() + count).sum::<usize>() - secret.len();
        let secret = secret + &dice.letters(b"abcdef", if parts.last().is_some_and(|p| p.2 > 0) { missing } else { 0 });
        samples.push(Sample { rule, line: format!("value: {secret}"), secret });
    }
    for (rule, prefix) in [("github-token", "ghp_"), ("npm-token", "npm_")] {
        let random = dice.letters(BASE62, 30);
        let secret = format!("{prefix}{random}{}", base62(crc32(random.as_bytes())));
        samples.push(Sample { rule, line: format!("export A={secret}"), secret });
    }
}

fn in_context(dice: &mut Dice, samples: &mut Vec<Sample>) {
    let mut add = |rule, before: &str, secret: String, after: &str| {
        samples.push(Sample { rule, line: format!("{before}{secret}{after}"), secret });
    };
    add("aws-secret-key", "aws_secret_access_key = ", dice.letters(BASE62, 40), "");
    let account = dice.letters(BASE62, 86) + "==";
    add(
        "azure-account-key",
        "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=",
        account,
        ";EndpointSuffix=core",
    );
    add("azure-shared-access-key", "SharedAccessKeyName=all;SharedAccessKey=", dice.letters(BASE62, 43) + "=", "");
    add("azure-signature", "https://shop.blob.core.invalid/a?sv=2024-11-04&sig=", dice.letters(BASE62, 43) + "%3D", "");
    let hook = dice.token(&[("T", UPPER, 10), ("/B", UPPER, 10), ("/", BASE62, 24)]);
    add("slack-webhook", "https://hooks.slack.com/services/", hook, "");
    let discord = format!("https://discord.com/api/webhooks/{}/", dice.letters(DIGITS, 18));
    add("discord-webhook", &discord, dice.letters(BASE62, 68), "");
    let teams = dice.token(&[("", HEX, 36), ("@", HEX, 36), ("/IncomingWebhook/", HEX, 32)]);
    add("teams-webhook", "https://shop.webhook.office.invalid/webhookb2/", teams, "");
    add("npm-token", "//registry.invalid/:_authToken=", dice.letters(LOWER, 36), "");
    // {"alg":"HS256","typ":"JWT"} and {"sub":"1"}, each in base64.
    let jwt = format!(
        "{}{}.{}{}.{}",
        "eyJhbGciOiJIUzI1NiIs",
        "InR5cCI6IkpXVCJ9",
        "eyJzdWIi",
        "OiIxIn0",
        dice.letters(URL, 42) + "a"
    );
    add("jwt", "cookie: session=", jwt, "; path=/");
    add("url-password", "postgres://shop:", dice.letters(BASE62, 14), "@db.invalid:5432/shop");
    add("authorization", "Authorization: Basic ", dice.letters(BASE62, 30) + "==", "");
    add("authorization", "curl -H 'Authorization: Bearer ", dice.letters(URL, 39) + "a", "' https://shop.invalid");
    add("password", "db_password = \"", dice.letters(BASE62, 11) + "!7", "\"");
    add("password", "Server=db;User Id=sa;Pwd=", dice.letters(BASE62, 12) + "4", ";");
    add("password", "deploy --password ", dice.letters(BASE62, 12) + "4", " --force");
    add("secret-value", "{\"client_secret\": \"", dice.letters(LOWER, 40), "\"}");
    add("secret-value", "API_KEY=", dice.letters(BASE62, 32), "");
    let manifest = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: shop\ndata:\n  database: ";
    add("kubernetes-secret", manifest, dice.letters(BASE62, 20) + "==", "\n");
    let (begin, end) = (
        format!("-----{} RSA {} KEY-----\n", "BEGIN", "PRIVATE"),
        format!("-----{} RSA {} KEY-----", "END", "PRIVATE"),
    );
    let lines: Vec<String> = (0..6).map(|_| dice.letters(BASE62, 64)).collect();
    for (line, (before, after)) in
        lines.iter().zip([(begin.as_str(), end.as_str()), ("key: |\n  ", end.as_str()), (begin.as_str(), "")])
    {
        let text = format!("{before}{}\n{line}\n{after}", lines[5]);
        samples.push(Sample { rule: "private-key", line: text, secret: line.clone() });
    }
}
