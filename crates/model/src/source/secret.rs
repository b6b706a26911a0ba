//! Keeps secrets out of texts that are printed or stored.
//!
//! [`Secrets::redact`] is applied wherever a text enters a study. It replaces the values of
//! variables whose names say that they are secret, tokens of known forms, private keys, and logins
//! in addresses. The replacement `{env:NAME}` names the variable that holds the secret, so that a
//! stored sweep file still works. Parameters of trials are never passed through it.

use std::borrow::Cow;

/// Shortest value of a variable that is searched in other texts. Shorter ones occur by chance.
const SHORTEST_VALUE: usize = 8;

/// Shortest value that counts as random.
const SHORTEST_RANDOM: usize = 16;

/// Names whose value is a secret whatever it looks like.
const CERTAIN_NAMES: &[&str] = &[
    "ACCESS_KEY",
    "ACCESS_TOKEN",
    "API_KEY",
    "API_TOKEN",
    "APIKEY",
    "AUTH_KEY",
    "AUTH_TOKEN",
    "PASSWD",
    "PASSWORD",
    "PRIVATE_KEY",
    "SECRET",
    "SECRET_KEY",
];

/// A token that its prefix identifies.
struct TokenForm {
    prefix: &'static str,
    /// Least number of characters after the prefix.
    length: usize,
    /// Variable that usually holds such a token.
    variable: &'static str,
}

const fn form(prefix: &'static str, length: usize, variable: &'static str) -> TokenForm {
    TokenForm {
        prefix,
        length,
        variable,
    }
}

/// Forms of tokens, as in the rules of gitleaks. A longer prefix stands before a shorter one.
const TOKEN_FORMS: &[TokenForm] = &[
    form("ghp_", 36, "GITHUB_TOKEN"),
    form("gho_", 36, "GITHUB_TOKEN"),
    form("ghu_", 36, "GITHUB_TOKEN"),
    form("ghs_", 36, "GITHUB_TOKEN"),
    form("ghr_", 36, "GITHUB_TOKEN"),
    form("github_pat_", 36, "GITHUB_TOKEN"),
    form("glpat-", 20, "GITLAB_TOKEN"),
    form("AKIA", 16, "AWS_ACCESS_KEY_ID"),
    form("ASIA", 16, "AWS_ACCESS_KEY_ID"),
    form("hf_", 30, "HF_TOKEN"),
    form("api_org_", 30, "HF_TOKEN"),
    form("sk-ant-", 20, "ANTHROPIC_API_KEY"),
    form("sk-proj-", 20, "OPENAI_API_KEY"),
    form("sk-svcacct-", 20, "OPENAI_API_KEY"),
    form("sk-", 40, "OPENAI_API_KEY"),
    form("xoxa-", 10, "SLACK_TOKEN"),
    form("xoxb-", 10, "SLACK_TOKEN"),
    form("xoxe-", 10, "SLACK_TOKEN"),
    form("xoxp-", 10, "SLACK_TOKEN"),
    form("xoxr-", 10, "SLACK_TOKEN"),
    form("xoxs-", 10, "SLACK_TOKEN"),
    form("xapp-", 10, "SLACK_TOKEN"),
    form("AIza", 35, "GOOGLE_API_KEY"),
    form("sk_live_", 20, "STRIPE_API_KEY"),
    form("rk_live_", 20, "STRIPE_API_KEY"),
    form("npm_", 36, "NPM_TOKEN"),
    form("pypi-AgEIcHlwaS5vcmc", 50, "PYPI_TOKEN"),
    form("wandb_v1_", 20, "WANDB_API_KEY"),
];

/// The secrets that are known by their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Values and the names of their variables, longer values first.
    values: Vec<(String, String)>,
}

impl Secrets {
    /// Collects the values of the variables that are secret: those named in `declared`, and those
    /// whose names [say so](is_secret_name). Short values are left out, and so is a `…_KEY` or
    /// `…_TOKEN` that is a word and not a random text.
    #[must_use]
    pub fn of_variables(
        variables: impl IntoIterator<Item = (String, String)>,
        declared: &[String],
    ) -> Self {
        let mut values: Vec<(String, String)> = variables
            .into_iter()
            .filter(|(name, value)| {
                let is_declared = declared.contains(name);
                value.len() >= SHORTEST_VALUE
                    && !value.contains("{env:")
                    && (is_declared || is_secret(name, value))
            })
            .map(|(name, value)| (value, name))
            .collect();
        values.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        values.dedup_by(|a, b| a.0 == b.0);
        Self { values }
    }

