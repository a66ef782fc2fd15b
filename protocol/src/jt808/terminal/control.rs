//! 0x8105 terminal control, as a terminal reads it.
//!
//! The standard types ports and time limit as WORD inside a text that is cut at `;`. So platforms write them as digits or
//! as two raw bytes, the connection control as a digit or as a raw byte, and the fields in the order of the command or
//! in the order of the standard's table of all parameters. A terminal takes each of these; the code is its own, like
//! all of this side.

use bytes::Bytes;

const SEPARATOR: u8 = b';';
/// The longest number in digits: a WORD has five.
const DIGITS_MAX: usize = 5;

/// What 0x8105 wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Command 2 with connection control 0: connect to another server.
    Connect(Connect),
    /// Command 2 with connection control 1: back to its own server and its own code.
    Home,
    /// Command 4: reset.
    Reset,
    /// Any other command, by its number.
    Other(u8),
}

/// The server that a terminal is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The code to authenticate with there, raw; None where the field is empty: its own.
    pub code: Option<Bytes>,
    /// Address or name, never empty.
    pub host: String,
    /// TCP port, never 0.
    pub tcp_port: u16,
    /// How long to keep to that server after this command, minutes; 0 = for good.
    pub limit_min: u16,
}

impl Control {
    /// None where the body is no command, or names no server that could be dialled.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (command, parameters) = body.split_first()?;
        match command {
            2 => connection(parameters),
            4 => Some(Self::Reset),
            other => Some(Self::Other(*other)),
        }
    }
}

fn connection(parameters: &[u8]) -> Option<Control> {
    let (control, rest) = parameters.split_first()?;
    match control {
        // Nothing follows, says the standard; some platforms send all fields.
        0x01 | b'1' if matches!(rest.first(), None | Some(&SEPARATOR)) => Some(Control::Home),
        0x00 | b'0' => {
            // In digits the body is all text, which the older texts end with a zero.
            let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
            let text = rest.get(..rest.len() - zeros).unwrap_or(rest);
            [(Form::Digits, text), (Form::Words, rest)]
                .into_iter()
                .flat_map(|(form, rest)| [AS_THE_COMMAND, AS_THE_TABLE].map(|order| (order, form, rest)))
                .find_map(|(order, form, rest)| connect(order, form, rest))
                .map(Control::Connect)
        }
        _ => None,
    }
}

/// What stands in one place of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Code,
    Host,
    TcpPort,
    UdpPort,
    Limit,
    /// Dial point, user, password, and what belongs to an upgrade.
    Passed,
}

/// After the connection control: code, dial point, user, password, address, TCP port, UDP port, limit.
const AS_THE_COMMAND: &[Place] = &[
    Place::Code,
    Place::Passed,
    Place::Passed,
    Place::Passed,
    Place::Host,
    Place::TcpPort,
    Place::UdpPort,
    Place::Limit,
];
/// After the connection control: dial point, user, password, address, TCP port, UDP port, maker, code, hardware and
/// firmware version, URL, limit.
const AS_THE_TABLE: &[Place] = &[
    Place::Passed,
    Place::Passed,
    Place::Passed,
    Place::Host,
    Place::TcpPort,
    Place::UdpPort,
    Place::Passed,
    Place::Code,
    Place::Passed,
    Place::Passed,
    Place::Passed,
    Place::Limit,
];

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One to five decimal digits.
    Digits,
    /// Two raw bytes.
    Words,
}

fn connect(order: &[Place], form: Form, rest: &[u8]) -> Option<Connect> {
    let mut connect = Connect { code: None, host: String::new(), tcp_port: 0, limit_min: 0 };
    for (place, field) in order.iter().zip(cut(order, form, rest)?) {
        match place {
            Place::Code => connect.code = (!field.is_empty()).then(|| Bytes::copy_from_slice(field)),
            Place::Host => connect.host = std::str::from_utf8(field).ok()?.trim().to_owned(),
            Place::TcpPort => connect.tcp_port = form.number(field)?,
            Place::UdpPort => _ = form.number(field)?,
            Place::Limit => connect.limit_min = form.number(field)?,
            Place::Passed => {}
        }
    }
    (!connect.host.is_empty() && connect.tcp_port != 0).then_some(connect)
}

/// Cuts `rest` into one field for each place of `order`, each behind a separator. A raw word may hold a separator itself,
/// so it is tried before the empty field.
fn cut<'a>(order: &[Place], form: Form, rest: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let Some((place, order)) = order.split_first() else { return rest.is_empty().then(Vec::new) };
    let (&SEPARATOR, rest) = rest.split_first()? else { return None };
    let is_number = matches!(place, Place::TcpPort | Place::UdpPort | Place::Limit);
    let lengths = match form {
        Form::Words if is_number => [Some(2), Some(0)],
        _ => [rest.iter().position(|byte| *byte == SEPARATOR).or(Some(rest.len())), None],
    };
    lengths.into_iter().flatten().find_map(|length| {
        let (field, rest) = rest.split_at_checked(length)?;
        let mut fields = cut(order, form, rest)?;
        fields.insert(0, field);
        Some(fields)
    })
}

