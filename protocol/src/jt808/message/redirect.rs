//! 0x8105 with command 2: a terminal is sent to another server for a time.
//!
//! Written only; what reads it is the terminal's side. The standard gives numbers the type WORD inside a text that is
//! cut at `;`, and devices read them in three ways: see [`ControlForm`].

/// How the numbers of 0x8105's text are written; a matter of the device's model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ControlForm {
    /// All in decimal digits: what most devices read.
    #[default]
    Text,
    /// The connection control as one raw byte, ports and time limit in digits.
    RawControl,
    /// The connection control as one raw byte, ports and time limit as two raw bytes, high one first. One of these may
    /// be 0x3b, which is the separator too: devices of this form count bytes.
    RawWords,
}

/// 0x8105 command 2 with connection control 0: connect to this server, and keep to it for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect<'a> {
    /// The code to authenticate with there; the terminal's own one serves for everything else.
    pub code: &'a [u8],
    /// IP address or domain name, in ASCII.
    pub host: &'a str,
    /// TCP port.
    pub tcp_port: u16,
    /// UDP port; 0 where the server has none.
    pub udp_port: u16,
    /// How long to keep to the server, minutes from the command's arrival; then back to the terminal's own address.
    /// 0: for good.
    pub limit_min: u16,
}

/// Why a command cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {field} of a server is empty or holds a `;`")]
pub struct Unsayable {
    /// The name of the field that holds a separator, or nothing.
    pub field: &'static str,
}

/// 0x8105's command for it.
const CONNECT: u8 = 2;
const SEPARATOR: u8 = b';';

impl Redirect<'_> {
    /// Appends the body that ends a redirect before its time: connect to the terminal's own server again. Nothing
    /// follows the connection control.
    pub fn encode_end(out: &mut Vec<u8>, form: ControlForm) {
        out.push(CONNECT);
        out.push(if form == ControlForm::Text { b'1' } else { 1 });
    }

    /// Appends the body: command, connection control, code, dial point, user, password, address, TCP port, UDP port,
    /// time limit. The access point and its account stay the terminal's own.
    ///
    /// # Errors
    /// Where code or host is empty or holds the separator, so that the terminal would read another field. Nothing is
    /// written then.
    pub fn encode(&self, out: &mut Vec<u8>, form: ControlForm) -> Result<(), Unsayable> {
        for (field, bytes) in [("code", self.code), ("host", self.host.as_bytes())] {
            if bytes.is_empty() || bytes.contains(&SEPARATOR) {
                return Err(Unsayable { field });
            }
        }
        out.push(CONNECT);
        out.push(if form == ControlForm::Text { b'0' } else { 0 });
        let fields = [self.code, b"", b"", b"", self.host.as_bytes()];
        for field in fields {
            out.push(SEPARATOR);
            out.extend_from_slice(field);
        }
        for number in [self.tcp_port, self.udp_port, self.limit_min] {
            out.push(SEPARATOR);
            match form {
                ControlForm::RawWords => out.extend_from_slice(&number.to_be_bytes()),
                ControlForm::Text | ControlForm::RawControl => {
                    out.extend_from_slice(number.to_string().as_bytes());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(redirect: &Redirect<'_>, form: ControlForm) -> String {
        let mut body = Vec::new();
        redirect.encode(&mut body, form).expect("can be said");
        hex::encode(body)
    }

    const TO: Redirect<'static> =
        Redirect { code: b"AQx-9_", host: "gw1.example", tcp_port: 6608, udp_port: 0, limit_min: 30 };

    // By hand from the order of command 2: control;code;dial point;user;password;address;TCP;UDP;limit.
    #[test]
    fn digits_only() {
        // 02 "0" ; "AQx-9_" ; ; ; ; "gw1.example" ; "6608" ; "0" ; "30"
        let expected = "02303b4151782d395f3b3b3b3b6777312e6578616d706c653b363630383b303b3330";
        assert_eq!(hex(&TO, ControlForm::Text), expected);
    }

    #[test]
    fn a_raw_control_byte_and_digits() {
        let expected = "02003b4151782d395f3b3b3b3b6777312e6578616d706c653b363630383b303b3330";
        assert_eq!(hex(&TO, ControlForm::RawControl), expected);
    }

    #[test]
    fn raw_words() {
        // 6608 = 19d0, 0 = 0000, 30 = 001e
        let expected = "02003b4151782d395f3b3b3b3b6777312e6578616d706c653b19d03b00003b001e";
        assert_eq!(hex(&TO, ControlForm::RawWords), expected);
        let with_separators = Redirect { tcp_port: 0x3b3b, limit_min: 59, ..TO };
        let expected = "02003b4151782d395f3b3b3b3b6777312e6578616d706c653b3b3b3b00003b003b";
        assert_eq!(hex(&with_separators, ControlForm::RawWords), expected);
    }

    #[test]
    fn the_largest_numbers_and_any_bytes_of_a_code() {
        let wide = Redirect {
            code: &[0x7e, 0x7d, 0xb2, 0xe2],
            host: "2001:db8::1",
            tcp_port: 65_535,
            udp_port: 65_534,
            limit_min: 0,
        };
        let expected = "02303b7e7db2e23b3b3b3b323030313a6462383a3a313b36353533353b36353533343b30";
        assert_eq!(hex(&wide, ControlForm::Text), expected);
    }

    #[test]
    fn what_would_be_read_as_another_field_is_not_written() {
        for (redirect, field) in [
            (Redirect { code: b"a;b", ..TO }, "code"),
            (Redirect { code: b"", ..TO }, "code"),
            (Redirect { host: "gw1;6608", ..TO }, "host"),
            (Redirect { host: "", ..TO }, "host"),
        ] {
            let mut body = Vec::new();
            assert_eq!(redirect.encode(&mut body, ControlForm::Text), Err(Unsayable { field }));
            assert!(body.is_empty());
        }
    }
}