    /// Returns the names of the variables whose values are secret.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(_, name)| name.as_str())
    }

    /// Returns the text without its secrets. A text without any is returned as it is.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for (value, name) in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), &placeholder(name)).into();
            }
        }
        for step in [redact_private_keys, redact_tokens, redact_assignments] {
            if let Some(redacted) = step(&text) {
                text = redacted.into();
            }
        }
        match redact_logins(&text) {
            Some(redacted) => redacted.into(),
            None => text,
        }
    }

    /// Returns the bytes without the secrets in their valid UTF-8 parts.
    #[must_use]
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return match self.redact(text) {
                Cow::Borrowed(text) => text.as_bytes().into(),
                Cow::Owned(text) => text.into_bytes().into(),
            };
        }
        let mut redacted = Vec::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            redacted.extend_from_slice(self.redact(chunk.valid()).as_bytes());
            redacted.extend_from_slice(chunk.invalid());
        }
        redacted.into()
    }

    /// Returns the arguments of a command without secrets. The argument after an option such as
    /// `--token` is one.
    #[must_use]
    pub fn redact_args(&self, args: &[String]) -> Vec<String> {
        let mut redacted: Vec<String> = Vec::with_capacity(args.len());
        let mut option = None;
        for arg in args {
            redacted.push(match option {
                Some(name) if !arg.contains('{') && is_secret_argument(name, arg) => {
                    placeholder(&variable_of(name))
                }
                _ => self.redact_arg(arg),
            });
            option = arg.strip_prefix('-').map(|name| name.trim_matches('-'));
        }
        redacted
    }

    /// Returns one argument without secrets: `--token=x` and `TOKEN=x` name theirs.
    fn redact_arg(&self, arg: &str) -> String {
        if let Some((name, value)) = arg.split_once('=')
            && is_identifier(name.trim_start_matches('-'))
            && !value.contains('{')
            && is_secret_argument(name.trim_start_matches('-'), value)
        {
            let variable = variable_of(name.trim_start_matches('-'));
            return format!("{name}={}", placeholder(&variable));
        }
        self.redact(arg).into_owned()
    }
}

/// Returns whether a variable holds a secret by its name: it ends in `_KEY`, `_TOKEN`, `_SECRET` or
/// `_PASSWORD`, or is one of these words.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = variable_of(name);
    let ends = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD"];
    ends.iter().any(|end| name.ends_with(end))
        || ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "APIKEY"].contains(&&*name)
}

/// Returns the placeholder for the variable `name` in a sweep file.
#[must_use]
pub fn placeholder(name: &str) -> String {
    format!("{{env:{name}}}")
}

