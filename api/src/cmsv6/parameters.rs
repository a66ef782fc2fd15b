//! What a CMSV6 client asks: query and form body merged, names in any case, values decoded as often as
//! they were encoded.

use std::collections::HashMap;
use std::str::FromStr;

use actix_web::HttpRequest;
use openapi::cmsv6::envelope::{Code, Failure};
use percent_encoding::percent_decode_str;

use super::reply::failure;

/// The most parameters that are read; no action has more than some twenty.
const PARAMETERS_MAX: usize = 100;

/// The parameters of one call.
pub(super) struct Parameters {
    /// By lower-case name, decoded once; empty ones are not there.
    values: HashMap<String, Value>,
}

struct Value {
    text: String,
    /// From the query, not from the body.
    in_query: bool,
}

impl Parameters {
    /// From the query and a form body (other bodies are passed over: clients post empty ones of any type).
    /// Where both have a name, the query wins.
    pub(super) fn read(request: &HttpRequest, body: &[u8]) -> Self {
        let form = request
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.trim_start().starts_with("application/x-www-form-urlencoded"));
        Self::of(request.query_string(), if form { body } else { &[] })
    }

    pub(super) fn of(query: &str, body: &[u8]) -> Self {
        let mut values = HashMap::new();
        for (text, in_query) in [(query.as_bytes(), true), (body, false)] {
            for (name, value) in form_urlencoded::parse(text).take(PARAMETERS_MAX) {
                if !value.is_empty() {
                    let value = || Value { text: value.into_owned(), in_query };
                    values.entry(name.to_lowercase()).or_insert_with(value);
                }
            }
        }
        Self { values }
    }

    /// The value of `name` (any case), fully decoded; None where absent or empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.raw(name).map(decoded)
    }

    /// The value as it came, decoded once.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.values.get(&name.to_lowercase()).map(|value| value.text.as_str())
    }

    /// A list between commas; None where absent.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let text = self.text(name)?;
        Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect())
    }

    /// A number, not below 0; None where absent.
    pub(super) fn number<T>(&self, name: &str) -> Result<Option<T>, Failure>
    where
        T: FromStr + PartialOrd + Default,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.trim().parse::<T>() {
            Ok(number) if number >= T::default() => Ok(Some(number)),
            _ => Err(failure(Code::Parameter, &format!("{name}: a number, not below 0"))),
        }
    }

    /// The name by which a JSONP reply is to be called: only for a session in the query, never for a
    /// cookie alone, which a foreign page could ride on.
    pub(super) fn callback(&self) -> Callback {
        let Some(name) = self.raw("callback") else { return Callback::None };
        if !self.values.get("jsession").is_some_and(|session| session.in_query) {
            return Callback::None;
        }
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain && name.len() <= 64 { Callback::Name(name.to_owned()) } else { Callback::Wrong }
    }
}

/// Whether a reply is wanted as JSONP.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Callback {
    /// It is not, or may not be.
    None,
    /// Under this checked name.
    Name(String),
    /// Under a name that is no plain one.
    Wrong,
}

/// The vendor tells callers to encode twice, and one client encodes thrice: decode again, up to twice, while
/// something encoded is left.
fn decoded(value: &str) -> String {
    let mut value = value.to_owned();
    for _ in 0..2 {
        if !looks_encoded(&value) {
            break;
        }
        // '+' is a space only in the outermost encoding, which is gone.
        match percent_decode_str(&value).decode_utf8() {
            Ok(next) => value = next.into_owned(),
            Err(_) => break,
        }
    }
    value
}

fn looks_encoded(value: &str) -> bool {
    value.as_bytes().windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_body_are_merged_and_names_match_in_any_case() {
        let parameters = Parameters::of("DevIDNO=a&x=1", b"devIdno=b&y=2");
        assert_eq!(parameters.text("devIdno").as_deref(), Some("a"), "the query wins");
        assert_eq!(parameters.number("Y"), Ok(Some(2)));
        assert_eq!(parameters.text("z"), None);
        assert_eq!(Parameters::of("x=", b"").text("x"), None, "empty is absent");
        assert_eq!(Parameters::of("x=&x=1", b"").text("x").as_deref(), Some("1"));
    }

    #[test]
    fn a_number_that_is_none_is_a_bad_parameter() {
        let parameters = Parameters::of("a=3&b=x&c=-1&d=0.5&e=NaN&f=4294967296", b"");
        assert_eq!(parameters.number::<u32>("a"), Ok(Some(3)));
        assert_eq!(parameters.number::<u32>("z"), Ok(None));
        assert_eq!(parameters.number::<f64>("d"), Ok(Some(0.5)));
        for wrong in ["b", "c", "d", "e", "f"] {
            assert_eq!(parameters.number::<u32>(wrong).map_err(|failure| failure.result), Err(7), "{wrong}");
        }
        assert!(parameters.number::<f64>("e").is_err() && parameters.number::<f64>("c").is_err());
    }

    #[test]
    fn values_are_decoded_as_often_as_they_were_encoded() {
        for once_twice_thrice in ["%E4%BA%AC", "%25E4%25BA%25AC", "%2525E4%2525BA%2525AC"] {
            let parameters = Parameters::of(&format!("vehiIdno={once_twice_thrice}"), b"");
            assert_eq!(parameters.text("vehiIdno").as_deref(), Some("京"));
        }
        for space in ["2018-03-25+10:00:00", "2018-03-25%2010:00:00", "2018-03-25%252010:00:00"] {
            let parameters = Parameters::of(&format!("begintime={space}"), b"");
            assert_eq!(parameters.text("begintime").as_deref(), Some("2018-03-25 10:00:00"));
        }
        assert_eq!(Parameters::of("x=100%25", b"").text("x").as_deref(), Some("100%"));
        assert_eq!(
            Parameters::of("d=a,b%2Cc,", b"").list("d"),
            Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
        );
    }

    #[test]
    fn jsonp_needs_a_session_in_the_query_and_a_plain_name() {
        let callback = |query: &str, body: &str| Parameters::of(query, body.as_bytes()).callback();
        assert_eq!(callback("callback=f_1&jsession=x", ""), Callback::Name("f_1".into()));
        assert_eq!(callback("callback=f", ""), Callback::None, "a cookie alone");
        assert_eq!(callback("callback=f", "jsession=x"), Callback::None, "a session in the body");
        assert_eq!(callback("callback=f&jsession=", "jsession=x"), Callback::None, "the body's is used");
        assert_eq!(callback("callback=f&jsession=&jsession=x", ""), Callback::Name("f".into()));
        for wrong in ["alert(1)//", "a.b", "a%3Cb", "%2561%2528"] {
            assert_eq!(callback(&format!("callback={wrong}&jsession=x"), ""), Callback::Wrong, "{wrong}");
        }
        assert_eq!(callback(&format!("callback={}&jsession=x", "a".repeat(65)), ""), Callback::Wrong);
    }
}