impl Form {
    /// 0 where the field is empty.
    fn number(self, field: &[u8]) -> Option<u16> {
        match (self, field) {
            (_, []) => Some(0),
            (Self::Words, [high, low]) => Some(u16::from_be_bytes([*high, *low])),
            (Self::Digits, digits) if digits.len() <= DIGITS_MAX && digits.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(digits).ok()?.parse().ok()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(code: &'static [u8], host: &str, tcp_port: u16, limit_min: u16) -> Option<Control> {
        let code = (!code.is_empty()).then(|| Bytes::from_static(code));
        Some(Control::Connect(Connect { code, host: host.into(), tcp_port, limit_min }))
    }

    #[test]
    fn digits_in_the_order_of_the_command() {
        let expected = connect(b"K7", "gw1.example", 6608, 10);
        assert_eq!(Control::decode(b"\x020;K7;cmnet;u;p;gw1.example;6608;0;10"), expected);
        assert_eq!(Control::decode(b"\x020;K7;;;;gw1.example;6608;;10\0"), expected, "the older texts' end");
        assert_eq!(Control::decode(b"\x02\x00;K7;;;;gw1.example;6608;0;10"), expected, "a raw control byte");
        assert_eq!(Control::decode(b"\x020;;;;;10.0.0.1;6608;;"), connect(b"", "10.0.0.1", 6608, 0));
    }

    #[test]
    fn raw_words_even_where_one_holds_the_separator() {
        assert_eq!(
            Control::decode(b"\x02\x00;K7;;;;10.0.0.1;\x19\xd0;\x00\x00;\x00\x0a"),
            connect(b"K7", "10.0.0.1", 6608, 10)
        );
        // 6459 is 0x193b, 15163 is 0x3b3b
        assert_eq!(
            Control::decode(b"\x020;K7;;;;10.0.0.1;\x19\x3b;\x3b\x3b;\x3b\x00"),
            connect(b"K7", "10.0.0.1", 6459, 0x3b00)
        );
        assert_eq!(
            Control::decode(b"\x02\x00;K7;;;;10.0.0.1;\x19\xd0;;"),
            connect(b"K7", "10.0.0.1", 6608, 0),
            "empty numbers"
        );
    }

    #[test]
    fn the_order_of_the_table_as_hylexus_writes_it() {
        // xtream-codec BuiltinMessage8105Test.testDecodeCommand2Case1, with connection control 0; its limit is 0x003b
        let body = "02003b4e616d652e2e2e3b557365726e616d652e2e2e3b50617373776f72642e2e2e3b3139322e3136382e302e313b1a0a3b\
                    1e613b6964303030313b41757468436f64652e2e2e3b6877762d322e302e333b7377762d312e302e313b3139322e3136382e\
                    302e323b003b";
        let body = hex::decode(body).unwrap();
        assert_eq!(Control::decode(&body), connect(b"AuthCode...", "192.168.0.1", 6666, 59));
        assert_eq!(
            Control::decode(b"\x020;cmnet;u;p;10.0.0.1;6608;0;MAKER;K7;1;2;;30"),
            connect(b"K7", "10.0.0.1", 6608, 30)
        );
    }

    #[test]
    fn back_home_reset_and_others() {
        for home in [&b"\x021"[..], b"\x02\x01", b"\x021;;;;;;;;", b"\x02\x01;K7;;;;10.0.0.1;6608;0;10"] {
            assert_eq!(Control::decode(home), Some(Control::Home));
        }
        assert_eq!(Control::decode(&[4]), Some(Control::Reset));
        assert_eq!(Control::decode(b"\x01http://example/fw;;;;;;;;;;"), Some(Control::Other(1)));
    }

    #[test]
    fn what_names_no_server_is_no_command() {
        for body in [
            &b""[..],
            b"\x02",
            b"\x022;K7;;;;10.0.0.1;6608;0;10",
            b"\x02;K7;;;;10.0.0.1;6608;0;10",
            b"\x0211",
            b"\x020;K7;;;;;6608;0;10",
            b"\x020;K7;;;;10.0.0.1;0;0;10",
            b"\x020;K7;;;;10.0.0.1;;0;10",
            b"\x020;K7;;;;10.0.0.1;66080;0;10",
            b"\x020;K7;;;;10.0.0.1;+608;0;10",
            b"\x020;K7;;;;10.0.0.1;6608;0;ten",
            b"\x020;K7;;;;10.0.0.1;6608;0",
            b"\x020;K7;;;;10.0.0.1;6608;0;10;",
            b"\x020;K7;;;;\xff\xfe;6608;0;10",
        ] {
            assert_eq!(Control::decode(body), None, "{body:?}");
        }
    }
}