/// Returns the name of the variable for an option or key: `--api-key` is `API_KEY`.
#[must_use]
pub fn variable_of(name: &str) -> String {
    let name = name.trim_matches('-').to_ascii_uppercase();
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

/// Returns whether the value of a variable of the caller is a secret. A `SORT_KEY=loss` is none.
fn is_secret(name: &str, value: &str) -> bool {
    is_secret_name(name) && (has_certain_name(name) || is_random(value))
}

/// Returns whether the value of an option is a secret.
fn is_secret_argument(name: &str, value: &str) -> bool {
    !value.is_empty() && (has_certain_name(name) || variable_of(name) == "TOKEN")
        || is_secret(name, value)
}

fn has_certain_name(name: &str) -> bool {
    let name = variable_of(name);
    CERTAIN_NAMES.iter().any(|certain| {
        name.strip_suffix(certain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    })
}

/// Returns whether a value looks like a key that a program made: one word of letters and digits.
fn is_random(value: &str) -> bool {
    value.len() >= SHORTEST_RANDOM
        && value.bytes().all(is_token_byte)
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+/=.".contains(&byte)
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Replaces tokens that their prefix identifies.
fn redact_tokens(text: &str) -> Option<String> {
    let mut redacted = String::new();
    let mut copied = 0;
    let mut word_start = 0;
    while let Some(word) = next_word(text, word_start) {
        let found = TOKEN_FORMS.iter().find(|form| {
            let rest = text[word.clone()].strip_prefix(form.prefix);
            rest.is_some_and(|rest| {
                // The key ids of AWS have a fixed length and no small letters.
                let is_aws = form.variable == "AWS_ACCESS_KEY_ID";
                rest.len() >= form.length
                    && (!is_aws
                        || rest.len() == form.length
                            && !rest.bytes().any(|byte| byte.is_ascii_lowercase()))
            })
        });
        if let Some(form) = found {
            redacted.push_str(&text[copied..word.start]);
            redacted.push_str(&placeholder(form.variable));
            copied = word.end;
        }
        word_start = word.end;
    }
    finish(redacted, text, copied)
}

/// Returns the range of the next run of letters, digits, `_` and `-`.
fn next_word(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let start = from + bytes[from..].iter().position(is_word)?;
    // A dash cannot begin a token, but the sign of a removed line in a diff precedes one.
    let start = start
        + bytes[start..]
            .iter()
            .take_while(|byte| **byte == b'-')
            .count();
    let length = bytes[start..]
        .iter()
        .take_while(|byte| is_word(byte))
        .count();
    if length == 0 {
        return next_word(text, start);
    }
    Some(start..start + length)
}

/// Replaces the value in `api_key = "…"`, `TOKEN: …` and `NAME_KEY=…` if it looks random, and a
/// bearer token of an HTTP header.
fn redact_assignments(text: &str) -> Option<String> {
    let mut redacted = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(word) = next_word(text, from) {
        from = word.end;
        let name = &text[word];
        let value = if name.eq_ignore_ascii_case("bearer") && text[from..].starts_with(' ') {
            from + 1
        } else if is_secret_name(name) {
            let Some(value) = value_after(text, from) else {
                continue;
            };
            value
        } else {
            continue;
        };
        let bytes = &text.as_bytes()[value..];
        let end = value
            + bytes
                .iter()
                .take_while(|byte| is_token_byte(**byte))
                .count();
        if is_random(&text[value..end]) {
            let variable = if name.eq_ignore_ascii_case("bearer") {
                "TOKEN".to_owned()
            } else {
                variable_of(name)
            };
            redacted.push_str(&text[copied..value]);
            redacted.push_str(&placeholder(&variable));
            copied = end;
            from = end;
        }
    }
    finish(redacted, text, copied)
}

/// Returns the offset of the value behind a name: after quotes and brackets that close the name,
/// `=` or `:`, spaces, and the quote that opens the value.
fn value_after(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    let sign = rest.trim_start_matches(['"', '\'', ']', ' ', '\t']);
    let value = sign.strip_prefix(['=', ':'])?;
    let value = value.trim_start_matches([' ', '\t']);
    let value = value.strip_prefix(['"', '\'']).unwrap_or(value);
    Some(text.len() - value.len())
}

const KEY_BEGINS: &str = "-----BEGIN ";
const KEY_NAME: &str = "PRIVATE KEY-----";
const KEY_ENDS: &str = "-----END ";

/// Replaces the lines of private keys. The number of lines and the first column, which has a
/// meaning in a diff, stay as they are.
fn redact_private_keys(text: &str) -> Option<String> {
    let mut redacted = String::new();
    let mut copied = 0;
    while let Some(distance) = text[copied..].find(KEY_BEGINS) {
        let begin = copied + distance;
        let line_end = text[begin..]
            .find('\n')
            .map_or(text.len(), |end| begin + end);
        let Some(name) = text[begin..line_end].find(KEY_NAME) else {
            redacted.push_str(&text[copied..begin + KEY_BEGINS.len()]);
            copied = begin + KEY_BEGINS.len();
            continue;
        };
        let body = begin + name + KEY_NAME.len();
        redacted.push_str(&text[copied..body]);
        copied = body;
        for line in text[body..].split_inclusive('\n') {
            let end = line.find(KEY_ENDS);
            let key = &line[..end.unwrap_or(line.len())];
            if !key.bytes().all(is_key_byte) {
                break;
            }
            redact_key_line(key, &mut redacted);
            copied += key.len();
            if end.is_some() {
                break;
            }
        }
    }
    (redacted.contains("{env:PRIVATE_KEY}")).then(|| redacted + &text[copied..])
}

fn is_key_byte(byte: u8) -> bool {
    is_token_byte(byte) || byte.is_ascii_whitespace() || b"\\:,".contains(&byte)
}

/// Replaces one line of a private key, except for its first column in a diff.
fn redact_key_line(line: &str, redacted: &mut String) {
    let text = line.trim_end_matches(['\r', '\n']);
    let (sign, key) = text.split_at(text.len() - text.trim_start_matches(['+', '-', ' ']).len());
    redacted.push_str(sign);
    if !key.is_empty() {
        redacted.push_str("{env:PRIVATE_KEY}");
    }
    redacted.push_str(&line[text.len()..]);
}

/// Replaces `user:password` in addresses with stars. Code that puts an address together, such as
/// `http://{user}:{password}@host`, has no login.
fn redact_logins(text: &str) -> Option<String> {
    let mut redacted = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(colon) = text[from..].find("://") {
        let begin = from + colon + 3;
        from = begin;
        let authority = &text[begin..begin + authority_end(&text[begin..])];
        let Some(login) = authority.rfind('@').map(|at| &authority[..at]) else {
            continue;
        };
        let is_login = match login.split_once(':') {
            Some((_, password)) => {
                !password.is_empty() && !login.contains(['{', '}', '$', '<', '>', '*'])
            }
            None => is_random(login),
        };
        if is_login {
            redacted.push_str(&text[copied..begin]);
            redacted.push_str("***");
            copied = begin + login.len();
        }
    }
    finish(redacted, text, copied)
}

/// Appends the rest of the text; `None` if nothing was replaced.
fn finish(mut redacted: String, text: &str, copied: usize) -> Option<String> {
    (copied > 0).then(|| {
        redacted.push_str(&text[copied..]);
        redacted
    })
}

/// Returns the text with `user:password` in `http://user:password@host` replaced by stars. Each
/// byte becomes one star, so byte offsets stay valid.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(colon) = rest.find("://") {
        let (before, after) = rest.split_at(colon + 3);
        masked.push_str(before);
        let login = after[..authority_end(after)].rfind('@').unwrap_or(0);
        masked.extend(std::iter::repeat_n('*', login));
        rest = &after[login..];
    }
    if masked.contains('*') {
        masked.push_str(rest);
        return masked.into();
    }
    text.into()
}

/// Returns the offset at which the authority part (login and host) ends. An apostrophe ends it only
/// if it can be the closing quote of a TOML string; otherwise it belongs to the password.
fn authority_end(text: &str) -> usize {
    text.char_indices()
        .find(|(offset, letter)| match letter {
            '/' | '"' => true,
            '\'' => text[offset + 1..]
                .chars()
                .next()
                .is_none_or(|next| ",]}#".contains(next) || next.is_whitespace()),
            other => other.is_whitespace(),
        })
        .map_or(text.len(), |(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::{Secrets, masked};

    #[test]
    fn a_login_is_masked_at_its_length_and_nothing_else_is() {
        let cases = [
            (
                "uri = \"http://us%40er:pé'w@d@host:5/x\"\nnext = 1",
                "uri = \"http://***************@host:5/x\"\nnext = 1",
            ),
            ("uri = 'http://u:p@h'", "uri = 'http://***@h'"),
            ("['http://h','x@y']", "['http://h','x@y']"),
            (
                "http://h/a@b ssh://h x@y * ://",
                "http://h/a@b ssh://h x@y * ://",
            ),
            ("a://u@b c://v:w@d", "a://*@b c://***@d"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected);
            assert_eq!(masked(text).len(), text.len());
        }
    }

    fn redacted(text: &str) -> String {
        Secrets::default().redact(text).into_owned()
    }

    /// Returns a text of letters and digits that no scanner of repositories takes for a secret.
    fn random(length: usize) -> String {
        "k3Fz9QwLm2Rt".chars().cycle().take(length).collect()
    }

    #[test]
    fn tokens_of_known_forms_are_replaced_by_the_variable_that_usually_holds_them() {
        for (prefix, length, variable) in [
            ("ghp_", 36, "GITHUB_TOKEN"),
            ("hf_", 34, "HF_TOKEN"),
            ("sk-proj-", 60, "OPENAI_API_KEY"),
            ("xoxb-", 40, "SLACK_TOKEN"),
            ("glpat-", 20, "GITLAB_TOKEN"),
        ] {
            let text = format!("+x = '{prefix}{}' # a-b\n", random(length));
            assert_eq!(
                redacted(&text),
                format!("+x = '{{env:{variable}}}' # a-b\n")
            );
        }
        let key = format!("AKIA{}", random(16).to_uppercase());
        assert_eq!(redacted(&key), "{env:AWS_ACCESS_KEY_ID}");
        for harmless in [
            "hf_hub",
            "sk-learn",
            "AKIAKA",
            "a-sk-b",
            "--sk-learn",
            "---",
        ] {
            assert_eq!(redacted(harmless), harmless);
        }
    }

    #[test]
    fn only_random_values_of_secret_names_are_replaced_in_texts() {
        let value = random(40);
        for (text, expected) in [
            (
                format!("WANDB_API_KEY = \"{value}\""),
                "WANDB_API_KEY = \"{env:WANDB_API_KEY}\"",
            ),
            (
                format!("'api-key': '{value}'"),
                "'api-key': '{env:API_KEY}'",
            ),
            (
                format!("Authorization: Bearer {value}"),
                "Authorization: Bearer {env:TOKEN}",
            ),
        ] {
            assert_eq!(redacted(&text), expected);
        }
        for harmless in [
            "pad_token = \"<pad>\"",
            "sort_key=validation_accuracy",
            "max_tokens = 4096",
            "--max_tokens=1234567890123456789a",
            "index 1234567890123456789012345678901234567890..abc",
            "monkey = abc123abc123abc123",
        ] {
            assert_eq!(redacted(harmless), harmless);
        }
    }

    #[test]
    fn a_private_key_is_replaced_line_by_line_so_that_a_patch_still_applies() {
        let text = "+k = -----BEGIN RSA PRIVATE KEY-----\n+MIIE/abc+d\n+xyz=\n\
                    +-----END RSA PRIVATE KEY-----\n+next(1)\n";
        assert_eq!(
            redacted(text),
            "+k = -----BEGIN RSA PRIVATE KEY-----\n+{env:PRIVATE_KEY}\n+{env:PRIVATE_KEY}\n\
             +-----END RSA PRIVATE KEY-----\n+next(1)\n"
        );
        let constant = "if text.startswith(\"-----BEGIN PRIVATE KEY-----\"):\n    load(text)\n";
        assert_eq!(redacted(constant), constant);
    }

    #[test]
    fn logins_are_replaced_and_code_that_makes_them_is_not() {
        assert_eq!(
            redacted("git+https://me:pw@host/r"),
            "git+https://***@host/r"
        );
        for harmless in [
            "f'http://{user}:{password}@host'",
            "ssh://git@host/r",
            "http://***@h",
        ] {
            assert_eq!(redacted(harmless), harmless);
        }
    }

    #[test]
    fn arguments_are_secret_by_their_option() {
        let args = [
            "p",
            "--token",
            "x",
            "--password=y",
            "--max_tokens",
            "9",
            "--sort-key=loss",
        ];
        let args: Vec<String> = args.map(str::to_owned).to_vec();
        assert_eq!(
            Secrets::default().redact_args(&args),
            [
                "p",
                "--token",
                "{env:TOKEN}",
                "--password={env:PASSWORD}",
                "--max_tokens",
                "9",
                "--sort-key=loss"
            ]
        );
    }

    #[test]
    fn values_of_secret_variables_are_replaced_everywhere() {
        let variables = [
            ("DB_PASSWORD", "correct horse"),
            ("SORT_KEY", "validation"),
            ("SEED_TOKEN", "1"),
            ("MINE", "open sesame"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = Secrets::of_variables(variables, &["MINE".to_owned()]);
        assert_eq!(
            secrets.redact("correct horse, validation 1: open sesame"),
            "{env:DB_PASSWORD}, validation 1: {env:MINE}"
        );
        assert_eq!(
            *secrets.redact_bytes(b"\xff open sesame"),
            b"\xff {env:MINE}"[..]
        );
    }

    #[test]
    fn a_redacted_text_stays_as_it_is() {
        let text = format!("API_KEY={} http://a:b@c ghp_{}", random(20), random(36));
        let once = redacted(&text);
        assert_eq!(redacted(&once), once);
        assert_eq!(
            once,
            "API_KEY={env:API_KEY} http://***@c {env:GITHUB_TOKEN}"
        );
    }
}
