//! Who may do what: passwords, tokens, play tickets, permissions.
